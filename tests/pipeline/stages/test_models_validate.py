"""Each rule of data/expectations/outcome_*.json can fail, and what fails it is named, placed and kept out."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_tables import reference_table
from sandbox import ROOT

from pipeline.data.fates import KEPT, QUARANTINED, read_fates
from pipeline.data.stage_rows import outcomes_of
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import read_table, sha256_text, write_table
from pipeline.stages import models_validate as stage
from pipeline.stages.models_validate import CANDIDATES, DOCS, ModelValidationParams, check_table, validate
from pipeline.validation import derived_outcome_tables as tables
from pipeline.validation.derived_prompt_tables import TABLES as PROMPT_TABLES
from pipeline.validation.expectations import CRITICAL, ROW, WARNING, SuiteRunner, read_suites
from pipeline.validation.quarantine import TableCheck
from pipeline.validation.raw_outcomes import candidate_files

DATA = ROOT / "data"
TABLE, STAGES = Path("data/outcomes.csv"), Path("var/models")
PARAMS = ModelValidationParams(table=str(TABLE), max_quarantined_share=0.02)
NAMES = ("big", "middle", "small", "tiny")
Frame = pd.DataFrame
Spoil = Callable[[Frame], Frame | None]
"""Changes a table in place, or returns another one."""


def written() -> tuple[Frame, Frame]:
    """The prompts and the outcomes that the stage wrote."""
    prompts, graded = (pd.read_parquet(STAGES / f"validate/{name}.parquet") for name in ("rows", "rows_outcomes"))
    return prompts, graded


def sound(prompts: int = 120) -> Frame:
    """Outcomes of four candidates, each right on its share of the prompts; row i is on line i + 2."""
    random = np.random.default_rng(5)
    right = random.random((prompts, len(NAMES))) < np.array([0.9, 0.8, 0.75, 0.7])
    return pd.DataFrame(
        {
            "prompt_id": np.repeat([f"q{i}" for i in range(prompts)], len(NAMES)),
            "prompt": np.repeat([f"What is {i} times {i + 3}?" for i in range(prompts)], len(NAMES)),
            "candidate": np.tile(NAMES, prompts),
            "quality": right.ravel().astype(float),
            "cost": np.tile([0.02, 0.01, 0.002, 0.001], prompts),
            "dataset": "sums",
        }
    ).astype({"quality": object, "cost": object})


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(DATA / "expectations", tmp_path / "data/expectations")
    shutil.copy(DATA / "agents.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> SuiteRunner:
    """One Great Expectations context for all the examples below."""
    folder = tmp_path_factory.mktemp("gx")
    suites = read_suites(tables.OUTCOME_TABLES, (tables.OUTCOME_ROWS,), DATA / "expectations", PROMPT_TABLES)
    return SuiteRunner(suites, folder / "gx", folder / "docs")


@pytest.fixture
def quick(runner: SuiteRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole stage, without rendering anew what the shared context has judged before."""
    monkeypatch.setattr(stage, "SuiteRunner", lambda *_: runner)
    monkeypatch.setattr(runner, "write_docs", lambda: DOCS / "index.html")


def check(frame: Frame, runner: SuiteRunner) -> TableCheck:
    write_table(frame, TABLE)
    return check_table(TABLE, runner)


def broken(checked: TableCheck) -> set[str]:
    return {result.rule.name for result in checked.rule_results if not result.success}


def cell(column: str, value: object, row: int = 60) -> Spoil:
    def spoil(frame: Frame) -> None:
        frame.loc[row, column] = value

    return spoil


def repeat_pair(frame: Frame) -> None:
    frame.loc[60, ["prompt_id", "prompt", "candidate"]] = frame.loc[0, ["prompt_id", "prompt", "candidate"]].tolist()


def bring_back(frame: Frame) -> None:
    frame.loc[60, ["prompt_id", "prompt"]] = ["gone", "Where do I live?"]
    line = f"p0007,{sha256_text('Where do I live?')},2026-11-22,ana,deletion request"
    Path("data/forgotten.csv").write_text(f"prompt_id,text_sha256,forgotten_on,by,reason\n{line}\n")


def fail_a_call(frame: Frame) -> None:
    frame.loc[60, ["quality", "cost"]] = [0.0, 0.0]


ROW_EXAMPLES: list[tuple[str, Spoil]] = [
    ("outcome_id_present", cell("prompt_id", " ")),
    ("outcome_prompt_present", cell("prompt", "")),
    ("candidate_present", cell("candidate", "")),
    ("candidate_form", cell("candidate", "big|small")),
    ("candidate_form", cell("candidate", "big\nger")),
    ("quality_present", cell("quality", "")),
    ("quality_readable", cell("quality", "good")),
    ("quality_present", cell("quality", "nan")),
    ("quality_in_range", cell("quality", 1.01)),
    ("quality_in_range", cell("quality", -0.5)),
    ("quality_readable", cell("quality", "inf")),
    ("cost_readable", cell("cost", "free")),
    ("cost_in_range", cell("cost", -0.1)),
    ("cost_readable", cell("cost", "inf")),
    ("cost_in_range", cell("cost", 1001)),
    ("pair_once", repeat_pair),
    ("one_text_for_an_id", cell("prompt", "What else?", row=61)),
    ("outcome_not_forgotten", bring_back),
    ("zero_is_an_answer", fail_a_call),
]
FEW = {"enough_outcomes_per_candidate"}
"""A misspelt candidate's only outcome is gone, and is missed."""


@pytest.mark.parametrize(("rule", "spoil"), ROW_EXAMPLES)
def test_an_outcome_that_breaks_a_rule_is_put_aside_under_that_rule(
    rule: str, spoil: Spoil, runner: SuiteRunner
) -> None:
    frame = sound()
    spoil(frame)
    checked = check(frame, runner)
    assert broken(checked) - FEW == {rule}
    (row,) = checked.reasons
    aside = checked.quarantined.iloc[0]
    assert aside["line"] == (63 if rule == "one_text_for_an_id" else 62)
    assert [reason.split(" (")[0] for reason in checked.reasons[row]] == [rule]
    assert len(checked.kept) == len(frame) - 1


def test_what_cannot_be_read_is_shown(runner: SuiteRunner) -> None:
    frame = sound()
    frame.loc[60, "quality"], frame.loc[64, "prompt"] = "quite good", "Another text"
    reasons = check(frame, runner).reasons
    assert reasons[61] == ["quality_readable (quite good)"]
    assert len(reasons) == 1 + 3, "the first text of an id stays, right or wrong"
    assert reasons[66] == ["one_text_for_an_id (data/outcomes.csv, line 66)"]


def test_an_empty_cost_is_unknown_and_a_zero_without_one_is_an_answer_where_nobody_is_billed(
    runner: SuiteRunner,
) -> None:
    frame = sound()
    frame["cost"] = ["0" if i % 4 == 0 else "" for i in range(len(frame))]
    assert not broken(check(frame, runner))


# --- Rules about the whole: rule, how the table is spoilt, what is told.


def lose_column(frame: Frame) -> None:
    del frame["quality"]


def all_alike(frame: Frame) -> None:
    frame["quality"] = 0.5


def lose_prompts(frame: Frame) -> Frame:
    return frame.iloc[: 19 * len(NAMES)]


def misname(_: Frame) -> Frame:
    """Names that hardly ever match: each of 300 candidates on 12 prompts of 3,600."""
    return pd.DataFrame(
        {
            "prompt_id": [f"q{i}" for i in range(3600)],
            "prompt": [f"What is {i}?" for i in range(3600)],
            "candidate": [f"c{i % 300}" for i in range(3600)],
            "quality": [float(i % 7 < 4) for i in range(3600)],
        }
    )


def try_little(frame: Frame) -> Frame:
    return frame[np.random.default_rng(0).random(len(frame)) < 0.4]


def try_one_rarely(frame: Frame) -> Frame:
    return frame[(frame["candidate"] != "tiny") | (frame.index < 9 * len(NAMES))]


def of(name: str, value: object, rows: slice = slice(None)) -> Spoil:
    def spoil(frame: Frame) -> None:
        frame.loc[frame.index[frame["candidate"] == name][rows], "quality"] = value

    return spoil


def parse_hardly_any(frame: Frame) -> None:
    of("tiny", 0.0)(frame)
    of("tiny", 1.0, slice(0, 1))(frame)


def parse_half(frame: Frame) -> None:
    random = np.random.default_rng(3)
    for row in frame.index[frame["candidate"] == "tiny"]:
        if random.random() < 0.7:
            frame.loc[row, "quality"] = 0.0


WHOLE_EXAMPLES: list[tuple[str, set[str], Spoil, str]] = [
    ("outcome_columns", set(), lose_column, "quality"),
    ("quality_varies", {"candidate_not_constant"}, all_alike, "observed 1"),
    ("enough_outcome_prompts", set(), lose_prompts, "observed 19"),
    ("cells_tried", {"most_cells_tried"}, misname, "observed 0.0033"),
    ("most_cells_tried", set(), try_little, ""),
    ("enough_outcomes_per_candidate", set(), try_one_rarely, "tiny: 9"),
    ("candidate_not_only_zeros", {"zeros_not_everywhere", "zeros_as_others_have"}, of("tiny", 0.0), "tiny: 120"),
    ("zeros_not_everywhere", {"zeros_as_others_have"}, parse_hardly_any, "tiny: 0.99"),
    ("zeros_as_others_have", set(), parse_half, ""),
    ("zeros_not_in_a_run", set(), of("tiny", 0.0, slice(40, 75)), ""),
    ("candidate_not_constant", set(), of("tiny", 0.5), ""),
]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("rule", "others", "spoil", "told"), WHOLE_EXAMPLES)
def test_a_table_that_is_doubtful_as_a_whole_stops_the_stage_or_is_told(
    rule: str, others: set[str], spoil: Spoil, told: str
) -> None:
    frame = sound()
    spoilt = spoil(frame)
    write_table(frame if spoilt is None else spoilt, TABLE)
    if rule in severities(CRITICAL):
        with pytest.raises(InputError) as stop:
            validate(PARAMS, STAGES)
        message = str(stop.value)
        assert message.startswith(f"rule '{rule}' failed: ")
        assert told in message
        assert f"data/expectations/{suite_of(rule)}.json" in message
        assert "\n" not in message
        assert stop.value.exit_code == 2
        assert not (STAGES / "validate/rows.parquet").exists()
    else:
        assert validate(PARAMS, STAGES)["warnings"] == 1
    assert {result["rule"] for result in results() if result["success"] is False} == {rule} | others
    assert (STAGES / "validate/quarantine.csv").exists()


def results() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((STAGES / "validate/results.json").read_text(encoding="utf-8"))
    return found


def suites() -> dict[str, Any]:
    return dict(read_suites(tables.OUTCOME_TABLES, (tables.OUTCOME_ROWS,), DATA / "expectations", PROMPT_TABLES))


def severities(wanted: str) -> set[str]:
    return {rule.name for suite in suites().values() for rule in suite.rules if rule.severity == wanted}


def suite_of(name: str) -> str:
    return next(rule.suite for suite in suites().values() for rule in suite.rules if rule.name == name)


def test_every_rule_has_an_example_that_breaks_it() -> None:
    elsewhere = {"labelled_agent_known", "joining_prompt_known", "joining_candidate_new"}
    assert {example[0] for example in ROW_EXAMPLES} | elsewhere == severities(ROW)
    assert {example[0] for example in WHOLE_EXAMPLES} == severities(CRITICAL) | severities(WARNING)


def test_a_weak_candidate_fails_where_the_others_fail_and_is_no_parse_failure(runner: SuiteRunner) -> None:
    """Half of the prompts are hard: there everybody fails, the weak one always."""
    frame = sound(400)
    hard = np.repeat(np.random.default_rng(1).random(400) < 0.5, len(NAMES))
    chance = np.tile([0.5, 0.4, 0.3, 0.0], 400)
    wrong = np.random.default_rng(2).random(len(frame)) > chance
    frame.loc[hard & wrong, "quality"] = 0.0
    assert not broken(check(frame, runner))


# --- The stage as a whole.


def outputs() -> dict[str, bytes]:
    files = [*sorted((STAGES / "validate").glob("*")), STAGES / "fates/validate.parquet"]
    return {path.name: path.read_bytes() for path in files}


def test_sound_outcomes_become_a_row_a_prompt_and_each_output_is_the_same_bytes_again() -> None:
    frame = sound()
    frame.loc[60, "quality"] = 7
    frame = frame.drop(index=4).reset_index(drop=True)
    write_table(frame, TABLE)
    summary = validate(PARAMS, STAGES)
    assert summary == {
        "shape": "outcomes", "rows": 479, "quarantined": 1, "prompts": 120, "candidates": 4, "joining": 0,
        "rules": 27, "failed": 1, "warnings": 0,
    }  # fmt: skip
    rows, graded = written()
    assert rows.columns.tolist() == ["prompt_id", "prompt", "line", "dataset"]
    assert graded.columns.tolist() == ["prompt_id", "candidate", "quality", "cost"]
    assert len(graded) == 478
    assert rows["prompt_id"].tolist() == [f"q{i}" for i in range(120)]
    assert rows["line"].tolist()[:3] == [2, 6, 9]
    found = outcomes_of(rows, graded)
    assert found.candidates == NAMES
    expected = (
        frame.drop(index=59).pivot(index="prompt_id", columns="candidate", values="quality").loc[rows["prompt_id"]]
    )
    np.testing.assert_array_equal(found.quality, expected.to_numpy(np.float32))
    np.testing.assert_allclose(found.cost[0], [0.02, 0.01, 0.002, 0.001], rtol=1e-6)
    joining = pd.read_parquet(STAGES / "validate/joining.parquet")
    assert len(joining) == 0
    assert joining.dtypes.tolist() == graded.dtypes.tolist()
    first = outputs()
    validate(PARAMS, STAGES)
    assert outputs() == first
    pages = {path.name for path in DOCS.rglob("*.html")}
    assert {"index.html", "outcome_rows.html", "outcome_candidates.html"} <= pages


@pytest.mark.usefixtures("quick")
def test_an_outcome_in_quarantine_keeps_file_line_and_reasons_and_its_prompt_goes_on() -> None:
    frame = sound()
    frame.loc[0, "prompt"] = 'Two lines,\n"quoted"?'
    frame.loc[[1, 2, 3], "prompt"] = frame.loc[0, "prompt"]
    frame.loc[61, ["quality", "cost"]] = ["7", "-1"]
    frame.loc[range(80, 84), "quality"] = "?"
    write_table(frame, TABLE)
    validate(PARAMS, STAGES)
    with (STAGES / "validate/quarantine.csv").open(encoding="utf-8", newline="") as file:
        aside = list(csv.DictReader(file))
    assert [(row["file"], row["line"], row["prompt_id"]) for row in aside] == [
        ("data/outcomes.csv", str(63 + 4), "q15"), *(("data/outcomes.csv", str(n + 6), "q20") for n in range(80, 84))
    ]  # fmt: skip
    assert aside[0]["reasons"] == "quality_in_range (7); cost_in_range (-1)"
    assert aside[0]["agents"] == "middle=7@-1"
    fates = read_fates("validate", STAGES / "fates").set_index("prompt_id")
    assert fates["fate"].value_counts().to_dict() == {KEPT: 119, QUARANTINED: 1}
    assert fates.loc["q15", "reason"] == "1 of 4 outcomes in quarantine: quality_in_range (7)"
    assert fates.loc["q20", "fate"] == QUARANTINED
    assert fates.loc["q20", "line"] == 86
    graded = written()[1].query("prompt_id == 'q15'")
    assert graded["candidate"].tolist() == ["big", "small", "tiny"]
    assert fates.loc["q15", "agents"] == "|".join(graded.query("quality == 1")["candidate"])


@pytest.mark.usefixtures("quick")
def test_too_many_outcomes_in_quarantine_stop_the_stage() -> None:
    frame = sound()
    frame.loc[frame.index[30:60], "quality"] = 2
    write_table(frame, TABLE)
    with pytest.raises(
        InputError, match=r"30 of 480 rows of data/outcomes\.csv .* limit of 2\.0%.*is line 32: qual"
    ) as stop:
        validate(PARAMS, STAGES)
    assert stop.value.exit_code == 2
    assert "\n" not in str(stop.value)
    assert len(read_table(STAGES / "validate/quarantine.csv")) == 30
    assert not (STAGES / "validate/rows.parquet").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_every_file_format_gives_the_same_rows(ending: str) -> None:
    frame = sound().astype({"quality": float, "cost": float})
    write_table(frame, TABLE)
    validate(PARAMS, STAGES)
    prompts, outcomes = written()
    write_table(frame.astype({"candidate": "category"}), TABLE.with_suffix(f".{ending}"))
    validate(PARAMS.model_copy(update={"table": f"data/outcomes.{ending}"}), STAGES)
    found = written()
    assert found[0].drop(columns="line").equals(prompts.drop(columns="line"))
    assert found[1].equals(outcomes)


@pytest.mark.usefixtures("quick")
def test_a_prompt_that_is_no_text_is_put_aside_not_a_crash() -> None:
    frame = sound(60)
    lines = [json.dumps(row) for row in frame.to_dict("records")]
    lines[3] = json.dumps({**frame.loc[3].to_dict(), "prompt": ["a", "list"], "quality": {"score": 1}})
    Path("data/outcomes.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    validate(PARAMS.model_copy(update={"table": "data/outcomes.jsonl"}), STAGES)
    aside = read_table(STAGES / "validate/quarantine.csv")
    assert aside["reasons"].tolist() == ["outcome_prompt_present; quality_readable ({'score': 1})"]
    assert pd.read_csv(STAGES / "validate/quarantine.csv")["line"].tolist() == [4]


@pytest.mark.usefixtures("quick")
def test_a_missing_or_shapeless_table_is_one_line() -> None:
    with pytest.raises(TableError, match=re.escape("data/outcomes.csv does not exist")):
        validate(PARAMS, STAGES)
    TABLE.write_text("prompt_id,prompt\np1,a\n", encoding="utf-8")
    with pytest.raises(InputError, match="rule 'outcome_columns' failed"):
        validate(PARAMS, STAGES)


# --- A label table.

SHIPPED = PARAMS.model_copy(update={"table": "data/prompts.csv"})


@pytest.mark.usefixtures("quick")
def test_labels_are_outcomes_of_one_and_zero_at_the_agents_costs() -> None:
    shutil.copy(DATA / "prompts.csv", "data")
    summary = validate(SHIPPED, STAGES)
    assert (summary["rows"], summary["candidates"], summary["failed"]) == (502, 20, 0)
    rows, graded = written()
    table = read_table(DATA / "prompts.csv")
    assert rows["line"].tolist() == table["line"].tolist()
    found = outcomes_of(rows, graded)
    right = [
        "|".join(name for name, level in zip(found.candidates, row, strict=True) if level) for row in found.quality
    ]
    assert [set(cell.split("|")) for cell in right] == [set(cell.split("|")) for cell in table["agents"]]
    assert not np.isnan(found.quality).any()
    assert not np.isnan(found.cost).any()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("sql|juggling", "labelled_agent_known"),
        ("sql|sql", "pair_once"),
        ("sql||email", "candidate_present"),
        ("[sql]", "candidate_present"),
    ],
)
def test_a_label_of_nobody_known_or_named_twice_puts_its_row_aside(label: str, reason: str) -> None:
    table = read_table(DATA / "prompts.csv").drop(columns="line")
    table.loc[10, "agents"] = label
    write_table(table, Path("data/prompts.csv"))
    (line,) = read_table(Path("data/prompts.csv"))["line"].iloc[[10]]
    assert validate(SHIPPED, STAGES)["quarantined"] == 1
    (aside,) = read_table(STAGES / "validate/quarantine.csv").to_dict("records")
    assert (aside["agents"], aside["prompt_id"]) == (label, table.loc[10, "prompt_id"])
    assert aside["reasons"].startswith(reason)
    assert pd.read_csv(STAGES / "validate/quarantine.csv")["line"].tolist() == [line]


@pytest.mark.usefixtures("quick")
def test_labels_may_be_lists() -> None:
    table = read_table(DATA / "prompts.csv").drop(columns="line")
    lists = table.assign(agents=[cell.split("|") for cell in table["agents"]])
    graded = []
    for name, frame in (("data/prompts.csv", table), ("data/prompts.jsonl", lists)):
        write_table(frame, Path(name))
        assert validate(SHIPPED.model_copy(update={"table": name}), STAGES)["quarantined"] == 0
        graded.append(written()[1])
    assert graded[0].equals(graded[1])


# --- Candidates that joined later.


def joining(name: str = "late", prompts: int = 120, **columns: object) -> Frame:
    frame = sound().drop_duplicates("prompt_id").head(prompts)
    frame["quality"] = [float(i % 3 > 0) for i in range(len(frame))]
    return frame.assign(candidate=name, **columns)[list(dict.fromkeys(["prompt_id", "candidate", "quality", *columns]))]


def put_candidate(frame: Frame, name: str = "late.csv") -> Path:
    write_table(frame, CANDIDATES / name)
    return CANDIDATES / name


@pytest.mark.usefixtures("quick")
def test_outcomes_of_candidates_that_joined_later_are_set_apart() -> None:
    write_table(sound(), TABLE)
    put_candidate(joining(prompts=100, cost=0.5))
    put_candidate(joining("later"), "later.parquet")
    summary = validate(PARAMS, STAGES)
    assert (summary["candidates"], summary["joining"]) == (4, 2)
    rows, graded = written()
    later = pd.read_parquet(STAGES / "validate/joining.parquet")
    assert outcomes_of(rows, graded).candidates == NAMES
    found = outcomes_of(rows, later)
    assert found.candidates == ("late", "later")
    np.testing.assert_array_equal(found.quality[:2], [[0, 0], [1, 1]])
    np.testing.assert_array_equal(found.cost[:2], [[0.5, np.nan], [0.5, np.nan]])
    np.testing.assert_array_equal(found.quality[-1], [np.nan, 1])


@pytest.mark.usefixtures("quick")
def test_a_row_of_a_later_candidate_that_does_not_fit_is_put_aside_with_its_file() -> None:
    write_table(sound(), TABLE)
    frame = joining()
    frame.loc[0, "prompt_id"] = "nowhere"
    path = put_candidate(frame)
    validate(PARAMS, STAGES)
    (aside,) = read_table(STAGES / "validate/quarantine.csv").to_dict("records")
    assert (aside["file"], aside["prompt_id"]) == (path.as_posix(), "nowhere")
    assert "joining_prompt_known" in aside["reasons"]
    assert pd.read_csv(STAGES / "validate/quarantine.csv")["line"].tolist() == [2]


@pytest.mark.usefixtures("quick")
def test_a_contradictory_candidate_file_stops_the_stage_by_its_own_name() -> None:
    write_table(sound(), TABLE)
    put_candidate(joining(prompt="Something else?"))
    with pytest.raises(InputError, match=r"120 of 120 rows of data/candidates/late\.csv .*one_text_for_an_id"):
        validate(PARAMS, STAGES)
    put_candidate(joining("big"))
    with pytest.raises(InputError, match=r"rows of data/candidates/late\.csv .*(pair_once|joining_candidate_new)"):
        validate(PARAMS, STAGES)
    assert "joining_candidate_new" in (STAGES / "validate/quarantine.csv").read_text(encoding="utf-8")
    put_candidate(joining(quality="?"))
    with pytest.raises(InputError, match="quality_readable"):
        validate(PARAMS, STAGES)
    put_candidate(joining().drop(columns="quality"))
    with pytest.raises(TableError, match=r"late\.csv lacks the column 'quality'"):
        validate(PARAMS, STAGES)


@pytest.mark.usefixtures("quick")
def test_a_later_candidate_with_hardly_any_outcome_stops_the_stage() -> None:
    write_table(sound(), TABLE)
    put_candidate(joining(prompts=3))
    with pytest.raises(InputError, match="rule 'enough_outcomes_per_candidate' failed: 1 unexpected, late: 3"):
        validate(PARAMS, STAGES)


# --- Larger tables.


@pytest.mark.usefixtures("quick")
def test_a_hundred_thousand_outcomes_pass() -> None:
    frame = sound(25_000).astype({"quality": float, "cost": float})
    write_table(frame, TABLE.with_suffix(".parquet"))
    summary = validate(PARAMS.model_copy(update={"table": "data/outcomes.parquet"}), STAGES)
    assert (summary["rows"], summary["prompts"], summary["failed"]) == (100_000, 25_000, 0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "prompts", "candidates"), [("routerdc_train", 5935, 7), ("routerbench_train", 2205, 11)]
)
def test_a_real_table_passes_without_a_warning(name: str, prompts: int, candidates: int) -> None:
    path = reference_table(name)
    summary = validate(PARAMS.model_copy(update={"table": str(path)}), STAGES)
    assert (summary["prompts"], summary["candidates"]) == (prompts, candidates)
    assert (summary["quarantined"], summary["failed"]) == (0, 0)


def test_a_file_of_a_candidate_that_is_no_table_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.NDJSON", "README.md", ".gitkeep"):
        (tmp_path / name).write_text("")
    assert [path.name for path in candidate_files(tmp_path)] == ["a.NDJSON", "b.csv"]
    (tmp_path / "c.xlsx").write_text("")
    with pytest.raises(TableError, match=r"c\.xlsx: unknown ending '\.xlsx'"):
        candidate_files(tmp_path)
    assert candidate_files(tmp_path / "nowhere") == []
