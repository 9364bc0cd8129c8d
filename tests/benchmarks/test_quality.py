"""The measuring of quality: its figures, its rows, and that a stopped run goes on."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.page import fill
from benchmarks.quality.__main__ import _measured, _planned
from benchmarks.quality.contenders import Contender, Plan
from benchmarks.quality.held_out import best_threshold, reached
from benchmarks.quality.job import Answer, Reply
from benchmarks.quality.measurements import Fit, Gone, Measurements, measured
from benchmarks.quality.report import Page
from benchmarks.quality.results import fits_of, result
from benchmarks.quality.rewording import reworded
from benchmarks.quality.scores import MACRO, MICRO, RARE_F1, RARE_RECALL, SUBSET, drawn, figures
from benchmarks.quality.tables import NAMES, Table, stratified, tables
from pipeline.data.outcomes import Outcomes
from pipeline.metrics.bootstrap import RESAMPLES, bootstrap, resamples
from pipeline.metrics.multilabel import macro_f1, micro_f1, recall, subset_accuracy
from pipeline.runtime.errors import InputError

WORDS = {
    "translation": "translate this letter into Czech",
    "sql": "write a query that counts rows",
    "travel": "book a train",
}
TFIDF = Contender("tfidf", {}, "TF-IDF")


def outcomes_of(rows: int, start: int = 0) -> Outcomes:
    """Prompts that take turns asking for each agent."""
    agents = tuple(WORDS)
    numbers = range(start, start + rows)
    quality = np.eye(len(agents), dtype=np.float32)[[number % len(agents) for number in numbers]]
    prompts = tuple(f"{WORDS[agents[number % len(agents)]]}, number {number}" for number in numbers)
    return Outcomes(tuple(map(str, numbers)), prompts, agents, quality, np.full_like(quality, np.nan), is_labels=True)


@pytest.fixture
def table() -> Table:
    return Table("tiny", ((outcomes_of(30), outcomes_of(9, 100)),))


def test_figures_are_those_of_the_metrics_also_on_each_resample() -> None:
    random = np.random.default_rng(3)
    truth, chosen, rare = random.random((40, 5)) < 0.4, random.random((40, 5)) < 0.4, np.array([1, 4])
    truth[:, 2] = False
    found, draws = drawn(truth, [chosen], figures(rare)), resamples(40, RESAMPLES, 0)
    expected = {MICRO: micro_f1, MACRO: macro_f1, SUBSET: subset_accuracy}
    for name, statistic in expected.items():
        assert found[name].value == pytest.approx(statistic(truth, chosen))
        assert found[name].draws == pytest.approx(bootstrap(statistic, truth, chosen, draws))
    assert found[RARE_F1].value == pytest.approx(macro_f1(truth[:, rare], chosen[:, rare]))
    assert found[RARE_RECALL].value == pytest.approx(recall(truth[:, rare], chosen[:, rare]))
    assert not (found[MICRO] - found[MICRO]).draws.any()


def test_a_stratified_part_keeps_shares_and_every_class() -> None:
    quality = np.eye(3, dtype=np.float32)[[0] * 70 + [1] * 28 + [2] * 2]
    everything = replace(outcomes_of(100), quality=quality)
    rows = stratified(everything, 10)
    assert len(set(rows.tolist())) == 10
    assert quality[rows].sum(axis=0).tolist() == [6, 3, 1]


def test_a_table_that_is_not_there_is_named_and_an_unknown_one_refused(tmp_path: Path) -> None:
    assert tables(["clinc"], tmp_path) == ([], ["clinc"])
    with pytest.raises(InputError, match="unknown table 'klinc'"):
        tables(["klinc"], tmp_path)


def test_other_words_are_other_words() -> None:
    prompts = ["Go!", *["Translate this letter, please tell Hana."] * 20]
    found = reworded(prompts)
    assert found == reworded(prompts)
    assert prompts[1].lower().rstrip(".") not in found["slips of the keys"]
    assert found["please"][0] == "Go, please!"


def test_a_peers_threshold_is_that_of_the_highest_f1() -> None:
    scores = np.array([[0.9, 0.3], [0.35, 0.8], [0.7, 0.65], [0.2, 0.1]])
    truth = np.array([[1, 0], [0, 1], [1, 1], [1, 0]], dtype=bool)
    threshold, score = best_threshold(scores, truth)
    assert 0.35 < threshold <= 0.65
    assert score == 1.0, "the likeliest agent stands in where nothing reaches it"
    assert not reached(scores, threshold, np.zeros_like(truth))[3].any()


def test_a_worker_answers_every_prompt_and_says_why_it_could_not(table: Table) -> None:
    answer = measured(Fit(table, 0, TFIDF, 0), Path(sys.executable), 1).answer
    assert answer.chosen == [[number % 3] for number in range(100, 109)]
    assert sum(answer.expected or ()) == pytest.approx(1.0, abs=0.5)
    assert answer.cpu_seconds is not None
    assert answer.cpu_seconds > 0
    with pytest.raises(Gone, match="ended with 1"):
        measured(Fit(table, 0, TFIDF, 0), Path("/bin/false"), 1)


def test_fits_side_by_side_are_all_remembered(table: Table, tmp_path: Path) -> None:
    fits = [fit for seed in (0, 1) for fit in fits_of(table, TFIDF, seed)]
    known = Measurements(tmp_path / "found")
    unknown = Fit(table, 0, Contender("no-such-system", {}, "Nobody"), 0)
    options = argparse.Namespace(work=tmp_path, processes=2, threads=1, device="cpu")
    absent = _measured([*fits, unknown], known, options)
    assert known.by_key.keys() == {fit.key for fit in fits}
    assert Measurements(known.folder).by_key == known.by_key
    assert [(name, "no-such-system" in why) for name, why in absent.items()] == [("Nobody tiny", True)]


def test_a_stopped_run_goes_on_and_what_was_half_written_is_cut_off(table: Table, tmp_path: Path) -> None:
    path, reply = tmp_path / "tiny.jsonl", Reply(Answer([[0]] * 9, 1.0, 2.0, [0.5, 0.25, 0.25]))
    first, second = (fits_of(table, TFIDF, seed)[0] for seed in (0, 1))
    Measurements(tmp_path).add(first, reply, 0.0)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + whole[:40], encoding="utf-8")
    known = Measurements(tmp_path)
    assert path.read_text(encoding="utf-8") == whole
    assert first in known
    assert second not in known
    found = result(known, table, TFIDF, seeds=2)
    assert found
    assert (len(found.chosen), found.cpu_seconds, found.expected_over_true(table)) == (1, 2.0, 1.0)
    known.forget([first, second])
    assert result(known, table, TFIDF, seeds=2) is None
    assert first not in Measurements(tmp_path), "also where the run is stopped before it is measured anew"


def test_changed_settings_are_another_measurement(table: Table) -> None:
    keys = {Fit(table, 0, contender, 0).key for _, contender in Plan().contenders()}
    assert len(keys) == len(list(Plan().contenders()))


def test_what_is_dear_has_one_seed_and_few_tables_that_there_are(table: Table) -> None:
    every = {f"{name}{size}" for name in NAMES for size in ("", "-500", "-2000")}
    assert all(every.issuperset(contender.tables) for _, contender in Plan().contenders())
    fits = _planned([replace(table, name=name) for name in ("clinc", "shipped")], Plan(), 3)
    planned = Counter((fit.contender.name, fit.table.name) for fit in fits)
    assert planned["**classifier**", "shipped"] == 3
    assert planned["SetFit, 300 steps", "shipped"] == planned["epochs: 6", "clinc"] == 1
    assert ("epochs: 6", "shipped") not in planned
    assert ("plain fine-tuning, threshold from held-out folds", "shipped") not in planned


def test_what_was_not_measured_says_why(table: Table, tmp_path: Path) -> None:
    absent = {"SetFit, 300 steps": "not installed: no index", "table nlupp": "not measured, no folder has it"}
    known = Measurements(tmp_path / "found")
    page = Page(known, [table], Plan(), 1, absent)
    assert f"Not measured yet: `{table.name}`." in page.sections()["systems"]
    ours = next(iter(page.plan.own()))
    known.add(fits_of(table, ours, 0)[0], Reply(Answer([[0]] * 9, 1.0, 2.0, [0.5, 0.25, 0.25])), 0.0)
    lines = page.sections()["systems"]
    assert any("SetFit, 300 steps | not installed: no index" in line for line in lines)
    assert "### nlupp: not measured, no folder has it" in lines


def test_a_pages_prose_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Prose\n\n<!-- figures -->\nold\n<!-- end of figures -->\n\nMore.\n", encoding="utf-8")
    fill(page, "figures", ["new"])
    assert page.read_text(encoding="utf-8") == (
        "# Prose\n\n<!-- figures -->\n\nnew\n\n<!-- end of figures -->\n\nMore.\n"
    )
    with pytest.raises(InputError, match="lacks '<!-- others -->'"):
        fill(page, "others", ["new"])
