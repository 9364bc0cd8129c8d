"""Stage `validate`: Great Expectations judges data/prompts.csv before anything trains on it.

Rows that break a rule of severity `row` are put aside with their line and the reasons; a broken `critical`
rule, or too many rows put aside, stops the night. The rules and their limits are data/expectations/*.json.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from pipeline.data.agents import read_agents
from pipeline.data.dataset import DATASET
from pipeline.data.fates import FATES, KEPT, QUARANTINED, Fate, fate_of, write_fates
from pipeline.data.forgetting import forgotten_rows
from pipeline.data.holdout import read_holdout
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import read
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import LINE, read_table, write_json, write_table
from pipeline.validation import derived_outcome_tables
from pipeline.validation import derived_prompt_tables as tables
from pipeline.validation.expectations import Suite, SuiteRunner, read_suites
from pipeline.validation.prompt_table import ValidationParams, check_table
from pipeline.validation.quarantine import RESULTS, TableCheck

NAME = "validate"
CONTEXT = Path("var/gx")
DOCS = Path("var/reports/data_docs")
OUT = STAGES / NAME


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
    suites = read_suites(tables.TABLES, tables.TABLES_WITH_LINES, others=derived_outcome_tables.OUTCOME_TABLES)
    rows = read_table(DATASET)
    runner = SuiteRunner(suites, CONTEXT, DOCS)
    forgotten = {digest for _, digest in forgotten_rows(Path())}
    checked = check_table(rows, runner, taxonomy, holdout, forgotten, params)
    _write(checked, suites)
    first_page = runner.write_docs()
    _stop_where_failed(checked, params, first_page)
    write_table(checked.kept, OUT / "prompts.parquet")
    return _summary(checked)


def _write(checked: TableCheck, suites: dict[str, Suite]) -> None:
    put_aside = checked.quarantined.reindex(columns=[LINE, "prompt_id", "prompt", "agents"])
    reasons = {line: "; ".join(found) for line, found in checked.reasons.items()}
    write_table(put_aside.assign(reasons=[reasons[line] for line in put_aside[LINE]]), OUT / "quarantine.csv")
    write_fates(NAME, [_fate(row, reasons.get(row[LINE], "")) for row in checked.rows.to_dict("records")])
    write_json(checked.results(suites), OUT / RESULTS)


def _fate(row: Mapping[Hashable, Any], reason: str) -> Fate:
    fate = QUARANTINED if reason else KEPT
    return fate_of(row["prompt_id"], row["prompt"], fate, reason=reason, agents=row["agents"], line=row[LINE])


def _stop_where_failed(checked: TableCheck, params: ValidationParams, first_page: Path) -> None:
    put_aside = checked.quarantined
    share = len(put_aside) / max(len(checked.rows), 1)
    if len(put_aside) and (share > params.max_quarantined_share or checked.kept.empty):
        line = int(put_aside[LINE].iloc[0])
        raise InputError(
            f"{len(put_aside)} of {len(checked.rows)} rows of {DATASET} are in quarantine, over the limit of "
            f"{params.max_quarantined_share:.1%} (validate.max_quarantined_share); the first is line {line}: "
            f"{checked.reasons[line][0]}; mend the rows in {OUT / 'quarantine.csv'}, or see {first_page}"
        )
    checked.stop_at_critical(f"{first_page}, {OUT / RESULTS}")


def _summary(checked: TableCheck) -> Summary:
    return {
        "rows": len(checked.rows),
        "kept": len(checked.kept),
        "quarantined": len(checked.quarantined),
        "rules": len(checked.rule_results),
        "failed": sum(not result.success for result in checked.rule_results),
    }


if __name__ == "__main__":
    run_stage(NAME, lambda: validate(read(NAME, ValidationParams)))
