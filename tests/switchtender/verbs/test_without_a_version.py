"""Before there is a version: every verb that asks for one names the command that makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_versions import MadeProject

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

ASKED: dict[str, Callable[[], Any]] = {
    "status": status,
    "audit": audit,
    "audit 1": lambda: audit("1"),
    "diff": lambda: diff("1", "2"),
    "trace": lambda: trace("p1"),
    "verify": verify,
    "verify --all": lambda: verify(every=True),
    "replay": lambda: replay("1"),
    "promote": lambda: promote("1", reason="why"),
    "rollback": lambda: rollback(reason="why"),
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
    try:
        ASKED[asked]()
        said = capsys.readouterr().out
    except SwitchtenderError as error:
        said = str(error)
    assert "make nightly" in " ".join(said.split())


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
