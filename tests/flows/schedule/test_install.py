"""What --install writes: systemd's form of a cron line, units, and a crontab's line that is added once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from flows.schedule.calendar import Calendar
from flows.schedule.install import Installation, crontab_line, install, on_calendar, systemd_units
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 3 * * *", "*-*-* 3:0:00 UTC"),
        ("*/15 1-5 * * *", "*-*-* 1..5:0/15:00 UTC"),
        ("30 2,14 1 */3 *", "*-1/3-1 2,14:30:00 UTC"),
        ("0 3 * * 1-5", "Mon,Tue,Wed,Thu,Fri *-*-* 3:0:00 UTC"),
        ("0 3 * * 0,6", "Sun,Sat *-*-* 3:0:00 UTC"),
        ("0 3 * * 5-7", "Fri,Sat,Sun *-*-* 3:0:00 UTC"),
    ],
)
def test_a_cron_line_is_told_to_systemd(cron: str, said: str) -> None:
    assert on_calendar(Calendar(cron, "UTC")) == said


@pytest.mark.parametrize("cron", ["0 3 1 * 1", "0 3 * * mon", "@daily", "0 3 L * *"])
def test_a_line_that_systemd_cannot_say_is_refused(cron: str) -> None:
    with pytest.raises(InputError, match="systemd cannot say"):
        on_calendar(Calendar(cron, "UTC"))


def test_the_units_name_the_project_and_its_interpreter(tmp_path: Path) -> None:
    root = tmp_path / "100% ours"
    plan = systemd_units(Project(root), Calendar("0 3 * * *", "UTC"), tmp_path / "units")
    assert install(plan) == [str(path) for path in plan.files]
    service, timer = (path.read_text() for path in plan.files)
    assert f"WorkingDirectory={tmp_path}/100%% ours\n" in service
    assert "-m switchtender nightly\n" in service
    assert "OnCalendar=*-*-* 3:0:00 UTC\nPersistent=true\n" in timer


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `crontab` that keeps its lines in a file; the file `full` beside it makes it refuse."""
    kept, command = tmp_path / "kept", tmp_path / "bin" / "crontab"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nif [ "$1" = -l ]; then cat "{kept}"; '
        f'elif [ -e "{tmp_path}/full" ]; then echo "no space" >&2; exit 1; else cat > "{kept}"; fi\n'
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    kept.write_text("5 4 * * * backup\n")
    return kept


def test_a_crontab_keeps_its_lines_and_takes_ours_once(tmp_path: Path, crontab: Path) -> None:
    line = crontab_line(Project(tmp_path / "a 100% project"), Calendar("0 3 * * *", "Europe/Berlin"))
    for _ in range(2):
        assert install(Installation({}, line, ())) == ["your crontab"]
    assert crontab.read_text() == f"5 4 * * * backup\n{line}\n"
    assert line.startswith("CRON_TZ=Europe/Berlin\n0 3 * * * cd '")
    assert "a 100\\% project" in line


def test_a_crontab_that_takes_no_line_stays_as_it_was(tmp_path: Path, crontab: Path) -> None:
    (tmp_path / "full").touch()
    with pytest.raises(SwitchtenderError, match="crontab took no line: no space; nothing was changed"):
        install(Installation({}, "0 3 * * * night", ()))
    assert crontab.read_text() == "5 4 * * * backup\n"
