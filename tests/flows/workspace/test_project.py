"""Which folder is the project, and from which track it is seen."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import httpx
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


@pytest.mark.parametrize(
    "address",
    [
        "sqlite+pysqlite:///x.db", "sqlite:///file:x.db?uri=true", "sqlite:///x.db?timeout=3", "sqlite:///x%2Edb",
        "SQLITE:///x.db", "file:///tmp/x", "/tmp/x", "garbage",
    ],
)  # fmt: skip
def test_a_store_in_an_unknown_spelling_is_refused(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI is"):
        find_project(folder).store_file  # noqa: B018


@pytest.mark.parametrize("address", ["", "  ", "sqlite:///x.db", "postgresql://a@b/c", "http://localhost:1"])
def test_a_known_store_is_taken(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    project = find_project(folder)
    assert project.tracking_uri == (address.strip() or project.own_store)
    assert project.owns_store == (not address.strip())


def test_a_nights_clone_finds_the_encoders_of_its_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWITCHTENDER_ENCODERS", raising=False)
    assert find_project(folder).night_environment()["SWITCHTENDER_ENCODERS"] == str(folder / "var" / "encoders")


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_this_machine_is_never_asked_through_a_proxy(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    monkeypatch.setenv(name, "intranet.example, localhost")
    project = find_project(folder)
    project.enter_environment()
    project.enter_environment()
    assert project.environment()["NO_PROXY"] == "intranet.example,localhost,127.0.0.1,::1"
    assert httpx._utils.get_environment_proxies()["all://127.0.0.1"] is None
    assert urllib.request.proxy_bypass("127.0.0.1")
