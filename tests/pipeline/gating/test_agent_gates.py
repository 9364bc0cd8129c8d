"""Each gate closes the door and opens it; what cannot be decided stays shut."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.data.agents import AGENTS_FILE, read_agents
from pipeline.gating.agent_gates import GateInputs, GateParams, judge
from pipeline.gating.champion import CHAMPION, Champion, Choices, write_champion
from pipeline.gating.results import FAILED, PASSED, UNDECIDABLE, GateResult
from pipeline.metrics.multilabel import micro_f1, recall
from pipeline.runtime.arrays import Binary
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import sha256_text, write_json, write_table
from pipeline.stages.gate import gate, gather

PARAMS = GateParams(
    micro_f1=0.80, macro_f1=0.70, rare_recall=0.50, rare_below=20, rare_minimum=2,
    calibration_error=0.06, label_count_error=0.15,
    row_drop=0.10, margin=0.03, confidence=0.8, agent_margin=0.2, agent_minimum=8, rare_margin=0.3, resamples=200,
)  # fmt: skip
METRICS = {"micro_f1": 0.86, "macro_f1": 0.80, "calibration_error": 0.03, "label_count_error": 0.04}
NAMES = ("coding", "email", "travel", "legal", "speech")
LEGAL, SPEECH = 3, 4
FORMER = Champion(version="4", run_key="nightly-2026-01-01-1", router_sha256="f" * 64, train_rows=400)
Judgement = dict[str, GateResult]


def _truth() -> Binary:
    """60 prompts: 20 of each common agent and 4 of each rare one, which stand beside a common one."""
    truth = np.zeros((60, len(NAMES)), dtype=np.bool_)
    truth[np.arange(60), np.arange(60) % 3] = True
    truth[:4, LEGAL] = True
    truth[4:8, SPEECH] = True
    return truth


def _without(agent: int, count: int) -> Binary:
    """The truth, but `count` prompts of an agent are missed."""
    chosen = _truth()
    chosen[np.flatnonzero(chosen[:, agent])[:count], agent] = False
    return chosen


def _inputs(chosen: Binary | None = None, champion: Binary | None = None, **metrics: float) -> GateInputs:
    return GateInputs(
        truth=_truth(), chosen=_truth() if chosen is None else chosen, names=NAMES,
        train_support=np.array([90, 80, 70, 8, 6]), metrics=METRICS | metrics, train_rows=400,
        champion=None if champion is None else FORMER, champion_chosen=champion,
    )  # fmt: skip


def _judge(inputs: GateInputs, params: GateParams = PARAMS) -> Judgement:
    return {result.gate: result for result in judge(inputs, params, seed=1)}


def test_a_sound_challenger_passes_every_gate() -> None:
    results = _judge(_inputs(champion=_truth()))
    assert list(results) == [
        "micro_f1", "macro_f1", "rare_recall", "calibration_error", "label_count_error", "row_count",
        "champion_micro_f1", "champion_f1_coding", "champion_f1_email", "champion_f1_travel", "champion_rare_recall",
    ]  # fmt: skip
    assert {result.verdict for result in results.values()} == {PASSED}
    assert all(result.reason for result in results.values())


@pytest.mark.parametrize(
    ("name", "just_enough", "too_little"),
    [
        ("micro_f1", 0.80, 0.7999),
        ("macro_f1", 0.70, 0.6999),
        ("calibration_error", 0.06, 0.0601),
        ("label_count_error", 0.15, 0.1501),
    ],
)
def test_a_floor_or_ceiling_is_met_at_its_limit_and_failed_beyond(
    name: str, just_enough: float, too_little: float
) -> None:
    assert _judge(_inputs(**{name: just_enough}))[name].verdict == PASSED
    failed = _judge(_inputs(**{name: too_little}))
    assert [gate for gate, result in failed.items() if result.verdict != PASSED] == [name]
    assert failed[name].value == too_little


@pytest.mark.parametrize("name", ["micro_f1", "macro_f1", "calibration_error", "label_count_error"])
def test_a_metric_that_is_not_a_number_does_not_pass(name: str) -> None:
    assert _judge(_inputs(**{name: float("nan")}))[name].verdict == FAILED


def test_rare_agents_are_pooled_for_their_floor() -> None:
    half = _judge(_inputs(_without(LEGAL, 4)))["rare_recall"]
    assert (half.verdict, half.value) == (PASSED, 0.5)
    both = _without(LEGAL, 4) & _without(SPEECH, 1)
    less = _judge(_inputs(both))["rare_recall"]
    assert (less.verdict, less.value) == (FAILED, 0.375)


def test_a_rare_agent_missing_from_the_holdout_leaves_its_gate_undecidable() -> None:
    thin = _without(SPEECH, 3)
    result = _judge(replace(_inputs(chosen=thin), truth=thin))["rare_recall"]
    assert (result.verdict, result.value) == (UNDECIDABLE, None)
    assert "speech" in result.reason
    assert "legal" not in result.reason


def test_with_no_rare_agent_there_is_nothing_to_miss() -> None:
    none_rare = _judge(_inputs(champion=_truth()), PARAMS.model_copy(update={"rare_below": 1}))
    assert none_rare["rare_recall"].verdict == PASSED
    assert "champion_rare_recall" not in none_rare


def test_the_row_count_may_fall_by_the_share_allowed_and_no_further() -> None:
    enough = replace(_inputs(champion=_truth()), train_rows=360)
    assert _judge(enough)["row_count"].verdict == PASSED
    result = _judge(replace(enough, train_rows=359))["row_count"]
    assert (result.verdict, result.limit) == (FAILED, 360)
    assert "version 4" in result.reason


def test_the_overall_gate_fails_a_challenger_worse_than_the_margin() -> None:
    every_sixth = np.arange(60)[:, None] % 6 == 0
    worse = np.where(every_sixth, np.roll(_truth(), 1, axis=1), _truth())
    results = _judge(_inputs(worse, champion=_truth()))
    assert results["champion_micro_f1"].verdict == FAILED
    assert results["champion_micro_f1"].limit == -0.03
    swapped = _judge(_inputs(_truth(), champion=worse))
    assert swapped["champion_micro_f1"].verdict == PASSED
    assert (swapped["champion_micro_f1"].value or 0) > 0


def test_a_difference_within_the_margin_is_not_enough_when_its_bound_is_not() -> None:
    result = _judge(_inputs(_without(0, 3), champion=_truth()))["champion_micro_f1"]
    difference = micro_f1(_truth(), _without(0, 3)) - 1
    assert (result.value or 0) < -0.03 < difference < 0
    assert result.verdict == FAILED


def test_errors_that_both_make_cost_the_challenger_nothing() -> None:
    bad = _without(0, 15)
    assert _judge(_inputs(bad, champion=bad))["champion_micro_f1"].value == 0.0


def test_an_agent_that_breaks_fails_its_own_gate() -> None:
    results = _judge(_inputs(_without(2, 10), champion=_truth()))
    assert results["champion_f1_travel"].verdict == FAILED
    assert results["champion_f1_email"].verdict == PASSED


def test_an_agent_with_few_holdout_prompts_has_no_gate_of_its_own() -> None:
    fewer = PARAMS.model_copy(update={"agent_minimum": 21})
    assert not [name for name in _judge(_inputs(champion=_truth()), fewer) if name.startswith("champion_f1_")]


def test_a_rare_agent_has_no_gate_of_its_own_however_many_holdout_prompts_it_has() -> None:
    all_of_them = PARAMS.model_copy(update={"agent_minimum": 1})
    gates = {name for name in _judge(_inputs(champion=_truth()), all_of_them) if name.startswith("champion_f1_")}
    assert gates == {"champion_f1_coding", "champion_f1_email", "champion_f1_travel"}


def test_rare_agents_that_break_fail_their_pooled_gate() -> None:
    results = _judge(_inputs(_without(LEGAL, 4), champion=_truth()))
    assert results["rare_recall"].verdict == PASSED
    assert results["champion_rare_recall"].verdict == FAILED


def test_without_a_champion_there_is_nothing_to_fall_behind() -> None:
    results = _judge(_inputs(_without(0, 10)))
    assert [name for name in results if name.startswith("champion")] == ["champion_micro_f1"]
    assert results["champion_micro_f1"].verdict == results["row_count"].verdict == PASSED
    assert "no champion" in results["champion_micro_f1"].reason


def test_a_champion_that_has_not_answered_every_prompt_leaves_the_test_undecidable() -> None:
    results = _judge(replace(_inputs(), champion=FORMER, champion_chosen=None))
    assert [name for name in results if name.startswith("champion")] == ["champion_micro_f1"]
    assert results["champion_micro_f1"].verdict == UNDECIDABLE


def test_the_bound_falls_as_confidence_rises() -> None:
    inputs = _inputs(_without(0, 3), champion=_without(1, 3))
    at = [
        _judge(inputs, PARAMS.model_copy(update={"confidence": level}))["champion_micro_f1"].value or 0.0
        for level in (0.6, 0.8, 0.95)
    ]
    assert at[0] > at[1] > at[2]


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Champion | None, Choices | None], None]:
    """A project folder with what the gate reads; call it to write the champion."""
    names = [agent.name for agent in read_agents()]
    agents = AGENTS_FILE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    AGENTS_FILE.parent.mkdir()
    AGENTS_FILE.write_text(agents, encoding="utf-8")
    cells = [*names, *names]
    rows = pd.DataFrame({"prompt_id": [f"p{i}" for i in range(40)], "agents": cells, "chosen": cells})
    rows["text_sha256"] = [sha256_text(name) for name in rows["prompt_id"]]
    write_table(rows, Path("var/stages/evaluate/predictions.parquet"))
    write_table(pd.DataFrame({"agents": cells * 10}), Path("var/stages/label_noise/train.parquet"))
    figures = {name: {"value": value, "low": 0.0, "high": 1.0} for name, value in METRICS.items()}
    report = {"systems": {"router": figures}, "micro_f1_over": {}, "prompts": 40}
    write_json(report, Path("var/stages/evaluate/metrics.json"))
    return lambda champion, choices: write_champion(champion, choices)


def _answers(count: int, chosen: tuple[str, ...] = ("coding",)) -> Choices:
    return Choices({(f"p{i}", sha256_text(f"p{i}")): chosen for i in range(count)})


def _written() -> dict[str, dict[str, object]]:
    verdict = json.loads(Path("var/stages/gate/verdict.json").read_text(encoding="utf-8"))
    return {"": {"verdict": verdict["verdict"]}} | {result["gate"]: result for result in verdict["gates"]}


def test_the_stage_writes_a_verdict_that_passes_when_the_folder_says_there_is_no_champion(
    night: Callable[..., None],
) -> None:
    night(None, None)
    summary = gate(PARAMS, seed=1)
    assert summary["verdict"] == _written()[""]["verdict"] == PASSED
    assert summary["gates_passed"] + summary["gates_not_asked"] == summary["gates"] == 7
    assert summary["gates_not_asked"] == 3


def test_one_gate_that_is_undecidable_closes_the_door(night: Callable[..., None]) -> None:
    night(FORMER, _answers(39))
    summary = gate(PARAMS, seed=1)
    written = _written()
    assert (summary["verdict"], summary["gates_failed"], summary["gates_undecidable"]) == (FAILED, 0, 1)
    assert written["champion_micro_f1"]["verdict"] == UNDECIDABLE
    assert written["champion_micro_f1"]["value"] is None


def test_a_champion_that_answered_another_text_has_not_answered(night: Callable[..., None]) -> None:
    answers = _answers(39).by_row | {("p39", sha256_text("an older wording")): ("coding",)}
    night(FORMER, Choices(answers))
    assert gather().champion_chosen is None


def test_the_champions_choices_are_lined_up_with_the_rows(night: Callable[..., None]) -> None:
    night(FORMER, Choices(dict(reversed(list(_answers(40, ("email", "an_agent_of_old", "sql")).by_row.items())))))
    inputs = gather()
    assert inputs.champion == FORMER
    assert inputs.champion_chosen is not None
    columns = np.flatnonzero(inputs.champion_chosen.all(axis=0))
    assert {inputs.names[c] for c in columns} == {"email", "sql"}
    assert recall(inputs.truth, inputs.chosen) == 1.0


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"champion": {"version": "4"}}', '{"champion": "4"}'])
def test_a_champion_that_cannot_be_read_is_not_taken_for_none(night: Callable[..., None], content: str | None) -> None:
    night(FORMER, _answers(40))
    description = CHAMPION / "champion.json"
    description.unlink() if content is None else description.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"champion\.json cannot be read .*; restore it"):
        gate(PARAMS, seed=1)
    assert not Path("var/stages/gate/verdict.json").exists()


def test_a_champion_without_its_choices_cannot_be_read(night: Callable[..., None]) -> None:
    night(FORMER, _answers(40))
    (CHAMPION / "predictions.csv").unlink()
    with pytest.raises(TableError, match=r"predictions\.csv does not exist"):
        gate(PARAMS, seed=1)
