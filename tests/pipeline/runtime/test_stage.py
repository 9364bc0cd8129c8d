"""A stage ends with one line, whatever it meets."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pipeline.runtime.stage import Summary, run_stage, run_stage_on_track


def test_a_stage_on_a_full_disk_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> Summary:
        raise OSError(errno.ENOSPC, "No space left on device", "router.bin")

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        run_stage("train", full)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: router.bin: No space left on device")


def test_a_track_that_there_is_not_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train", "agent"])
    with pytest.raises(SystemExit, match="2"):
        run_stage_on_track("train", lambda _: {})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: ")
