"""What a night trains from: HEAD plus a person's changes under data/ and in params.yaml, in a clone of its own.

The person's working tree and index are never touched. Uncommitted code is refused: a router must be traceable
to a commit.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.dvc_objects import store_url
from flows.git import git
from flows.processes import run
from flows.project import Project
from pipeline.determinism import RunParams, fingerprint
from pipeline.errors import InputError, SwitchtenderError
from pipeline.params import read, read_file
from pipeline.tables import sha256_file, sha256_text

DATASET = Path("data/prompts.csv")
POINTER = Path("data/prompts.csv.dvc")
TAKEN = ("data", "params.yaml")
CODE = ("pipeline", "flows", "switchtender", "mlflow", "dvc.yaml", "constraints.txt", "pyproject.toml")
SERVING_CODE, SERVING_PARAMS = "pipeline/serving/", {"serve"}
"""What answers, not what trains: a change in it makes no night worth running."""
SNAPSHOT_REF = "refs/switchtender/snapshots/"
RUN_REF = "refs/switchtender/runs/"


@dataclass(frozen=True)
class Identity:
    """What decides whether a night would give anything new; `digest` names it whole."""

    data: dict[str, str]
    params: str
    code: str
    environment: str

    @property
    def digest(self) -> str:
        return sha256_text(repr((sorted(self.data.items()), self.params, self.code, self.environment)))


def identify(project: Project) -> Identity:
    """The identity of what lies in the project's folder now.

    Raises:
        InputError: code is changed and not committed, or the dataset is not there.
        ParamsError: params.yaml cannot be read.
    """
    refuse_uncommitted_code(project)
    params = project.root / "params.yaml"
    threads = read("run", RunParams, params).threads
    trains = {name: values for name, values in read_file(params).items() if name not in SERVING_PARAMS}
    return Identity(
        data=data_digests(project.root),
        params=sha256_text(repr(sorted(trains.items()))),
        code=sha256_text(_training_code(project)),
        environment=sha256_text(repr(sorted(fingerprint(threads).items()))),
    )


def _training_code(project: Project) -> str:
    """Every file that a night runs, with git's digest of it."""
    listed = git(project.root, "ls-tree", "-r", "HEAD", "--", "pipeline", "dvc.yaml", "constraints.txt").splitlines()
    return "\n".join(line for line in listed if not line.split("\t")[1].startswith(SERVING_CODE))


def data_digests(root: Path) -> dict[str, str]:
    """sha256 of every file that people curate, by path.

    Raises:
        InputError: prompts.csv is not there.
    """
    if not (root / DATASET).is_file():
        raise InputError(f"{DATASET} is not there; fetch it with 'make setup'")
    listed = git(
        root, "ls-files", "-co", "--exclude-standard", "data/*.yaml", "data/*.csv", "data/*.txt", "data/*.json"
    )
    files = sorted({*listed.splitlines(), DATASET.as_posix()})
    return {name: sha256_file(root / name) for name in files if (root / name).is_file()}


def refuse_uncommitted_code(project: Project) -> None:
    """Stop where what would run is not what a commit says.

    Raises:
        InputError: names the first changed file.
    """
    changed = git(project.root, "status", "--porcelain", "-uall", "--", *CODE)
    if changed:
        first = changed.splitlines()[0].split(maxsplit=1)[-1]
        raise InputError(f"{first} is changed and not committed; commit it (a router must be traceable to a commit)")


def uncommitted_data(project: Project) -> list[str]:
    """Changed files under data/ and params.yaml, which the night takes along and reports."""
    lines = git(project.root, "status", "--porcelain", "-uall", "--", *TAKEN, strip=False).splitlines()
    changed = [line[3:] for line in lines]
    return changed + ([str(DATASET)] if _dataset_differs(project.root) else [])


def _dataset_differs(root: Path) -> bool:
    pointer: dict[str, Any] = yaml.safe_load((root / POINTER).read_text(encoding="utf-8"))
    with (root / DATASET).open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return digest != str(pointer["outs"][0]["md5"])


def snapshot(project: Project, key: str) -> str:
    """Commit HEAD plus the taken changes through a temporary index, under a ref of ours; returns the commit."""
    head = git(project.root, "rev-parse", "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(project.root, "read-tree", "HEAD", env=env)
        git(project.root, "add", "-A", "--", *TAKEN, env=env)
        tree = git(project.root, "write-tree", env=env)
    commit = git(project.root, "commit-tree", tree, "-p", head, "-m", f"switchtender: inputs of {key}")
    git(project.root, "update-ref", SNAPSHOT_REF + key, commit)
    return commit


def make_clone(project: Project, key: str, folder: Path) -> str:
    """A shallow clone of the snapshot with DVC's cache shared; returns the snapshot's commit."""
    commit = snapshot(project, key)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    git(folder, "fetch", "--quiet", "--no-tags", str(project.root), SNAPSHOT_REF + key)
    git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    (folder / ".dvc" / "config.local").write_text(shared_dvc(project, project.dvc_cache), encoding="utf-8")
    shutil.copyfile(project.root / DATASET, folder / DATASET)
    if _dataset_differs(folder):
        dvc(project, folder, "add", "--quiet", str(DATASET))
    return commit


def dvc(project: Project, folder: Path, *arguments: str) -> None:
    """Run a DVC command in a folder.

    Raises:
        SwitchtenderError: it failed; with the end of what it said.
    """
    done = run([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=project.environment())
    if done.code != 0:
        raise SwitchtenderError(f"dvc {arguments[0]} failed in {folder}: {' '.join(done.output.split())[-300:]}")


def shared_dvc(project: Project, cache: Path) -> str:
    """DVC's local settings for a clone: a cache, and the main repository's remote for all that DVC keeps.

    The dataset goes there too: the small remote inside the repository is for what people commit.
    """
    remotes = "".join(
        f"['remote \"{name}\"']\n    url = {store_url(project)}\n    verify = true\n" for name in ("store", "dataset")
    )
    return f"[cache]\n    dir = {cache}\n{remotes}"


def record(project: Project, key: str, clone: Path) -> str:
    """Commit what was trained (data, params, champion, dvc.lock) in the clone, and keep it in the main repository."""
    dvc(project, clone, "push", "--quiet")
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", f"switchtender: {key}")
    git(clone, "push", "--quiet", "--force", str(project.root), f"HEAD:{RUN_REF}{key}")
    return git(clone, "rev-parse", "HEAD")


def carry_over(older: Path, clone: Path) -> None:
    """Give a new clone an older one's dvc.lock and Data Docs, so that DVC sees what is stale."""
    if (older / "dvc.lock").is_file():
        shutil.copyfile(older / "dvc.lock", clone / "dvc.lock")
    if (older / "var" / "reports").is_dir():
        shutil.copytree(older / "var" / "reports", clone / "var" / "reports", dirs_exist_ok=True)
