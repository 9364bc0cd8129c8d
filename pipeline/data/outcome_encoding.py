"""A prompt's outcomes in one cell, so that graded rows travel through the stages as labelled ones do.

gpt-4=1@0.00314|llama=0      candidate=quality@cost, joined by `|`; one that was not tried is left out
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.outcomes import SEPARATOR, Outcomes
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import TableError

if TYPE_CHECKING:
    import pandas as pd
import pandas as pd

_COST = "@"


def cell_of(candidates: Sequence[str], quality: FloatMatrix, cost: FloatMatrix) -> str:
    """One prompt's cell from its quality and cost [c]; NaN is untried, or of unknown cost."""
    return SEPARATOR.join(
        f"{name}={_number(q)}" + ("" if np.isnan(usd) else f"{_COST}{_number(usd)}")
        for name, q, usd in zip(candidates, quality.tolist(), cost.tolist(), strict=True)
        if not np.isnan(q)
    )


def rows_of_outcomes(outcomes: Outcomes) -> pd.DataFrame:
    """`prompt_id, prompt, agents` (the cell), a row a prompt, and `dataset` where the outcomes have one."""
    import pandas as pd

    cells = [cell_of(outcomes.candidates, q, c) for q, c in zip(outcomes.quality, outcomes.cost, strict=True)]
    rows = pd.DataFrame({"prompt_id": outcomes.prompt_ids, "prompt": outcomes.prompts, "agents": cells})
    return rows if outcomes.datasets is None else rows.assign(dataset=list(outcomes.datasets))


def outcomes_of_rows(rows: pd.DataFrame, candidates: Sequence[str] | None = None) -> Outcomes:
    """The inverse; `candidates` fixes the columns and their order, by default those found, sorted.

    A candidate in a cell that is not among `candidates` is left out.

    Raises:
        TableError: a cell is malformed.
    """
    cells = [_parsed(str(text)) for text in rows["agents"]]
    names = tuple(candidates) if candidates is not None else tuple(sorted({name for cell in cells for name in cell}))
    column = {name: i for i, name in enumerate(names)}
    quality = np.full((len(cells), len(names)), np.nan, dtype=np.float32)
    cost = quality.copy()
    for row, cell in enumerate(cells):
        for name, (level, usd) in cell.items():
            if name in column:
                quality[row, column[name]], cost[row, column[name]] = level, usd
    return Outcomes(
        prompt_ids=tuple(map(str, rows["prompt_id"])),
        prompts=tuple(map(str, rows["prompt"])),
        candidates=names,
        quality=quality,
        cost=cost,
        is_labels=False,
        datasets=tuple(map(str, rows["dataset"])) if "dataset" in rows.columns else None,
    )


def named_in(cell: str) -> tuple[str, ...]:
    """The candidates of a cell, whether it holds outcomes or a plain label `a|b`."""
    return tuple(part.rpartition("=")[0] or part for part in cell.split(SEPARATOR)) if cell else ()


def best_in(cell: str) -> tuple[str, ...]:
    """The candidates of highest quality in a cell; of a plain label `a|b`, all that it names."""
    if "=" not in cell:
        return named_in(cell)
    found = _parsed(cell)
    most = max(level for level, _ in found.values())
    return tuple(name for name, (level, _) in found.items() if level == most)


def with_outcomes(rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Rows whose cells also hold what the rows `more` say of the same prompts."""
    cells = dict(zip(more["prompt_id"], more["agents"], strict=True))
    own = zip(rows["prompt_id"], rows["agents"], strict=True)
    return rows.assign(agents=[SEPARATOR.join(filter(None, (cell, cells.get(name, "")))) for name, cell in own])


def _parsed(cell: str) -> dict[str, tuple[float, float]]:
    found = {}
    for part in cell.split(SEPARATOR) if cell else ():
        name, _, value = part.rpartition("=")
        level, _, usd = value.partition(_COST)
        try:
            found[name] = (float(level), float(usd) if usd else np.nan)
        except ValueError as error:
            raise TableError(f"'{part[:60]}' is not candidate=quality@cost; make the stage's output again") from error
    return found


def _number(value: float) -> str:
    return f"{value:.9g}"


JOINING = "joining.parquet"
