"""A copy of the project in which a test may run nights, as a user would: same environment, its own var."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from warm_command import run_warm

if TYPE_CHECKING:
    from flows.registry.versions import Version

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Sandbox:
    """A project in its own folder and git repository, with no git identity configured."""

    root: Path
    prefect: str = ""
    """The address of a Prefect server; without one a night starts its own, as a user's does."""
    settings: tuple[tuple[str, str], ...] = ()
    """Further environment variables."""

    def env(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "GIT_", "DVC_"))}
        clean |= {"PREFECT_API_URL": self.prefect} if self.prefect else {}
        clean |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PYTHONPATH": str(self.root)}
        return clean | dict(self.settings)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `switchtender` with arguments."""
        command = [sys.executable, "-m", "switchtender", *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `switchtender` to its end, with the project's own code in a process that has the libraries loaded."""
        return run_warm("switchtender", arguments, self.root, self.env())

    def night(self, expect: int = 0) -> dict[str, Any]:
        """Run a night and return what it printed as JSON."""
        done = self.run("nightly", "--json")
        assert done.returncode == expect, done.stderr[-3000:]
        value: dict[str, Any] = json.loads(done.stdout)["nights"][0]
        return value

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", *arguments],
            cwd=self.root, env=self.env(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def set_params(self, **changes: Any) -> None:
        """Change settings, written `section__key=value`, or `models__section__key=value`."""
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for name, value in changes.items():
            *sections, key = name.split("__")
            found = params
            for section in sections:
                found = found[section]
            found[key] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def copy_to(self, folder: Path) -> Sandbox:
        """The whole project with all that it has made, at another place, for a test that damages something."""
        shutil.copytree(self.root, folder, symlinks=True, ignore=_of_no_use)
        return replace(self, root=folder)

    def digest(self) -> str:
        """The sha256 of every file's name and bytes, but git's index, which is refreshed by looking."""
        whole = hashlib.sha256()
        for path in sorted(path for path in self.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            if path != self.root / ".git" / "index":
                whole.update(path.relative_to(self.root).as_posix().encode() + path.read_bytes())
        return whole.hexdigest()

    def versions(self) -> list[Version]:
        """Every registered version, oldest first."""
        from flows.registry.versions import Versions
        from flows.workspace.project import Project

        return Versions(Project(self.root), "agent-router").all


def _of_no_use(folder: str, names: list[str]) -> set[str]:
    """What a copy goes without: Prefect's database, and compiled files of the runs' clones."""
    return {name for name in names if name == "prefect" or (name == "__pycache__" and "/var/" in folder)}


def copy_project(folder: Path, prefect: str = "") -> Sandbox:
    """The project as it is now (committed or not) after `make setup`, in a new repository.

    It goes without tests, docs and benchmarks, which nothing in it reads.
    """
    return replace(_set_up().copy_to(folder), prefect=prefect)


@cache
def _place() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed with this process."""
    return tempfile.TemporaryDirectory(prefix="switchtender-")


@cache
def _set_up() -> Sandbox:
    """What is copied, made once."""
    sandbox = Sandbox(Path(_place().name) / "project")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (sandbox.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, sandbox.root / name)
    sandbox.git("init", "--quiet")
    sandbox.git("add", "-A")
    sandbox.git("commit", "--quiet", "-m", "the project")
    sandbox.git("checkout", "--quiet", "--detach")
    subprocess.run([sys.executable, "-m", "flows.setup"], cwd=sandbox.root, env=sandbox.env(), check=True)
    return sandbox


def make_tiny(sandbox: Sandbox, encoder: Path) -> None:
    """The same code on a small random encoder, one epoch, with gates wide open: a night in under a minute."""
    sandbox.set_params(
        run__threads=1, train__encoder=str(encoder), train__epochs=1, train__folds=2,
        train__networks=1, train__max_tokens=32,
        validate__encoder=str(encoder), validate__near_duplicate_cosine=1.0, label_noise__encoder=str(encoder),
        label_noise__trigger_grip=1.0,
        augment__encoder=str(encoder), augment__holdout_cosine=1.0, augment__min_consistency=0.0,
        evaluate__encoder=str(encoder), evaluate__resamples=100, gate__resamples=100, gate__micro_f1=0.0,
        gate__macro_f1=0.0, gate__rare_recall=0.0, gate__calibration_error=1.0,
        gate__label_count_error=100.0, gate__margin=1.0,
        gate__agent_margin=1.0, gate__rare_margin=1.0, nightly__tracks=["agents"],
    )  # fmt: skip
    sandbox.git("add", "-A")
    sandbox.git("commit", "--quiet", "-m", "tiny profile")


def flip(path: Path) -> None:
    """Change one byte in place and keep mode and times, as a cache object edited behind DVC's back."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    path.chmod(stat.S_IMODE(before.st_mode))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
