"""Stage `validate`: Great Expectations judges data/prompts.csv before anything trains on it.

Rows that break a rule of severity `row` are put aside with their line and the reasons; a broken `critical`
rule, or too many rows put aside, stops the night. The rules and their limits are data/expectations/*.json.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from pipeline.data.agents import read_agents
from pipeline.data.fates import FATES, KEPT, QUARANTINED, Fate, fate_of, write_fates
from pipeline.data.forgetting import forgotten_rows
from pipeline.data.holdout import read_holdout
from pipeline.encoders.similarity import embed_for_comparison
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import Section, read
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import LINE, read_table, write_json, write_table
from pipeline.validation import derived_prompt_tables as tables
from pipeline.validation.expectations import CRITICAL, Judge, Suite, read_suites
from pipeline.validation.quarantine import RESULTS, Hearing

NAME = "validate"
PROMPTS = Path("data/prompts.csv")
CONTEXT = Path("var/gx")
DOCS = Path("var/reports/data_docs")
OUT = STAGES / NAME


class ValidationParams(Section):
    """How near two prompts may be, and how much quarantine the night bears; other limits are in the suites."""

    encoder: str
    near_duplicate_cosine: float = Field(gt=0, le=1)
    max_quarantined_share: float = Field(ge=0, le=1)


def validate(params: ValidationParams) -> Summary:
    """Judge data/prompts.csv; write the kept rows, the quarantine, the results, the fates and the Data Docs.

    All but the kept rows are written also where the stage fails.

    Raises:
        InputError: an input is missing or malformed, a critical rule failed, or too many rows are in quarantine.
    """
    for stale in [*OUT.glob("*.*"), FATES / f"{NAME}.parquet"]:
        stale.unlink(missing_ok=True)
    taxonomy = [agent.name for agent in read_agents()]
    holdout = read_holdout()
    suites = read_suites(tables.TABLES, tables.TABLES_WITH_LINES, others=tables.OUTCOME_TABLES)
    rows = read_table(PROMPTS)
    judge = Judge(suites, CONTEXT, DOCS)
    hearing = hear(rows, judge, taxonomy, holdout, params)
    _write(hearing, suites)
    first_page = judge.write_docs()
    _stop_where_failed(hearing, params, first_page)
    write_table(hearing.kept, OUT / "prompts.parquet")
    return _summary(hearing)


def hear(
    rows: pd.DataFrame, judge: Judge, taxonomy: list[str], holdout: tuple[str, ...], params: ValidationParams
) -> Hearing:
    """Judge the file, then each row, then the sound rows against one another, then what is left of them."""
    hearing = Hearing(rows)
    hearing.take(judge.judge(tables.PROMPTS_FILE, rows.drop(columns=LINE)), rows)
    if hearing.failed(CRITICAL):
        return Hearing(rows.iloc[:0], hearing.judgements)
    forgotten = {digest for _, digest in forgotten_rows(Path())}
    for name, table in (
        (tables.PROMPT_ROWS, tables.prompt_rows(rows, forgotten)),
        (tables.LABELS, tables.labels(rows)),
    ):
        hearing.take(judge.judge(name, table, LINE, {"taxonomy": taxonomy}), table)
    if hearing.kept.empty:
        return hearing
    vectors = embed_for_comparison(list(hearing.kept["prompt"]), params.encoder)
    table = tables.duplicates(hearing.kept, vectors, holdout)
    limit = {"near_duplicate_cosine": params.near_duplicate_cosine}
    hearing.take(judge.judge(tables.DUPLICATES, table, LINE, limit), table)
    for name, table, where in (
        (tables.KEPT_PROMPTS, tables.kept_prompts(hearing.kept), LINE),
        (tables.HOLDOUT, tables.holdout_ids(holdout, rows, hearing.kept), "prompt_id"),
        (tables.AGENTS, tables.agents(taxonomy, hearing.kept), "agent"),
    ):
        hearing.take(judge.judge(name, table, where), table)
    return hearing


def _write(hearing: Hearing, suites: dict[str, Suite]) -> None:
    put_aside = hearing.quarantined.reindex(columns=[LINE, "prompt_id", "prompt", "agents"])
    reasons = {line: "; ".join(found) for line, found in hearing.reasons.items()}
    write_table(put_aside.assign(reasons=[reasons[line] for line in put_aside[LINE]]), OUT / "quarantine.csv")
    write_fates(NAME, [_fate(row, reasons.get(row[LINE], "")) for row in hearing.rows.to_dict("records")])
    write_json(hearing.results(suites), OUT / RESULTS)


def _fate(row: Mapping[Hashable, Any], reason: str) -> Fate:
    fate = QUARANTINED if reason else KEPT
    return fate_of(row["prompt_id"], row["prompt"], fate, reason=reason, agents=row["agents"], line=row[LINE])


def _stop_where_failed(hearing: Hearing, params: ValidationParams, first_page: Path) -> None:
    put_aside = hearing.quarantined
    share = len(put_aside) / max(len(hearing.rows), 1)
    if len(put_aside) and (share > params.max_quarantined_share or hearing.kept.empty):
        line = int(put_aside[LINE].iloc[0])
        raise InputError(
            f"{len(put_aside)} of {len(hearing.rows)} rows of {PROMPTS} are in quarantine, over the limit of "
            f"{params.max_quarantined_share:.1%} (validate.max_quarantined_share); the first is line {line}: "
            f"{hearing.reasons[line][0]}; mend the rows in {OUT / 'quarantine.csv'}, or see {first_page}"
        )
    hearing.stop_at_critical(f"{first_page}, {OUT / RESULTS}")


def _summary(hearing: Hearing) -> Summary:
    return {
        "rows": len(hearing.rows),
        "kept": len(hearing.kept),
        "quarantined": len(hearing.quarantined),
        "rules": len(hearing.judgements),
        "failed": sum(not judgement.success for judgement in hearing.judgements),
    }


if __name__ == "__main__":
    run_stage(NAME, lambda: validate(read(NAME, ValidationParams)))
