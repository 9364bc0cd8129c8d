"""The tables that the outcome suites judge, derived from gathered rows: what they hold decides nothing."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from pipeline.data.outcomes import Outcomes
from pipeline.runtime.arrays import Binary, Indices
from pipeline.runtime.tables import LINE, sha256_text
from pipeline.validation.raw_outcomes import FILE

OUTCOME_TABLES = (OUTCOME_FILE, OUTCOME_ROWS, OUTCOME_KEPT, OUTCOME_PROMPTS, OUTCOME_CANDIDATES) = (
    "outcome_file", "outcome_rows", "outcome_kept", "outcome_prompts", "outcome_candidates"
)  # fmt: skip
_ENOUGH = 50
"""On fewer prompts a share of zeros says nothing of a parser."""
_BILLED_ROWS, _BILLED_SHARE = 20, 0.95


def outcome_rows(rows: pd.DataFrame, forgotten: Collection[str]) -> pd.DataFrame:
    """Each row, and what makes it doubtful beside the others; `forgotten` holds sha256 of texts that were taken out."""
    ids, text, name = (pd.factorize(rows[column])[0] for column in ("prompt_id", "prompt", "candidate"))
    joined = rows["joined"].to_numpy() == 1
    table = rows.drop(columns=[FILE, LINE])
    first = _first_row(np.where(text >= 0, ids, -1))
    table["other_text"] = ((text != text[first]) & (ids >= 0) & (text >= 0)).astype(int)
    table["other_text_of"] = _where(table["other_text"] > 0, rows, first)
    pair = np.where((ids >= 0) & (name >= 0), ids * (name.max() + 1) + name, -1)
    first = _first_row(pair)
    table["earlier_rows_with_pair"] = ((pair >= 0) & (first != np.arange(len(rows)))).astype(int)
    table["earlier_rows_with_pair_of"] = _where(table["earlier_rows_with_pair"] > 0, rows, first)
    gone = [sha256_text(value) in forgotten for value in pd.factorize(rows["prompt"])[1]] if forgotten else []
    table["times_forgotten"] = np.array([*gone, False], dtype=int)[text] if forgotten else 0
    table["zero_unbilled"] = _unbilled(rows, name).astype(int)
    table["joined_id_unknown"] = (joined & ~np.isin(ids, ids[~joined])).astype(int)
    table["joined_again"] = (joined & np.isin(name, name[~joined]) & (name >= 0)).astype(int)
    return table


def _first_row(codes: Indices) -> Indices:
    """For each row the number of the first row with the same code."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


def _where(wanted: pd.Series, rows: pd.DataFrame, first: Indices) -> Binary:
    """For the wanted rows where the first such row stands, as text; "" for the others."""
    found = np.full(len(wanted), "", dtype=object)
    doubtful = np.flatnonzero(wanted)
    origin = rows.iloc[first[doubtful]]
    found[doubtful] = [f"{file}, line {line}" for file, line in zip(origin[FILE], origin[LINE], strict=True)]
    return found


def _unbilled(rows: pd.DataFrame, name: Indices) -> Binary:
    """Zeros without a cost, of a candidate whose better answers nearly all have one: calls that failed."""
    quality, cost = rows["quality"].to_numpy(), rows["cost"].to_numpy()
    above, billed = quality > 0, cost > 0
    count = np.bincount(name[above & (name >= 0)], minlength=int(name.max()) + 1)
    paid = np.bincount(name[above & billed & (name >= 0)], minlength=int(name.max()) + 1)
    bills = (count >= _BILLED_ROWS) & (paid >= _BILLED_SHARE * count)
    return np.asarray((quality == 0) & ~billed & (name >= 0) & bills[name])


def outcome_prompts(outcomes: Outcomes) -> pd.DataFrame:
    """One row a prompt: `prompt_id`, and the share of candidates that were tried on it."""
    tried = (~np.isnan(outcomes.quality)).mean(axis=1)
    return pd.DataFrame({"prompt_id": list(outcomes.prompt_ids), "tried_share": tried})


def outcome_candidates(outcomes: Outcomes) -> pd.DataFrame:
    """One row a candidate: how many outcomes it has, whether they vary, and whether its zeros look like answers.

    - `zeros_only_over`, `same_value_over`: its outcomes, where all are 0, or all one other value; else 0;
    - `zeros_where_half_succeed`, `zeros_where_all_succeed`: its share of exact 0 on the prompts on which at least half
      of at least two others, or all of at least three others, got more than 0; null on fewer than 50 such prompts;
    - `zero_run_log10`: log10 of the chance of its longest run of zeros, in the order of the table, over the former
      prompts, were its zeros spread at random; null where they are too few or too many to tell.
    """
    quality = outcomes.quality
    tried, zero = ~np.isnan(quality), quality == 0
    others, others_zero = tried.sum(axis=1), zero.sum(axis=1)
    found = []
    for c, candidate in enumerate(outcomes.candidates):
        own, mine = tried[:, c], zero[:, c]
        peers, peers_zero = others - own, others_zero - mine
        half = own & (peers >= 2) & (peers_zero * 2 <= peers)
        every = own & (peers >= 3) & (peers_zero == 0)
        values, count = np.unique(quality[own, c]), int(own.sum())
        found.append(
            {
                "candidate": candidate,
                "outcomes": count,
                "zeros_only_over": count if len(values) == 1 and values[0] == 0 else 0,
                "same_value_over": count if len(values) == 1 and values[0] != 0 else 0,
                "zeros_where_half_succeed": _share(mine[half]),
                "zeros_where_all_succeed": _share(mine[every]),
                "zero_run_log10": _run_log10(mine[half]),
            }
        )
    return pd.DataFrame(found)


def _share(zero: Binary) -> float:
    return float(zero.mean()) if len(zero) >= _ENOUGH else np.nan


def _run_log10(zero: Binary) -> float:
    """log10 of n (1 - p) p^L, which bounds the chance of a run of L zeros among n draws of chance p; at most 0."""
    share = _share(zero)
    if np.isnan(share) or share in (0.0, 1.0):
        return np.nan
    ends = np.flatnonzero(np.diff(np.concatenate([[False], zero, [False]]).astype(np.int8)))
    longest = int((ends[1::2] - ends[::2]).max())
    return float(min(0.0, np.log10(len(zero) * (1 - share)) + longest * np.log10(share)))
