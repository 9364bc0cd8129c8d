"""Secrets are named, never written: what a night and its errors leave holds none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_rows import holding_anywhere
from sandbox import Sandbox

CANARY = "canary-3f9a1c77d2"
NAMED = ("AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "MLFLOW_TRACKING_PASSWORD", "SWITCHTENDER_KEYS", "PREFECT_API_KEY")
SETTINGS = Path(".dvc/config.local")


@pytest.fixture
def project(two_versions: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A project with a secret in the environment, and one in DVC's settings of this machine."""
    sandbox = two_versions.copy_to(tmp_path / "project")
    for name in NAMED:
        monkeypatch.setenv(name, CANARY)
    with (sandbox.root / SETTINGS).open("a") as file:
        file.write(f"['remote \"backup\"']\n    url = s3://bucket\n    secret_access_key = {CANARY}\n")
    return sandbox


@pytest.mark.faults
def test_a_night_and_an_error_leave_no_secret_behind(project: Sandbox) -> None:
    project.set_params(evaluate__resamples=103)
    done = project.run("nightly")
    assert done.returncode == 0, done.stderr
    project.set_params(evaluate__resamples=-1)
    refused = project.run("nightly")
    assert refused.returncode == 2
    for said in (done, refused, project.run("doctor"), project.run("audit", "3"), project.run("verify", "--all")):
        assert CANARY not in said.stdout + said.stderr
    assert holding_anywhere(project, [CANARY.encode()]) == {SETTINGS.as_posix()}
