"""Before there is a version: every verb that asks for one names the command that makes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_versions import PARAMS, MadeProject

from flows.service.version_source import RegistrySource
from flows.workspace import runs
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.serving.engine.hot_swap import NotReady, VersionSwitch
from pipeline.serving.engine.settings import ServeParams
from switchtender.verbs.audit import audit
from switchtender.verbs.diff import diff
from switchtender.verbs.promote import promote, rollback
from switchtender.verbs.replay import replay
from switchtender.verbs.status import status
from switchtender.verbs.trace import trace
from switchtender.verbs.verify import verify

ASKED: dict[str, Callable[..., Any]] = {
    "status": status,
    "audit": audit,
    "audit 1": partial(audit, "1"),
    "diff": partial(diff, "1", "2"),
    "trace": partial(trace, "p1"),
    "verify": verify,
    "verify --all": partial(verify, every=True),
    "replay": partial(replay, "1"),
    "promote": partial(promote, "1", reason="why"),
    "rollback": partial(rollback, reason="why"),
}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeProject:
    """A project whose store is there and holds nothing."""
    made = MadeProject(tmp_path / "project")
    made.commit("empty")
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(made.project.root)
    return made


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("with_store", [True, False])
def test_each_verb_names_make_nightly(
    asked: str, with_store: bool, empty: MadeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    if not with_store:
        empty.project.mlflow_database.unlink()
    assert "make nightly" in _said(ASKED[asked], capsys)


@pytest.mark.parametrize("asked", ASKED)
def test_of_a_track_that_nights_leave_out_each_verb_names_that_tracks_own_night(
    asked: str, empty: MadeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = PARAMS | {"models": {"register": PARAMS["register"]}, "nightly": {"tracks": ["agents"]}}
    (empty.project.root / "params.yaml").write_text(yaml.safe_dump(sections))
    said = _said(partial(ASKED[asked], track="models"), capsys)
    assert "switchtender nightly --track models" in said
    assert "make nightly" not in said


def _said(asked: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        asked()
        said = capsys.readouterr().out
    except SwitchtenderError as error:
        said = str(error)
    return " ".join(said.split())


def test_the_service_says_whether_a_night_was_and_what_came_of_it(empty: MadeProject) -> None:
    switch = VersionSwitch(RegistrySource(empty.project, "champion", "serve@test"), ServeParams())
    switch.poll()
    with pytest.raises(NotReady, match=r"nothing is registered yet; run 'make nightly'"):
        _ = switch.served
    runs.save(empty.project, runs.Run("nightly-1", 1, runs.FINISHED, "identity", "then"))
    switch.poll()
    with pytest.raises(NotReady, match=r"latest night, nightly-1, did not all pass.*run 'make nightly'"):
        _ = switch.served


def test_a_version_that_is_registered_and_not_in_service_is_told_apart(empty: MadeProject) -> None:
    empty.add(1)
    switch = VersionSwitch(RegistrySource(empty.project, "champion", "serve@test"), ServeParams())
    switch.poll()
    with pytest.raises(NotReady, match=r"no version is in service yet; run 'make nightly'.*switchtender promote"):
        _ = switch.served
    with pytest.raises(InputError, match=r"no version is in service yet.*make nightly"):
        rollback(reason="why")
