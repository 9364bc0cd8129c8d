"""Whether a file holds given rows: a table by ids, texts or outcomes, any other file by the beginnings of the texts.

Files are known by their content, not by their name, since DVC's objects have none.
"""

from __future__ import annotations

import bz2
import gzip
import html
import io
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.runtime.text import BOM

if TYPE_CHECKING:
    import pandas as pd

ID, PROMPT, PARENTS = "prompt_id", "prompt", "parents"
_GRADED = {ID, "candidate", "quality"}
_PARQUET = b"PAR1"
_BLOCK = 4096
_SHORTEST, _LONGEST = 12, 90
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


class CannotUnpack(ValueError):
    """A packed file that cannot be looked into."""


@dataclass(frozen=True)
class RowMatcher:
    """Knows rows by id, and by every text that they ever had; rows made from them by the parents that a table names.

    A text shorter than 12 characters is sought in tables only: elsewhere it would be found everywhere. Of a longer
    one the first 90 characters are sought, in the forms that CSV, JSON, HTML and Python's repr give it, in UTF-8 and
    UTF-16, also inside of gzip, bzip2, xz and zip. Raises CannotUnpack everywhere: such a file is damaged, or is
    packed in another way.
    """

    ids: frozenset[str]
    texts: frozenset[str]

    def texts_in(self, content: bytes) -> frozenset[str]:
        """The texts of these rows in a table; none where it is no table of prompts."""
        table = _table(content)
        if table is None or not {ID, PROMPT} <= set(table.columns):
            return frozenset()
        return frozenset(map(str, table.loc[table[ID].isin(self.ids), PROMPT]))

    def others_in(self, content: bytes) -> frozenset[str]:
        """The ids under which a table has a text of these rows, but for their own."""
        table = _table(content)
        if table is None or not {ID, PROMPT} <= set(table.columns):
            return frozenset()
        return frozenset(table.loc[table[PROMPT].isin(self.texts), ID]) - self.ids

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
            return self.are_written_in(content)
        told = set(table.columns)
        if PROMPT in told and table[PROMPT].isin(self.texts).any():
            return True
        if {ID, PROMPT} <= told and self._named(table).any():
            return True
        # What stands beside an id is that row's own text, whatever it quotes.
        others = [n for n in table.columns if (n != PROMPT or ID not in told) and not is_numeric_dtype(table[n])]
        return any(self.are_written_in("\n".join(table[name].astype(str)).encode()) for name in others)

    def are_named_in(self, content: bytes) -> bool:
        """Whether a page names one of the ids, as a word of its own, or holds a text."""
        text = content.decode("utf-8", "replace")
        named = any(re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text) for one in self.ids)
        return named or self.are_written_in(content)

    def are_written_in(self, content: bytes) -> bool:
        """Whether the bytes, or what is packed in them, hold the beginning of a text, in whatever form."""
        if not self._forms:
            return False
        return any(form in part for part in unpacked(content) for form in self._forms)

    def _named(self, table: pd.DataFrame) -> pd.Series[bool]:
        found = table[ID].isin(self.ids)
        if PARENTS in table.columns:
            found |= table[PARENTS].astype(str).map(lambda text: not self.ids.isdisjoint(text.split("|")))
        return found

    @cached_property
    def _forms(self) -> frozenset[bytes]:
        long = [text for text in self.texts if len(text) >= _SHORTEST]
        written = {form[:_LONGEST] for text in long for form in _written(text)}
        return frozenset(form.encode(name, "surrogatepass") for form in written for name in _ENCODINGS)


def _written(text: str) -> Collection[str]:
    """How a text looks inside CSV, JSON (with and without escapes), HTML and a repr."""
    quoted = text.replace('"', '""')
    plain, escaped = (json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (False, True))
    return text, quoted, plain, escaped, html.escape(text), html.escape(text, quote=False), repr(text)[1:-1]


def _table(content: bytes) -> pd.DataFrame | None:
    """A Parquet file, or a CSV or JSON Lines whose first line names prompt ids, as a table; None for anything else."""
    import pandas as pd
    import pyarrow as pa

    try:
        if content.startswith(_PARQUET):
            table: pd.DataFrame = pd.read_parquet(io.BytesIO(content)).reset_index()
            return table if ID not in table.columns else table.assign(**{ID: table[ID].astype(str)})
        first = content[:_BLOCK].decode("utf-8", "replace").lstrip(BOM).partition("\n")[0]
        if ID in first and first.startswith("{"):
            lines = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
            return pd.DataFrame([{name: str(cell) for name, cell in line.items()} for line in lines])
        if ID in first:
            return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding_errors="replace")
    except (pa.ArrowException, ValueError, AttributeError, OSError):
        return None
    return None


def _unzipped(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"\0".join(archive.read(name) for name in archive.namelist())


_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\0": lzma.decompress, b"PK\x03\x04": _unzipped
}  # fmt: skip
_PACKED_OTHERWISE = (b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!")


def unpacked(content: bytes) -> tuple[bytes, ...]:
    """A file's bytes, and what is packed in them.

    Raises:
        CannotUnpack: they are damaged, or packed in a way that is not known here.
    """
    if content.startswith(_PACKED_OTHERWISE):
        raise CannotUnpack("is packed in a way that is not known here")
    for mark, unpack in _UNPACK.items():
        if content.startswith(mark):
            try:
                return content, unpack(content)
            except (
                OSError,
                EOFError,
                ValueError,
                zlib.error,
                lzma.LZMAError,
                zipfile.BadZipFile,
                RuntimeError,
            ) as error:
                raise CannotUnpack("is damaged") from error
    return (content,)


def is_searchable(beginning: bytes) -> bool:
    """Whether a file that begins so may hold a text: neither tensors, nor a network, nor a picture, by their marks."""
    beginning = beginning[:_BLOCK]
    is_tensors = beginning[8:10] == b'{"' and beginning[4:8] == b"\0" * 4
    is_network = beginning.startswith(b"\x08") and any(name in beginning[:64] for name in (b"pytorch", b"onnx"))
    return not (is_tensors or is_network or beginning.startswith((b"\x89PNG", b"\xff\xd8\xff", b"wOF2")))
