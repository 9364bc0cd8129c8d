"""The sheet of an aptitude test: its items with their prompts, for a candidate to answer and somebody to grade.

item,prompt_id,prompt,task,keywords,grading[,reference],quality,cost        a row an item; the last two are to be filled
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.cells import figures, texts
from pipeline.routers.aptitude.items import AptitudeTest, digest
from pipeline.runtime.arrays import Indices
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import LINE, read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

RIGHT_OR_WRONG, SHARE = "0 or 1", "0 to 1"
"""How an item is graded: right or wrong, or as the share of it that is right."""
ITEM, REFERENCE, HOLDOUT = "item", "reference", "holdout"

StripPrefixes = Callable[[Sequence[str]], tuple[str, ...]]
"""What follows the beginnings that many prompts share: `CalibratedRouter.followed`. By that text an item is known."""


@dataclass(frozen=True)
class AptitudeSheet:
    """The rows of a sheet, the most useful first; those of the holdout, where they were asked for; and the ids of items
    whose prompts the table does not have.
    """

    rows: pd.DataFrame
    held_out: pd.DataFrame
    missing: tuple[str, ...]


def make_sheet(
    test: AptitudeTest, followed: StripPrefixes, table: Path, *, partial: bool = False, holdout: Collection[str] = ()
) -> AptitudeSheet:
    """All items with their prompts, which only the table that the router was trained from has.

    `holdout` are ids of prompts that are no items: by these the gates judge where the router sends the candidate.

    Raises:
        TableError: the table is malformed, lacks items (unless `partial`), or has two references for one.
    """
    frame = read_table(table, required=("prompt_id", "prompt"))
    frame = frame[[isinstance(text, str) for text in frame["prompt"]]]
    frame = frame.assign(prompt_id=texts(frame, "prompt_id", table))
    found = _found(test, followed, frame)
    order = [int(item) for item in handing_out(test) if test.digests[item] in found]
    missing = tuple(name for name, known in zip(test.prompt_ids, test.digests, strict=True) if known not in found)
    if missing and (not partial or not order):
        raise TableError(
            f"{table} lacks {len(missing)} of {len(test)} items of the test, first '{missing[0]}'; give the table that "
            "the router was trained from, or take what is there with --partial"
        )
    rows = _rows([found[test.digests[item]] for item in order], frame, table)
    rows.insert(2, "task", [int(test.task[item]) + 1 for item in order])
    rows.insert(3, "keywords", [", ".join(test.keywords[int(test.task[item])]) for item in order])
    return AptitudeSheet(rows, _held_out(frame, table, holdout), missing)


def _held_out(frame: pd.DataFrame, table: Path, holdout: Collection[str]) -> pd.DataFrame:
    own = frame[frame["prompt_id"].isin(holdout)].drop_duplicates("prompt_id")
    rows = _rows(list(zip(own["prompt_id"], own["prompt"], strict=True)), frame, table)
    rows.insert(2, "task", "")
    rows.insert(3, "keywords", HOLDOUT)
    return rows


def write_sheet(sheet: AptitudeSheet, count: int | None, out: Path) -> int:
    """Write the first `count` items, or all, and the holdout's rows; returns how many rows.

    A sheet that is there may hold somebody's grades.

    Raises:
        InputError: the file exists.
        TableError: unknown ending, or the place cannot be written.
    """
    import pandas as pd

    if out.exists():
        raise InputError(f"{out} exists; name a file that does not, or remove it")
    rows = pd.concat([sheet.rows.head(count or len(sheet.rows)), sheet.held_out], ignore_index=True)
    items = [f"{number} of {len(rows)}" for number in range(1, len(rows) + 1)]
    rows = rows.assign(quality="", cost="")
    rows.insert(0, ITEM, items)
    write_table(rows, out)
    return len(rows)


def handing_out(test: AptitudeTest) -> Indices:
    """Items int64 [items], the first the most useful: every beginning has about the same part of each task.

    So weights mean in a beginning what they mean in all. Within a task the order is that of the items' digests, which
    is as good as random and the same everywhere.
    """
    rank = np.zeros(len(test))
    for task in range(len(test.share)):
        own = sorted(np.flatnonzero(test.task == task), key=lambda item: test.digests[item])
        rank[own] = (np.arange(len(own)) + 0.5) / max(1, len(own))
    return np.lexsort((test.task, -test.share[test.task], rank)).astype(np.int64)


def _found(test: AptitudeTest, followed: StripPrefixes, frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Id and text of each item's prompt by its digest; where a text has several ids, the test's own."""
    texts = frame[["prompt_id", "prompt"]].drop_duplicates()
    texts = texts.sort_values("prompt_id", key=lambda ids: ~ids.isin(test.prompt_ids), kind="stable")
    wanted, found = frozenset(test.digests), dict[str, tuple[str, str]]()
    rest = followed(list(texts["prompt"]))
    for prompt_id, prompt, text in zip(texts["prompt_id"], texts["prompt"], rest, strict=True):
        if (known := digest(text)) in wanted:
            found.setdefault(known, (prompt_id, prompt))
    return found


def _rows(prompts: Sequence[tuple[str, str]], frame: pd.DataFrame, table: Path) -> pd.DataFrame:
    """Of prompts, given by id and text: what to ask, and how it is graded."""
    import pandas as pd

    ids = [prompt_id for prompt_id, _ in prompts]
    own = frame[frame["prompt_id"].isin(ids)]
    grading = _grading(own, table)
    rows = pd.DataFrame(
        {
            "prompt_id": ids,
            "prompt": [prompt for _, prompt in prompts],
            "grading": [grading.get(prompt_id, SHARE) for prompt_id in ids],
        }
    )
    if REFERENCE in frame.columns:
        references = _references(own, table)
        rows[REFERENCE] = [references.get(prompt_id, "") for prompt_id in ids]
    return rows


def _grading(rows: pd.DataFrame, table: Path) -> dict[str, str]:
    """How each prompt was graded, by the qualities that the table has of it."""
    import pandas as pd

    if "quality" not in rows.columns:
        return dict.fromkeys(rows["prompt_id"], RIGHT_OR_WRONG)
    quality = pd.Series(figures(rows, "quality", table, 0.0, 1.0), rows.index)
    whole = (quality.isin((0, 1)) | quality.isna()).groupby(rows["prompt_id"]).all()
    known = quality.notna().groupby(rows["prompt_id"]).any()
    return {str(name): RIGHT_OR_WRONG if fits else SHARE for name, fits in (whole & known).items()}


def _references(rows: pd.DataFrame, table: Path) -> dict[str, str]:
    """The expected answer of each prompt, where the table has one."""
    found: dict[str, str] = {}
    references = texts(rows, REFERENCE, table, filled=False).str.strip()
    for prompt_id, text, line in zip(rows["prompt_id"], references, rows[LINE], strict=True):
        if text and found.setdefault(prompt_id, text) != text:
            raise TableError(f"{table}, line {line}: prompt '{prompt_id}' has another reference above; keep one")
    return found
