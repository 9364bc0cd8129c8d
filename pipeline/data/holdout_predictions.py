"""predictions.parquet: what a router said of each holdout prompt. Both tracks write and read it here.

`prompt_id, text_sha256, agents` (the label, or the candidates that did best), `chosen`, then what is expected of each
candidate. Of graded outcomes the figures stand in a table of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.data.outcomes import SEPARATOR, Outcomes, from_labels, label_matrix, split_agents
from pipeline.data.stage_rows import outcomes_of
from pipeline.runtime.arrays import Binary, FloatMatrix
from pipeline.runtime.tables import LINE, sha256_text

_FACTS = ("prompt_id", "text_sha256", "agents", "chosen", LINE)


def predictions_table(
    holdout: pd.DataFrame, names: Sequence[str], expected: FloatMatrix, chosen: Binary
) -> pd.DataFrame:
    """One row a holdout prompt; `expected` and `chosen` are [n, c], their columns named by `names`.

    `holdout` has `prompt_id, prompt, agents`.
    """
    facts = {
        "prompt_id": holdout["prompt_id"].to_numpy(),
        "text_sha256": [sha256_text(text) for text in holdout["prompt"]],
        "agents": holdout["agents"].to_numpy(),
        "chosen": [SEPARATOR.join(n for n, hit in zip(names, row, strict=True) if hit) for row in chosen],
    }
    return pd.DataFrame({**facts, **{name: expected[:, c] for c, name in enumerate(names)}})


def candidates_in(predictions: pd.DataFrame) -> tuple[str, ...]:
    """The candidates of a table, in its order."""
    return tuple(name for name in predictions.columns if name not in _FACTS)


def named_matrix(cells: pd.Series, names: Sequence[str]) -> Binary:
    """Cells such as `a|b` as bool [n, c]."""
    return np.asarray(label_matrix([split_agents(str(cell)) for cell in cells], names) > 0.5)


def truth_in(
    rows: pd.DataFrame, names: Sequence[str], graded: pd.DataFrame | None, costs: dict[str, float] | None = None
) -> Outcomes:
    """What was right for rows without texts: what was `graded` of them, or where that is None the labels in `agents`.

    `costs` are in USD a call, where labels have them.
    """
    rows = rows.assign(prompt="")
    return from_labels(rows, names, costs) if graded is None else outcomes_of(rows, graded, names)
