"""`switchtender serve` as a process of its own on a project with two versions: follow, refuse, drain, end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sandbox import ROOT, Sandbox

from flows.promotion.promotion import promote, rollback
from flows.records.serving_log import serving_periods
from flows.registry.versions import opened, versions_of
from flows.service.version_source import RegistrySource
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.serving.engine.decision_journal import decisions_with_feedback

PROMPT = {"prompt": "Translate this letter into Dutch and mail it to Ana."}


@dataclass
class Process:
    """A running service, a client of it, and what it has logged."""

    process: subprocess.Popen[str]
    client: httpx.Client
    log: Path

    def wait_until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def version(self) -> str:
        return str(self.client.post("/v1/route", json=PROMPT).json()["version"])

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(folder: Path, environment: dict[str, str], log: Path, *arguments: str) -> Iterator[Process]:
    """`switchtender serve` on a free port."""
    command = [sys.executable, "-m", "switchtender", "serve", "--port", "0", "--no-page", "--json", *arguments]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    try:
        listening = process.stdout.readline()
        assert listening, log.read_text()
        with httpx.Client(base_url=json.loads(listening)["address"], timeout=60) as client:
            yield Process(process, client, log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def project(two_versions: Sandbox, tmp_path: Path) -> Sandbox:
    """A project of two versions, of which the first serves, to be damaged."""
    sandbox = two_versions.copy_to(tmp_path / "project")
    path = sandbox.root / "params.yaml"
    path.write_text(f"{path.read_text().partition('serve:')[0]}serve:\n  poll_seconds: 0.1\n")
    return sandbox


def _ready(service: Process) -> bool:
    return service.client.get("/readyz").status_code == 200


def _model_file(project: Sandbox, number: str) -> Path:
    with opened(versions_of(Project(project.root)).number(number)) as folder:
        return folder.model / "router.json"


def test_it_follows_promotions_and_refuses_what_is_not_as_signed(project: Sandbox, tmp_path: Path) -> None:
    name, there = f"serve@{socket.gethostname()}", Project(project.root)
    with serving(project.root, project.env(), tmp_path / "log", "--log-prompts") as service:
        service.wait_until(lambda: _ready(service))
        assert service.version() == "1"

        service.process.send_signal(signal.SIGSTOP)  # so that it sees the promotion and the damage at once
        promote(there, "2", "a test", force=True)
        damaged = _model_file(project, "2")
        sound = damaged.read_bytes()
        damaged.write_bytes(sound.replace(b"0", b"1", 1))
        service.process.send_signal(signal.SIGCONT)
        service.wait_until(lambda: bool(service.client.get("/readyz").json()["degraded"]))
        assert service.version() == "1"
        refused = service.client.get("/v1/version").json()["refused"]
        assert (refused["version"], "router.json is changed" in refused["reason"]) == ("2", True)

        damaged.write_bytes(sound)
        rollback(there, "a test", force=True)
        service.wait_until(lambda: not service.client.get("/readyz").json()["degraded"])
        promote(there, "2", "a test", force=True)
        service.wait_until(lambda: service.version() == "2")

        answer = service.client.post("/v1/route", json=PROMPT)
        said = {"request_id": answer.headers["X-Request-ID"], "accepted": False}
        assert service.client.post("/v1/feedback", json=said).json()["matched"]
        assert service.end() == 0
    mine = [one for one in serving_periods(there) if one.server.startswith(name)]
    assert [one.version for one in mine] == ["1", "2"]
    assert all(one.until for one in mine), "the stop is noted too"
    (found,) = decisions_with_feedback(project.root / "var" / "serving")
    facts = versions_of(there).number("2")
    assert found.decision["run_key"] == facts.run_key
    assert found.decision["provenance_sha256"] == facts.tags["switchtender.provenance_sha256"]
    assert found.decision["prompt"] == PROMPT["prompt"]


def test_a_version_is_read_from_a_private_copy_and_must_be_the_one_that_was_promoted(two_versions: Sandbox) -> None:
    source = RegistrySource(Project(two_versions.root), "champion", "serve@test")
    pointer = source.current()
    assert pointer is not None
    with source.proved(pointer) as folder:
        assert (folder / "router.json").read_bytes() == _model_file(two_versions, pointer.version).read_bytes()
        assert not folder.is_relative_to(two_versions.root)
        assert oct(folder.parents[3].stat().st_mode & 0o777) == "0o700"
    other = replace(pointer, provenance_sha256="0" * 64)
    with pytest.raises(VerificationFailed, match="not the one that was promoted"), source.proved(other):
        pass


def test_a_broken_promotion_log_or_store_is_told_while_it_serves_on(project: Sandbox, tmp_path: Path) -> None:
    with serving(project.root, project.env(), tmp_path / "log") as service:
        service.wait_until(lambda: _ready(service))
        log = project.root / "var" / "records" / "promotions.jsonl"
        log.write_text(log.read_text().replace("promoted", "demoted"))
        service.wait_until(lambda: bool(service.client.get("/readyz").json()["degraded"]))
        assert "promotions.jsonl" in service.client.get("/v1/version").json()["trouble"]
        assert service.version() == "1"
        assert service.end() == 0


def test_a_pinned_version_is_the_one_named(two_versions: Sandbox) -> None:
    project = Project(two_versions.root)
    (second, champion) = (RegistrySource(project, which, "serve@test").current() for which in ("2", "champion"))
    assert second is not None
    assert champion is not None
    assert (second.version, champion.version) == ("2", "1")
    with RegistrySource(project, "2", "serve@test").proved(second) as folder:
        assert (folder / "router.json").read_bytes() == _model_file(two_versions, "2").read_bytes()
    with pytest.raises(InputError, match="no version has the alias 'nobody'"):
        RegistrySource(project, "nobody", "serve@test").current()


def test_a_folder_of_ones_own_is_served_without_a_project(tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    said = [("translate it", "de"), ("mail it", "mail")] * 6
    rows = [f"p{i},{text} for number {i},{agent}" for i, (text, agent) in enumerate(said)]
    table.write_text("prompt_id,prompt,agents\n" + "\n".join(rows) + "\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    fit = [
        sys.executable,
        "-m",
        "switchtender",
        "fit",
        str(table),
        "--router",
        "tfidf",
        "--out",
        str(tmp_path / "mine"),
    ]
    subprocess.run(fit, cwd=tmp_path, env=environment, check=True, capture_output=True)
    with serving(tmp_path, environment, tmp_path / "log", "--from", "mine") as service:
        service.wait_until(lambda: _ready(service))
        answer: dict[str, Any] = service.client.post("/v1/route", json={"prompt": "mail this"}).json()
        assert (answer["version"], answer["provenance_sha256"]) == ("folder", None)
        assert answer["results"][0]["agents"] == ["mail"]
        assert service.end() == 0
    assert (tmp_path / "var" / "serving" / "decisions.jsonl").exists()


def test_an_address_that_is_taken_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "router.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "switchtender", "serve", "--from", str(tmp_path), "--port", port]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "cannot be listened on (Address already in use); name another" in line


def test_mlflows_own_server_gives_the_same_answers(project: Sandbox, tmp_path: Path) -> None:
    prompts = [PROMPT["prompt"], "Which tables hold invoices of last year?"]
    with serving(project.root, project.env(), tmp_path / "log") as service:
        service.wait_until(lambda: _ready(service))
        ours = service.client.post("/v1/route", json={"prompts": prompts}).json()
    project.run("doctor", "--relocate")  # MLflow's own server reads what the copied tables say
    with _mlflow_serving(project, tmp_path / "mlflow.log", "models:/agent-router@champion") as client:
        rows = [{"prompt": prompt} for prompt in prompts]
        theirs = client.post("/invocations", json={"dataframe_records": rows}).json()["predictions"]
    for result, row in zip(ours["results"], theirs, strict=True):
        assert set(row.pop("agents").split("|")) == set(result["agents"])
        assert row == pytest.approx(result["scores"], abs=1e-6)
    (bytecode,) = (project.root / "var" / "artifacts").rglob("agent_router*.pyc")
    assert project.run("verify", "1").returncode == 0, "what MLflow's loader leaves behind is known"
    bytecode.write_bytes(bytecode.read_bytes().replace(b"prompt", b"prompd"))
    assert project.run("verify", "1").returncode == 4, "it would be run, so it has to be what the code says"


@contextmanager
def _mlflow_serving(project: Sandbox, log: Path, model: str) -> Iterator[httpx.Client]:
    """`mlflow models serve`, until it answers its own health check."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = f"sqlite:///{project.root / 'var' / 'mlflow.db'}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        model,
        "-p",
        str(port),
        "--env-manager",
        "local",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=project.root.parent, stdout=output, stderr=output, start_new_session=True,
            env=project.env() | {"MLFLOW_TRACKING_URI": store, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                                 "PYTHONDONTWRITEBYTECODE": ""},
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            end = time.monotonic() + 120
            while not _answers(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ping").status_code == 200
    except httpx.TransportError:
        return False
