"""Stage `validate` of a night for models: Great Expectations judges an outcome table before anything learns from it.

Outcomes that break a rule of severity `row` are put aside with file, line and reasons, and their cells count as not
tried; a broken `critical` rule, or too many rows put aside, stops the night; a `warning` is told. The rules and their
limits are data/expectations/outcome_*.json. Prompts are not compared for nearness, as those of agents are: questions
of one benchmark differ by a figure and still have outcomes of their own, and a million texts are not embedded for it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.agents import read_agents
from pipeline.data.fates import FATES, KEPT, QUARANTINED, Fate, fate_of, write_fates
from pipeline.data.forgetting import forgotten_rows
from pipeline.data.names import refuse_columns
from pipeline.data.outcomes import Outcomes
from pipeline.data.stage_rows import JOINING, StageRows, graded_table
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import Section
from pipeline.runtime.stage import Summary, run_stage_of
from pipeline.runtime.tables import LINE, read_table, write_json, write_table
from pipeline.runtime.track import MODELS
from pipeline.validation import derived_outcome_tables as tables
from pipeline.validation import derived_prompt_tables
from pipeline.validation.expectations import WARNING, Suite, SuiteRunner, read_suites
from pipeline.validation.quarantine import RESULTS, TableCheck
from pipeline.validation.raw_outcomes import FILE, ROW, candidate_files, gathered, is_label_table, outcome_columns

NAME = "validate"
CANDIDATES = Path("data/candidates")
CONTEXT = Path("var/gx/outcomes")
DOCS = Path("var/reports/outcome_docs")


LABELS = "labels"
"""The shape of a table that says which agents are right: outcomes of 0 and 1, as the shipped prompts are."""


class ModelValidationParams(Section):
    """Which table, and how much quarantine the night bears; other limits are in the suites."""

    table: str
    max_quarantined_share: float = Field(ge=0, le=1)


def validate(params: ModelValidationParams, stages: Path = MODELS.stages) -> Summary:
    """Judge the table and data/candidates; write what is kept, the quarantine, the results, the fates, the Data Docs.

    `rows.parquet` has a row a prompt, `rows_outcomes.parquet` what the table's candidates did on them, and
    `joining.parquet` what candidates did that joined later. All but these three are written also where the stage fails.

    Raises:
        InputError: an input is missing or malformed, a critical rule failed, or too many rows are in quarantine.
    """
    out, fates = stages / NAME, stages / FATES.name
    for stale in [*out.glob("*.*"), fates / f"{NAME}.parquet"]:
        stale.unlink(missing_ok=True)
    suites = read_suites(tables.OUTCOME_TABLES, (tables.OUTCOME_ROWS,), others=derived_prompt_tables.TABLES)
    runner = SuiteRunner(suites, CONTEXT, DOCS)
    checked = check_table(Path(params.table), runner)
    kept, joining = _kept_rows(checked.kept), _joining(checked.kept)
    _write(checked, suites, kept, out, fates)
    first_page = runner.write_docs()
    _stop_where_failed(checked, params, out, first_page)
    kept.write(out / "rows.parquet")
    write_table(joining, out / JOINING)
    return _summary(checked, len(kept))


def check_table(table: Path, runner: SuiteRunner) -> TableCheck:
    """Judge the file, then each row, then what is left of them as a whole, by prompt and by candidate."""
    frame = read_table(table)
    columns = pd.DataFrame(columns=outcome_columns(frame), index=[0])
    found = runner.run(tables.OUTCOME_FILE, columns)
    if not all(result.success for result in found):
        return TableCheck(_none_gathered(), found, where=ROW)
    rows = gathered(table, frame, candidate_files(CANDIDATES), read_agents() if is_label_table(frame) else ())
    del frame
    refuse_columns(rows["candidate"].dropna(), table)
    checked = TableCheck(rows, found, where=ROW)
    forgotten = {digest for _, digest in forgotten_rows(Path())}
    judged = tables.outcome_rows(rows, forgotten)
    checked.record(runner.run(tables.OUTCOME_ROWS, judged, ROW), judged)
    del judged
    kept = checked.kept
    if kept.empty:
        return checked
    # A label's unknown agent is no candidate: its row is put aside, and nothing is expected of it.
    named = rows[rows["known"].fillna(1) == 1] if "known" in rows.columns else rows
    outcomes = _outcomes(kept, sorted(set(named["candidate"].dropna())))
    for name, part, where in (
        (tables.OUTCOME_KEPT, kept[[ROW, "quality"]], ROW),
        (tables.OUTCOME_PROMPTS, tables.outcome_prompts(outcomes), "prompt_id"),
        (tables.OUTCOME_CANDIDATES, tables.outcome_candidates(outcomes), "candidate"),
    ):
        checked.record(runner.run(name, part, where), part)
    return checked


def _none_gathered() -> pd.DataFrame:
    columns = (ROW, FILE, LINE, "prompt_id", "prompt", "candidate", "quality", "cost", "joined")
    return pd.DataFrame({name: [] for name in columns})


def _outcomes(kept: pd.DataFrame, candidates: Sequence[str]) -> Outcomes:
    """Sound rows as outcomes; prompts stand in the order of their first row."""
    row, ids = pd.factorize(kept["prompt_id"])
    column = pd.Index(candidates).get_indexer(pd.Index(kept["candidate"]))
    quality = np.full((len(ids), len(candidates)), np.nan, dtype=np.float32)
    cost = quality.copy()
    quality[row, column] = kept["quality"].to_numpy()
    cost[row, column] = kept["cost"].to_numpy()
    first = kept.drop_duplicates("prompt_id")
    datasets = tuple(first["dataset"].fillna("")) if "dataset" in kept.columns else None
    return Outcomes(tuple(ids), tuple(first["prompt"]), tuple(candidates), quality, cost, False, datasets=datasets)


def _kept_rows(kept: pd.DataFrame) -> StageRows:
    """The table's own prompts, `prompt_id, prompt, line[, dataset]`, with what its candidates did."""
    own = kept[kept["joined"] == 0]
    prompts = own.drop_duplicates("prompt_id")
    text = [name for name in ("prompt_id", "prompt", "dataset") if name in own.columns]
    prompts = prompts.fillna({"dataset": ""}).astype({**dict.fromkeys(text, "string"), LINE: "int64"})
    prompts = prompts[["prompt_id", "prompt", LINE, *text[2:]]].reset_index(drop=True)
    return StageRows(prompts, graded_table(_outcomes(own, sorted(set(own["candidate"])))))


def _joining(kept: pd.DataFrame) -> pd.DataFrame:
    """What candidates did that joined later, a row an outcome."""
    later = kept[kept["joined"] == 1]
    return graded_table(_outcomes(later, sorted(set(later["candidate"]))))


def _write(checked: TableCheck, suites: dict[str, Suite], kept: StageRows, out: Path, fates: Path) -> None:
    put_aside = checked.quarantined.drop_duplicates(ROW)
    told = put_aside.assign(
        agents=[_written(row) for row in put_aside.to_dict("records")],
        reasons=["; ".join(checked.reasons[row]) for row in put_aside[ROW]],
    )
    write_table(told[[FILE, LINE, "prompt_id", "prompt", "agents", "reasons"]], out / "quarantine.csv")
    write_fates(NAME, _fates(checked, kept), fates)
    write_json(checked.results(suites), out / RESULTS)


def _written(row: Mapping[Hashable, Any]) -> str:
    """An outcome, or a label, about as it stands in its file."""
    if isinstance(row.get("label"), str):
        return str(row["label"])
    figures = [f"{mark}{row[name]:g}" for mark, name in (("=", "quality"), ("@", "cost")) if not np.isnan(row[name])]
    return "".join([row["candidate"] or "", *figures])


def _fates(checked: TableCheck, kept: StageRows) -> list[Fate]:
    """One for each text of each id in the table; it is kept where one of its outcomes is."""
    rows = checked.rows[checked.rows["joined"] == 0]
    aside = rows[ROW].isin(checked.reasons)
    text = rows.groupby(["prompt_id", "prompt"], sort=False, dropna=False).ngroup()
    put_aside = aside.groupby(text).sum().tolist()
    outcomes = aside.groupby(text).size().tolist()
    first = rows[ROW].where(aside, 0).groupby(text).max().tolist()
    labelled = kept.labelled()
    best = dict(zip(labelled["prompt_id"], labelled["agents"], strict=True))
    about = rows.drop_duplicates(["prompt_id", "prompt"])[["prompt_id", "prompt", LINE]].to_numpy().tolist()
    return [
        _fate(name or "", words or "", line, best, lost, of, checked.reasons.get(row, [""]))
        for (name, words, line), lost, of, row in zip(about, put_aside, outcomes, first, strict=True)
    ]


def _fate(
    name: str, text: str, line: int, best: Mapping[str, str], aside: int, of: int, reasons: Sequence[str]
) -> Fate:
    if aside == of:
        return fate_of(name, text, QUARANTINED, reason="; ".join(reasons), line=line)
    reason = f"{aside} of {of} outcomes in quarantine: {reasons[0]}" if aside else ""
    return fate_of(name, text, KEPT, reason=reason, agents=best[name], line=line)


def _stop_where_failed(checked: TableCheck, params: ModelValidationParams, out: Path, first_page: Path) -> None:
    """Each file is held to the limit by itself, so that a broken one does not hide behind a large one."""
    lines = checked.rows.drop_duplicates(ROW)
    for file, rows in lines.groupby(FILE, observed=True):
        put_aside = rows[rows[ROW].isin(checked.reasons)]
        if len(put_aside) and (
            len(put_aside) > params.max_quarantined_share * len(rows) or len(put_aside) == len(rows)
        ):
            first = put_aside.iloc[0]
            raise InputError(
                f"{len(put_aside)} of {len(rows)} rows of {file} are in quarantine, over the limit of "
                f"{params.max_quarantined_share:.1%} (models.validate.max_quarantined_share); the first is line "
                f"{first[LINE]}: {checked.reasons[int(first[ROW])][0]}; mend the rows in {out / 'quarantine.csv'}, "
                f"or see {first_page}"
            )
    checked.stop_at_critical(f"{first_page}, {out / RESULTS}")


def _summary(checked: TableCheck, prompts: int) -> Summary:
    lines = checked.rows.drop_duplicates(ROW)
    labels = "label" in lines.columns and bool(lines["label"].notna().any())
    return {
        "shape": LABELS if labels else "outcomes",
        "rows": len(lines),
        "quarantined": len(checked.reasons),
        "prompts": prompts,
        "candidates": int(checked.kept.loc[checked.kept["joined"] == 0, "candidate"].nunique()),
        "joining": int(checked.kept.loc[checked.kept["joined"] == 1, "candidate"].nunique()),
        "rules": len(checked.rule_results),
        "failed": sum(not result.success for result in checked.rule_results),
        "warnings": len(checked.failed(WARNING)),
    }


if __name__ == "__main__":
    run_stage_of(MODELS, NAME, lambda track: validate(track.read(NAME, ModelValidationParams), track.stages))
