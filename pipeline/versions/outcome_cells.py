"""How versions of the models' track wrote outcomes before they had a table of their own: as text, only read here.

gpt-4=1@0.00314|llama=0      candidate=quality@cost, joined by `|`, in the column `agents` of lineage and predictions
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.errors import TableError

if TYPE_CHECKING:
    import pandas as pd


_SEPARATOR = "|"
_OF_OTHERS = ("outcomes.parquet", "suspects.parquet")
"""Later versions of the models' track have the first, those of the agents' track the second."""


def has_cells(evidence: Path) -> bool:
    """Whether a version, by its folder of evidence, is of the models' track and from before."""
    return not any((evidence / name).is_file() for name in _OF_OTHERS)


def best_in(cell: str) -> str:
    """The candidates of the highest quality, `a|b`; a text that holds no outcomes stays as it is."""
    try:
        found = _parsed(cell) if "=" in cell else {}
    except TableError:
        return cell
    most = max((level for level, _ in found.values()), default=0.0)
    return _SEPARATOR.join(name for name, (level, _) in found.items() if level == most) if found else cell


def graded_in(rows: pd.DataFrame) -> pd.DataFrame:
    """The outcomes in the cells of a table, one row each: `prompt_id, candidate, quality, cost`.

    Raises:
        TableError: a cell is malformed.
    """
    import pandas as pd

    found = [
        (str(prompt_id), name, level, usd)
        for prompt_id, cell in zip(rows["prompt_id"], rows["agents"], strict=True)
        for name, (level, usd) in _parsed(str(cell)).items()
    ]
    table = pd.DataFrame(found, columns=["prompt_id", "candidate", "quality", "cost"])
    return table.astype({"quality": "float32", "cost": "float32"})


def _parsed(cell: str) -> dict[str, tuple[float, float]]:
    """Quality and cost by candidate; the cost is NaN where the cell has none."""
    found = {}
    for part in cell.split(_SEPARATOR) if cell else ():
        name, _, value = part.rpartition("=")
        level, _, usd = value.partition("@")
        try:
            found[name] = (float(level), float(usd) if usd else math.nan)
        except ValueError as error:
            raise TableError(f"'{part[:60]}' is not candidate=quality@cost; see 'switchtender verify'") from error
    return found
