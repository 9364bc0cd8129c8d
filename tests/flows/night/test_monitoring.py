"""What a monitor is told of nights, in the service's /metrics and in a file for node_exporter."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from made_nights import STAGES, MadeNight, make_night, project_in
from made_versions import MadeProject
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from suspected_labels import suspected

from flows.night import monitoring
from flows.night.monitoring import NightCollector, write_textfile, write_textfile_quietly
from flows.night.params import NightlyParams
from flows.workspace.lock import held
from flows.workspace.night_log import FAILED, GATE_CLOSED, NOTHING_NEW
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_in(tmp_path)


def gauges(project: Project) -> dict[str, float]:
    """Every gauge as it stands in the file, by name and labels, with the file parsed as a monitor does."""
    path = project.root / "night.prom"
    write_textfile(project, path)
    return {
        " ".join([sample.name.removeprefix("switchtender_"), *_values(sample.labels)]): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def _values(labels: dict[str, str]) -> list[str]:
    """The track, then what else there is."""
    return [labels["track"], *(value for name, value in labels.items() if name != "track")]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_last_result_success_durations_and_rejects_of_each_track(project: Project) -> None:
    make_night(project, MadeNight(1, version="1"))
    make_night(project, MadeNight(2, NOTHING_NEW, has_run=False))
    make_night(project, MadeNight(3, FAILED, "the disk is full", done=STAGES[:2]))
    make_night(project, MadeNight(1, GATE_CLOSED, track="models", after=timedelta(minutes=5)))
    found = gauges(project)
    assert found["night_last_result agents failed"] == 1
    assert found["night_last_result agents registered"] == found["night_last_result models failed"] == 0
    assert found["night_last_result models gate closed"] == 1
    first = MadeNight(2).started.timestamp()
    assert first <= found["night_last_success_timestamp_seconds agents"] < first + 600
    assert found["night_last_end_timestamp_seconds agents"] > first + 80_000
    assert "night_last_success_timestamp_seconds models" not in found, "never is not 1970"
    assert (found["night_duration_seconds agents"], found["night_stage_seconds agents validate"]) == (11.5, 9.0)
    assert found["night_reject_ratio models"] == pytest.approx(3 / 502)
    assert "suspects_waiting agents" not in found, "no night left a list, which is not 0"
    assert found["nights_unreadable agents"] == found["night_under_way agents"] == 0


def test_the_champion_s_age(tmp_path: Path) -> None:
    made = MadeProject(tmp_path)
    made.add(1)
    since = made.promote(1, "better")
    found = gauges(made.project)
    assert found["champion_since_timestamp_seconds agents 1"] == pytest.approx(monitoring._seconds(since))
    assert found["champion_age_seconds agents"] >= 0
    assert "champion_age_seconds models" not in found
    log = made.project.records / "promotions.jsonl"
    log.write_text(log.read_text().replace("better", "worse!"))
    assert gauges(made.project)["nights_unreadable agents"] == 1


def test_suspects_that_wait(tmp_path: Path) -> None:
    assert gauges(suspected(tmp_path))["suspects_waiting agents"] == 24


def test_a_night_under_way(project: Project) -> None:
    make_night(project, MadeNight(1, ""))
    with held(project.lock, project.track.flow):
        assert gauges(project)["night_under_way agents"] == 1
    assert gauges(project)["night_last_result agents cut short"] == 1


def test_the_service_reads_them_again_only_now_and_then(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, collector = CollectorRegistry(), NightCollector(project)
    registry.register(collector)

    def failed() -> float | None:
        return registry.get_sample_value("switchtender_night_last_result", {"track": "agents", "result": FAILED})

    assert failed() is None
    make_night(project, MadeNight(1, FAILED))
    assert failed() is None
    collector._until = 0.0
    assert failed() == 1


def test_the_file_is_written_whole_or_not_at_all_and_nothing_is_left_beside_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.root / "textfiles"
    write_textfile(project, folder / "night.prom")
    assert names_in(folder) == ["night.prom"]
    before = (folder / "night.prom").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _disk_is_full)
        with pytest.raises(SwitchtenderError, match=r"night\.prom.* cannot be written"):
            write_textfile(project, folder / "night.prom")
    assert (names_in(folder), (folder / "night.prom").read_text()) == (["night.prom"], before)
    (project.root / "a file").write_text("")
    with pytest.raises(SwitchtenderError, match=r"night\.prom.* cannot be written"):
        write_textfile(project, project.root / "a file" / "night.prom")


def _disk_is_full(_: Path, __: Path) -> None:
    raise OSError(28, "No space left on device")


def test_after_a_night_it_is_written_where_params_say_and_a_fault_is_only_said(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    schedule = {"tracks": ["agents"], "cron": "0 3 * * *", "timezone": "UTC", "page": "", "stage_timeout_minutes": 1}
    params = NightlyParams(**schedule, textfile="textfiles/night.prom", retries=0, retry_delay_seconds=0)  # type: ignore[arg-type]
    monkeypatch.setattr(monitoring, "nightly_params", lambda _: params)
    write_textfile_quietly(project, told.append)
    assert (project.root / "textfiles" / "night.prom").is_file()
    assert told == []
    (project.root / "textfiles" / "night.prom").unlink()
    (project.root / "textfiles").rmdir()
    (project.root / "textfiles").write_text("in the way")
    write_textfile_quietly(project, told.append)
    assert "warning: no metrics" in told[0]
    monkeypatch.setattr(monitoring, "nightly_params", lambda _: params.model_copy(update={"textfile": ""}))
    write_textfile_quietly(project, told.append)
    assert len(told) == 1
