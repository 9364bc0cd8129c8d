"""Whether a file holds given rows: a table by ids, texts or outcomes, any other text by the beginnings of the texts.

Files are known by their content, not by their name, since DVC's objects have none.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ID, PROMPT, PARENTS = "prompt_id", "prompt", "parents"
_GRADED = {ID, "candidate", "quality"}
_PARQUET = b"PAR1"
_BLOCK = 4096
_SHORTEST, _LONGEST = 12, 90


@dataclass(frozen=True)
class SoughtRows:
    """Rows by id, with every text that they ever had; rows made from them are known by the parents that a table names.

    A text shorter than 12 characters is sought in tables only: elsewhere it would be found everywhere. Of a longer
    one the first 90 characters are sought, in the forms that CSV, JSON, HTML and Python's repr give it.
    """

    ids: frozenset[str]
    texts: frozenset[str]

    def texts_in(self, content: bytes) -> frozenset[str]:
        """The texts of these rows in a table; none where it is no table of prompts."""
        table = _table(content)
        if table is None or not {ID, PROMPT} <= set(table.columns):
            return frozenset()
        return frozenset(map(str, table.loc[table[ID].isin(self.ids), PROMPT]))

    def are_in(self, content: bytes) -> bool:
        """Whether a file's bytes hold a text or a graded outcome of these rows.

        An id alone, as in a table of fates, is neither.
        """
        table = _table(content)
        graded = table is not None and set(table.columns) >= _GRADED and bool(table[ID].isin(self.ids).any())
        return graded or self.are_quoted_in(content)

    def are_quoted_in(self, content: bytes) -> bool:
        """Whether a file's bytes hold a text of these rows; their ids and grades are none."""
        from pandas.api.types import is_numeric_dtype

        table = _table(content)
        if table is None:
            return is_searchable(content) and self._in_text(content.decode("utf-8", "replace"))
        if {ID, PROMPT} <= set(table.columns) and (self._named(table) | table[PROMPT].isin(self.texts)).any():
            return True
        others = [name for name in table.columns if name != PROMPT and not is_numeric_dtype(table[name])]
        return any(self._in_text("\n".join(table[name].astype(str))) for name in others)

    def are_named_in(self, text: str) -> bool:
        """Whether a page names one of the ids, as a word of its own, or holds a text."""
        named = any(re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text) for one in self.ids)
        return named or self._in_text(text)

    def _named(self, table: pd.DataFrame) -> pd.Series[bool]:
        found = table[ID].isin(self.ids)
        if PARENTS in table.columns:
            found |= table[PARENTS].astype(str).map(lambda text: not self.ids.isdisjoint(text.split("|")))
        return found

    def _in_text(self, text: str) -> bool:
        return any(form in text for form in self._forms)

    @cached_property
    def _forms(self) -> frozenset[str]:
        long = [text for text in self.texts if len(text) >= _SHORTEST]
        return frozenset(form[:_LONGEST] for text in long for form in _written(text))


def _written(text: str) -> Collection[str]:
    """How a text looks inside CSV, JSON (with and without escapes), HTML and a repr."""
    quoted = text.replace('"', '""')
    plain, escaped = (json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (False, True))
    return text, quoted, plain, escaped, html.escape(text), html.escape(text, quote=False), repr(text)[1:-1]


def _table(content: bytes) -> pd.DataFrame | None:
    """A Parquet file, or a CSV whose header names prompt ids, as a table; None for anything else."""
    import pandas as pd
    import pyarrow as pa

    try:
        if content.startswith(_PARQUET):
            return pd.read_parquet(io.BytesIO(content))
        if ID in content[:_BLOCK].decode("utf-8", "replace").partition("\n")[0]:
            return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding_errors="replace")
    except (pa.ArrowException, ValueError, OSError):
        return None
    return None


def is_searchable(beginning: bytes) -> bool:
    """Whether a file that begins so may hold a text: Parquet or plain text, neither tensors nor a picture."""
    return beginning.startswith(_PARQUET) or b"\0" not in beginning[:_BLOCK]
