"""What --install writes: systemd's form of a cron line, units, and a crontab's line that is added once."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from flows.schedule.calendar import Calendar
from flows.schedule.install import Installation, crontab_block, install, on_calendar, systemd_units
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
        ("0 3 * * 3/2", "Wed,Fri *-*-* 3:0:00 UTC"),
        ("0 3 *\n* 1", "Mon *-*-* 3:0:00 UTC"),
    ],
)
def test_a_cron_line_is_told_to_systemd(cron: str, said: str) -> None:
    assert on_calendar(Calendar(cron, "UTC")) == said


@pytest.mark.parametrize(
    "cron", ["0 3 1 * 1", "0 3 * * mon", "@daily", "0 3 L * *", "0 22-3 * * *", "0 3 * * 5-1", "٠ ٣ * * *"]
)
def test_a_line_that_systemd_cannot_say_is_refused(cron: str) -> None:
    with pytest.raises(InputError, match="systemd cannot say"):
        on_calendar(Calendar(cron, "UTC"))


def test_the_units_name_the_project_and_its_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", '/opt/a "b"/50%/python')
    root = tmp_path / "100% ours"
    plan = systemd_units(Project(root), Calendar("0 3 * * *", "UTC"), tmp_path / "units")
    assert install(plan) == [str(path) for path in plan.files]
    service, timer = (path.read_text() for path in plan.files)
    assert f"WorkingDirectory={tmp_path}/100%% ours\n" in service
    assert "a night of 100%% ours\n" in service
    assert 'ExecStart="/opt/a \\"b\\"/50%%/python" -m switchtender nightly\n' in service
    assert "OnCalendar=*-*-* 3:0:00 UTC\nPersistent=true\n" in timer


def test_each_project_has_units_of_its_own(tmp_path: Path) -> None:
    for folder in ("one/project", "two/project"):
        plan = systemd_units(Project(tmp_path / folder), Calendar("0 3 * * *", "UTC"), tmp_path / "units")
        for _ in range(2):
            install(plan)
        (timer,) = [path for path in plan.files if path.suffix == ".timer"]
        assert plan.undo[0] == f"systemctl --user disable --now {timer.name}"
    assert len(list((tmp_path / "units").iterdir())) == 4


@pytest.mark.parametrize("made", [crontab_block, partial(systemd_units, folder=Path("units"))])
def test_a_path_that_would_be_more_than_a_line_is_refused(made: Callable[..., Installation], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has a line end or a control character in it; move the project"):
        made(Project(tmp_path / "a\n* * * * * b"), Calendar("0 3 * * *", "UTC"))


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `crontab` that keeps its lines in a file; the files `full` and `unread` beside it make it refuse."""
    kept, command = tmp_path / "kept", tmp_path / "bin" / "crontab"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nif [ -e "{tmp_path}/unread" ] || [ "$1" = - -a -e "{tmp_path}/full" ]; then\n'
        f'echo "no space" >&2; exit 1; fi\n[ "$1" = - ] && exec cat > "{kept}"\n'
        f'[ -e "{kept}" ] || {{ echo "no crontab for me" >&2; exit 1; }}\ncat "{kept}"\n'
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    kept.write_bytes(b"5 4 * * * backup \xfc\n")
    return kept


def test_a_crontab_keeps_its_lines_and_has_one_of_each_project(tmp_path: Path, crontab: Path) -> None:
    one, two = Project(tmp_path / "a 100% project"), Project(tmp_path / "b")
    last = crontab_block(one, Calendar("30 4 * * mon-fri", "Europe/Berlin"))
    other = crontab_block(two, Calendar("0 3 * * *", "UTC"))
    for plan in (crontab_block(one, Calendar("0 3 * * *", "UTC")), other, last, last):
        assert install(plan) == ["your crontab"]
    assert crontab.read_bytes() == b"5 4 * * * backup \xfc\n" + f"{other.crontab}\n{last.crontab}\n".encode()
    assert "CRON_TZ=Europe/Berlin\n30 4 * * mon-fri cd '" in last.crontab
    assert "a 100\\% project" in last.crontab.splitlines()[2]


@pytest.mark.parametrize("cron", ["0 3 * * * 30", "@daily", "0 3 L * *", "0 3 * * 5#2", "0 3 * * ?"])
def test_a_line_that_cron_cannot_say_is_refused(cron: str) -> None:
    with pytest.raises(InputError, match="cron cannot say"):
        crontab_block(Project(Path("here")), Calendar(cron, "UTC"))


@pytest.mark.parametrize(("mode", "command"), [("full", "-"), ("unread", "-l")])
def test_a_crontab_that_takes_or_gives_no_line_stays_as_it_was(
    tmp_path: Path, crontab: Path, mode: str, command: str
) -> None:
    (tmp_path / mode).touch()
    with pytest.raises(SwitchtenderError, match=f"crontab {command} failed: no space; nothing was changed"):
        install(crontab_block(Project(tmp_path), Calendar("0 3 * * *", "UTC")))
    assert crontab.read_text("latin-1") == "5 4 * * * backup ü\n"


def test_whoever_has_no_crontab_gets_one(tmp_path: Path, crontab: Path) -> None:
    crontab.unlink()
    plan = crontab_block(Project(tmp_path), Calendar("0 3 * * *", "UTC"))
    install(plan)
    assert crontab.read_text() == f"{plan.crontab}\n"
