"""A night whose stores fail it: MLflow's SQLite locked, PostgreSQL stopped, DVC's remote refusing or silent."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from sandbox import Sandbox, copy_project, make_tiny
from struck_nights import mark_kept, nothing_lost, struck
from stub_remote import REFUSING, SILENT, stub_remote

pytestmark = pytest.mark.faults


@pytest.fixture
def project(two_versions: Sandbox, tmp_path: Path) -> Sandbox:
    """A project after two nights, with one late stage that has something to do."""
    copy = two_versions.copy_to(tmp_path / "project")
    copy.set_params(gate__resamples=101)
    return copy


@contextmanager
def locked(database: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold a SQLite file so that nobody else can read or write it; for the whole block, or at most some seconds."""
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin exclusive")
        timer = threading.Timer(seconds if seconds is not None else 3600, other.rollback)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            other.rollback()


@pytest.mark.parametrize("moment", ["start", "register"])
def test_mlflows_database_is_locked(project: Sandbox, moment: str) -> None:
    database = project.root / "var" / "mlflow.db"
    cell = struck(project, "SQLite locked", moment, lambda: locked(database))
    assert cell.code == 1, cell
    assert "locked" in cell.said, cell
    nothing_lost(project, 3)


def test_a_database_that_is_free_again_in_time_is_waited_for(project: Sandbox) -> None:
    database = project.root / "var" / "mlflow.db"
    assert struck(project, "SQLite locked for 3 s", "register", lambda: locked(database, 3)).code == 0
    nothing_lost(project, 3)


@pytest.mark.parametrize(("behaves", "said"), [(REFUSING, "dvc push failed"), (SILENT, "took longer than 60 s")])
def test_the_remote_fails(project: Sandbox, behaves: str, said: str, tmp_path: Path) -> None:
    with stub_remote(tmp_path / "bucket") as remote:
        shutil.copytree(project.root / "var" / "dvc" / "remote", remote.folder)
        config = project.root / ".dvc" / "config"
        config.write_text(config.read_text().replace("../var/dvc/remote", remote.url))
        project.git("commit", "--quiet", "-am", "a remote elsewhere")
        project.set_params(nightly__stage_timeout_minutes=1)
        cell = struck(project, f"remote {behaves}", "push", lambda: remote.behaving(behaves))
        assert cell.code == 1, cell
        assert said in cell.said, cell
        nothing_lost(project, 3)


class PostgreSQL:
    """A server of our own in a folder, reached by a socket there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"postgresql://mlflow@/postgres?host={folder}"
        # It refuses to run as root.
        self._user = ["setpriv", "--reuid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self._user:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-A", "trust", "-U", "mlflow")
        self.start()

    def _run(self, command: str, *arguments: str) -> None:
        whole = [*self._user, command, "-D", str(self.folder / "data"), *arguments]
        subprocess.run(whole, cwd="/", check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        options = f"-c listen_addresses= -k {self.folder}"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    @contextmanager
    def stopped(self, seconds: float | None = None) -> Iterator[None]:
        """It is gone while the block runs, or for some seconds at its begin."""
        self.stop()
        if seconds is not None:
            time.sleep(seconds)
            self.start()
        yield
        if seconds is None:
            self.start()


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    """A place that the server's own user can enter, as pytest's folders are not."""
    with tempfile.TemporaryDirectory(prefix="pg-") as place:
        server = PostgreSQL(Path(place))
        yield server
        server.stop()


@pytest.mark.skipif(
    find_spec("psycopg2") is None or shutil.which("initdb") is None, reason="PostgreSQL or its driver is not installed"
)
def test_postgresql_is_restarted(
    postgresql: PostgreSQL, tiny_encoder: Path, prefect_address: str, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project", prefect_address)
    make_tiny(project, tiny_encoder)
    project = replace(project, settings=(("MLFLOW_TRACKING_URI", postgresql.uri),))
    assert struck(project, "PostgreSQL", "register", postgresql.stopped).code == 1
    assert struck(project, "PostgreSQL restarted", "push", lambda: postgresql.stopped(2)).code == 0
    done = project.run("verify", "--all", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads(done.stdout)) == 1
    assert not project.night()["new"]
    mark_kept("PostgreSQL", "PostgreSQL restarted")
