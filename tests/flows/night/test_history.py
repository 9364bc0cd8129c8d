"""Nights as people look at them: what each tells, what one that was killed tells, and what nobody may open."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from made_nights import STAGES, MadeNight, make_night, project_in
from made_versions import MadeProject, state_of

from flows.night.history import history, read_document, stamp
from flows.workspace import runs
from flows.workspace.lock import held
from flows.workspace.night_log import CUT_SHORT, FAILED, GATE_CLOSED, NOTHING_NEW, PASSED_OVER, REGISTERED
from flows.workspace.project import Project
from pipeline.reports.night_history import UNDER_WAY
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import write_json
from pipeline.runtime.track import MODELS


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_in(tmp_path)


def test_both_tracks_newest_first_with_what_each_measured(project: Project) -> None:
    make_night(project, MadeNight(1, version="1", value=0.7))
    make_night(project, MadeNight(1, version="1", value=0.6, track="models", after=timedelta(minutes=5)))
    make_night(project, MadeNight(2, NOTHING_NEW, "nothing new since nightly-1", has_run=False))
    before = state_of(project.root)
    newest, models, agents = history(project).nights
    assert state_of(project.root) == before, "looking writes nothing"
    assert [night.track for night in (newest, models, agents)] == ["agents", "models", "agents"]
    assert (newest.state, newest.stages, newest.figure, newest.documents) == (NOTHING_NEW, (), None, {})
    assert models.figure is not None
    assert (models.figure.value, models.rows.suspects) == (0.6, None)
    assert [stage.stage for stage in models.stages] == [name for name, _ in STAGES], "without the track's prefix"
    assert (agents.rows.read, agents.rows.kept, agents.rows.quarantined, agents.rows.suspects) == (502, 499, 3, 40)
    assert set(agents.documents) == {"report", "Data Docs", "log"}
    assert [night.track for night in history(project, track="models").nights] == ["models"]


@pytest.mark.parametrize(
    ("result", "advice"),
    [(GATE_CLOSED, "which gate"), (FAILED, "finished stages are not run again"), (CUT_SHORT, "goes on where"),
     ("", "goes on where"), (REGISTERED, ""), (PASSED_OVER, "")],
)  # fmt: skip
def test_a_night_that_brought_nothing_says_what_to_do_until_a_later_one_did(
    project: Project, result: str, advice: str
) -> None:
    make_night(project, MadeNight(1, result, "because"))
    (night,) = history(project).nights
    assert advice in night.advice if advice else not night.advice
    make_night(project, MadeNight(2, version="1"))
    assert history(project).nights[1].advice == ("nothing: the night of 2026-03-03 03:00 ended well" if advice else "")


def test_a_night_under_way_tells_its_stage_and_how_far_it_is_and_a_killed_one_where_it_ended(project: Project) -> None:
    key = make_night(project, MadeNight(1, "", done=STAGES[:4], stage="train", value=None))
    progress = {"stage": "train", "done": 30, "total": 40, "where": "epoch 3"}
    write_json(progress, runs.clone_of(project, key) / "var" / "progress.json")
    (killed,) = history(project).nights
    assert (killed.state, killed.stage, killed.percent) == (CUT_SHORT, "", None)
    assert killed.reason == "its process was killed, in stage train"
    with held(project.lock, MODELS.flow):
        assert history(project).nights[0].state == CUT_SHORT, "it is the other track's night that lives"
    with held(project.lock, project.track.flow):
        (night,) = history(project).nights
    assert (night.state, night.stage, night.percent, len(night.stages)) == (UNDER_WAY, "train", 75.0, 4)
    assert night.seconds > 3600 > killed.seconds > 0, "since it began, not what its finished stages took"


def test_a_date_that_is_passed_over_while_a_night_runs_hides_it_not(project: Project) -> None:
    make_night(project, MadeNight(1, "", done=STAGES[:4], stage="train", value=None))
    make_night(project, MadeNight(2, PASSED_OVER, "missed", has_run=False))
    with held(project.lock, project.track.flow):
        assert [night.state for night in history(project).nights] == [PASSED_OVER, UNDER_WAY]


def test_what_a_killed_process_left_in_the_lock_is_no_night_under_way(project: Project) -> None:
    make_night(project, MadeNight(1, ""))
    holder = {"pid": 1, "purpose": project.track.flow, "since": "1999-01-01T00:00:00+00:00"}
    project.lock.with_suffix(".holder.json").write_text(json.dumps(holder))
    assert history(project).nights[0].state == CUT_SHORT, "that number is another process's by now"


def test_the_record_is_about_the_last_attempt_at_a_run(project: Project) -> None:
    first = make_night(project, MadeNight(1, CUT_SHORT, "killed"), logged=False)
    for result, minutes in ((CUT_SHORT, 0), (REGISTERED, 30)):
        make_night(project, MadeNight(1, result, has_run=False, after=timedelta(minutes=minutes)))
    log = project.var / "nights.jsonl"
    log.write_text(log.read_text().replace('"run_key": ""', f'"run_key": "{first}"'))
    last, before = history(project).nights
    assert (len(last.stages), len(before.stages)) == (len(STAGES), 0)


def test_what_the_night_before_left_in_the_clone_is_not_taken_for_this_one_s(project: Project) -> None:
    make_night(project, MadeNight(1, FAILED, "train failed", done=STAGES[:1]))
    (night,) = history(project).nights
    assert night.figure is None
    assert (night.rows.read, night.rows.suspects) == (502, None)


def test_a_promotion_is_told_and_a_log_that_cannot_be_trusted_is_said(tmp_path: Path) -> None:
    made = MadeProject(tmp_path)
    made.add(1)
    make_night(made.project, MadeNight(1, version="1"))
    make_night(made.project, MadeNight(2, version="2"))
    at = made.promote(1, "better")
    found = history(made.project)
    assert [night.promoted for night in found.nights] == ["", at]
    assert found.note == ""
    log = made.project.records / "promotions.jsonl"
    log.write_text(log.read_text().replace("better", "worse!"))
    assert "promotions.jsonl" in history(made.project).note


def test_runs_of_before_the_log_are_nights_too(project: Project) -> None:
    make_night(project, MadeNight(1, version="1"), logged=False)
    make_night(project, MadeNight(2, GATE_CLOSED), logged=False)
    assert [(one.state, one.version) for one in history(project).nights] == [(GATE_CLOSED, ""), (REGISTERED, "1")]


@pytest.mark.parametrize("name", ["evaluate/metrics.json", "validate/summary.json"])
@pytest.mark.parametrize("content", ["{", "[1]", '{"rows": "many"}'])
def test_figures_that_cannot_be_read_are_told_apart_from_none(project: Project, name: str, content: str) -> None:
    key = make_night(project, MadeNight(1))
    (runs.clone_of(project, key) / project.track.stages / name).write_text(content)
    assert "cannot be read" in history(project).nights[0].note
    (runs.clone_of(project, key) / project.track.stages / name).unlink()
    assert history(project).nights[0].note == ""


def test_a_record_that_is_damaged_costs_no_other_night(project: Project) -> None:
    key = make_night(project, MadeNight(1))
    make_night(project, MadeNight(2))
    (runs.folder_of(project, key) / "run.json").write_text("{")
    sound, damaged = history(project).nights
    assert (sound.note, damaged.stages) == ("", ())
    assert "doctor --mend" in damaged.note


def test_of_many_nights_only_those_asked_for_are_opened(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 61):
        make_night(project, MadeNight(number))
    opened, load = [], runs._load
    monkeypatch.setattr(runs, "_load", lambda path: opened.append(path) or load(path))
    found = history(project, 5)
    assert (len(found.nights), found.older, len(opened)) == (5, 55, 5)


def test_a_stamp_tells_that_something_has_changed(project: Project) -> None:
    seen = [stamp(project)]
    for result in ("", REGISTERED):
        make_night(project, MadeNight(1, result, has_run=False))
        seen.append(stamp(project))
    with held(project.lock, "nightly"):
        seen.append(stamp(project))
    assert len(set(seen)) == 4
    assert stamp(project) == seen[2]


@pytest.mark.parametrize("path", ["report.html", "night.log", "clone/var/reports/data_docs/index.html",
                                  "clone/var/reports/data_docs/validations/rows.html"])  # fmt: skip
def test_the_documents_of_a_night_are_open(project: Project, path: str) -> None:
    key = make_night(project, MadeNight(1))
    assert read_document(project, key, path)


@pytest.mark.parametrize(
    "path",
    ["run.json", "clone/params.yaml", "../../keys/a.pem", "clone/var/reports/data_docs/../../../../run.json",
     "clone/var/reports/data_docs/leads_out", "clone/var/reports/data_docs", "", "/etc/hostname", "report.html/x",
     "clone/var/reports/data_docs/\0"],
)  # fmt: skip
def test_nothing_else_of_a_run_is(project: Project, path: str) -> None:
    key = make_night(project, MadeNight(1))
    docs = runs.clone_of(project, key) / "var" / "reports" / "data_docs"
    (project.var / "secret").write_text("a secret")
    (docs / "leads_out").symlink_to(project.var / "secret")
    with pytest.raises(InputError, match="no document"):
        read_document(project, key, path)


@pytest.mark.parametrize("key", ["..", "nightly-../keys", "nightly-2026", "other-1", ""])
def test_nor_anything_beside_the_runs(project: Project, key: str) -> None:
    make_night(project, MadeNight(1))
    with pytest.raises(InputError, match="no document"):
        read_document(project, key, "report.html")
