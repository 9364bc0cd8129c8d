"""The table of prompts held against its suites: what a night keeps of it, and what it puts aside."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd
from pydantic import Field

from pipeline.encoders.similarity import embed_for_comparison
from pipeline.runtime.params import Section
from pipeline.runtime.tables import LINE
from pipeline.validation import derived_prompt_tables as tables
from pipeline.validation.expectations import CRITICAL, SuiteRunner
from pipeline.validation.quarantine import TableCheck


class ValidationParams(Section):
    """How near two prompts may be, how much one source may add, and how much quarantine the night bears.

    Other limits are in the suites.
    """

    encoder: str
    near_duplicate_cosine: float = Field(gt=0, le=1)
    holdout_overlap: float = Field(gt=0, le=1)
    source_growth: float = Field(ge=0)
    max_quarantined_share: float = Field(ge=0, le=1)


def check_table(
    rows: pd.DataFrame,
    runner: SuiteRunner,
    taxonomy: Sequence[str],
    holdout: Sequence[str],
    forgotten: Collection[str],
    params: ValidationParams,
) -> TableCheck:
    """Judge the file, then each row, then the sound rows against one another, then what is left of them.

    `taxonomy` are the agents' names, `holdout` the ids of the frozen holdout, `forgotten` the sha256 of each text that
    was taken out on request.

    Raises:
        InputError: a rule could not be evaluated.
    """
    checked = TableCheck(rows)
    checked.record(runner.run(tables.PROMPTS_FILE, rows.drop(columns=LINE)), rows)
    if checked.failed(CRITICAL):
        return TableCheck(rows.iloc[:0], checked.rule_results)
    for name, table in (
        (tables.PROMPT_ROWS, tables.prompt_rows(rows, forgotten)),
        (tables.LABELS, tables.labels(rows)),
    ):
        checked.record(runner.run(name, table, LINE, {"taxonomy": list(taxonomy)}), table)
    if checked.kept.empty:
        return checked
    vectors = embed_for_comparison(list(checked.kept["prompt"]), params.encoder)
    table = tables.duplicates(checked.kept, vectors, holdout)
    limits = {"near_duplicate_cosine": params.near_duplicate_cosine, "holdout_overlap": params.holdout_overlap}
    checked.record(runner.run(tables.DUPLICATES, table, LINE, limits), table)
    for name, table, where in (
        (tables.KEPT_PROMPTS, tables.kept_prompts(checked.kept), LINE),
        (tables.HOLDOUT, tables.holdout_ids(holdout, rows, checked.kept), "prompt_id"),
        (tables.AGENTS, tables.agents(taxonomy, checked.kept), "agent"),
    ):
        checked.record(runner.run(name, table, where), table)
    grown = tables.sources(checked.kept)
    checked.record(runner.run(tables.SOURCES, grown, "source", {"source_growth": params.source_growth}), grown)
    return checked
