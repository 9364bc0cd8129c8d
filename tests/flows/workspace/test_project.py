"""Which folder is the project, and from which track it is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.workspace.project import MARKS, find_project
from pipeline.runtime.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for mark in MARKS:
        (tmp_path / mark).touch()
    return tmp_path


@pytest.mark.parametrize(("track", "seen_from"), [("", "agents"), ("agents", "agents"), ("models", "models")])
def test_a_project_is_seen_from_the_track_that_is_named(folder: Path, track: str, seen_from: str) -> None:
    below = folder / "data" / "candidates"
    below.mkdir(parents=True)
    project = find_project(below, track)
    assert (project.root, project.track.name) == (folder, seen_from)


def test_an_unknown_track_is_told_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(InputError, match="unknown track 'agent'; known are agents, models"):
        find_project(folder, "agent")


def test_a_folder_outside_of_any_project_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not inside a Switchtender project"):
        find_project(tmp_path)
