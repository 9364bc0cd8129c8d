"""Stage `validate`: Great Expectations judges data/prompts.csv before anything trains on it.

Rows that break a rule of severity `row` are put aside with their line and the reasons; a broken `critical`
rule, or too many rows put aside, stops the night. The rules and their limits are data/expectations/*.json.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from pipeline import judged_tables as tables
from pipeline.agents import read_agents
from pipeline.errors import InputError
from pipeline.expectations import CRITICAL, ROW, SUITES, Judge, Judgement, Rule, Suite, read_suites
from pipeline.fates import FATES, KEPT, QUARANTINED, Fate, fate_of, write_fates
from pipeline.forgetting import forgotten_rows
from pipeline.holdout import read_holdout
from pipeline.near_duplicates import embed_for_comparison
from pipeline.params import Section, read
from pipeline.stage import STAGES, Summary, run_stage
from pipeline.tables import LINE, read_table, write_json, write_table

NAME = "validate"
PROMPTS = Path("data/prompts.csv")
CONTEXT = Path("var/gx")
DOCS = Path("var/reports/data_docs")
OUT = STAGES / NAME
_SHOWN = 100


class ValidationParams(Section):
    """How near two prompts may be, and how much quarantine the night bears; other limits are in the suites."""

    encoder: str
    near_duplicate_cosine: float = Field(gt=0, le=1)
    max_quarantined_share: float = Field(ge=0, le=1)


@dataclass
class Hearing:
    """What is known of the rows while the suites are judged. Law: a line is in `reasons` or its row is kept."""

    rows: pd.DataFrame
    judgements: list[Judgement] = field(default_factory=list)
    reasons: dict[int, list[str]] = field(default_factory=dict)

    def take(self, judgements: Iterable[Judgement], table: pd.DataFrame) -> None:
        """Record judgements on a table; rows that break a row rule of it are put aside."""
        for judgement in judgements:
            self.judgements.append(judgement)
            if judgement.rule.severity == ROW:
                self._put_aside(judgement, table)

    def _put_aside(self, judgement: Judgement, table: pd.DataFrame) -> None:
        about = f"{judgement.rule.column}_of"
        partner = dict(zip(table[LINE], table[about], strict=True)) if about in table.columns else {}
        for failure in judgement.failures:
            line = int(failure.where)
            # A prompt's text would outlive its erasure in the fates.
            detail = partner.get(line) or ("" if judgement.rule.column == "prompt" else _show(failure.value))
            reason = f"{judgement.rule.name} ({detail})" if detail else judgement.rule.name
            reasons = self.reasons.setdefault(line, [])
            if reason not in reasons:
                reasons.append(reason)

    @property
    def kept(self) -> pd.DataFrame:
        return self.rows[~self.rows[LINE].isin(self.reasons)].reset_index(drop=True)

    @property
    def quarantined(self) -> pd.DataFrame:
        return self.rows[self.rows[LINE].isin(self.reasons)].reset_index(drop=True)

    def failed(self, severity: str) -> list[Judgement]:
        return [found for found in self.judgements if found.rule.severity == severity and not found.success]


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
    suites = read_suites(tables.TABLES, tables.TABLES_WITH_LINES)
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
    found = {judgement.rule.name: judgement for judgement in hearing.judgements}
    rules = [rule for suite in suites.values() for rule in suite.rules]
    write_json([_result(rule, found.get(rule.name)) for rule in rules], OUT / "results.json")


def _fate(row: Mapping[Hashable, Any], reason: str) -> Fate:
    fate = QUARANTINED if reason else KEPT
    return fate_of(row["prompt_id"], row["prompt"], fate, reason=reason, agents=row["agents"], line=row[LINE])


def _result(rule: Rule, judgement: Judgement | None) -> dict[str, object]:
    """One rule's line in results.json; `success` is null where the stage stopped before the rule was judged."""
    facts: dict[str, object] = {"rule": rule.name, "suite": rule.suite, "severity": rule.severity, "why": rule.why}
    if judgement is None:
        return {**facts, "success": None, "observed": None, "unexpected": None}
    unexpected = len(judgement.failures)
    return {**facts, "success": judgement.success, "observed": judgement.observed, "unexpected": unexpected}


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
    for judgement in hearing.failed(CRITICAL):
        raise InputError(
            f"rule '{judgement.rule.name}' failed: {_observed(judgement)}. {judgement.rule.why.rstrip('.')} "
            f"(limits: {SUITES / judgement.rule.suite}.json; details: {first_page}, {OUT / 'results.json'})"
        )


def _observed(judgement: Judgement) -> str:
    if not judgement.failures:
        return f"observed {_show(judgement.observed)}"
    shown = ", ".join(f"{failure.where}: {_show(failure.value)}" for failure in judgement.failures[:3])
    return f"{len(judgement.failures)} unexpected, {shown}" + (", ..." if len(judgement.failures) > 3 else "")


def _show(value: object) -> str:
    """A value as a short piece of one line; nothing where there is none."""
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


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
