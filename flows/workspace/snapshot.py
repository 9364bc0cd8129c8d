"""What a night trains from: HEAD plus a person's changes under data/ and in params.yaml, in a clone of its own.

The person's working tree and index are never touched. Uncommitted code is refused: a router must be traceable
to a commit.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import yaml

from flows.workspace.commits import tree_with
from flows.workspace.dvc_objects import refuse_foreign_remote, store_url
from flows.workspace.dvc_stages import LOCK, own_stages
from flows.workspace.git import git, git_list
from flows.workspace.installed_code import CODE as CODE_RECORD
from flows.workspace.installed_code import is_installed
from flows.workspace.own_files import is_own
from flows.workspace.processes import TIMED_OUT, run
from flows.workspace.project import Project
from pipeline.data.dataset import DATASET
from pipeline.runtime.errors import InputError, SwitchtenderError, one_line
from pipeline.runtime.yaml_file import load_yaml

POINTER = Path(f"{DATASET}.dvc")
_INPUTS = ("data", "params.yaml")
CODE = ("pipeline", "flows", "switchtender", "mlflow", "dvc.yaml", "constraints.txt", "pyproject.toml")
_IGNORED, _IMPORTED = "!!", (".py", ".so")
SNAPSHOT_REF = "refs/switchtender/snapshots/"
RUN_REF = "refs/switchtender/runs/"


def refuse_uncommitted_code(project: Project) -> None:
    """Stop where what would run is not what a commit says, also where git was told not to look.

    Raises:
        InputError: names the first file.
    """
    lines = _status(project, "--ignored", "--", *CODE)
    changed = [line[3:] for line in lines if line[:2] != _IGNORED or line.endswith(_IMPORTED)]
    if changed:
        raise InputError(
            f"{changed[0]} is changed and not committed; commit it (a router must be traceable to a commit)"
        )
    # h and S: assume-unchanged and skip-worktree, under which git status is silent.
    hidden = [line[2:] for line in git_list(project.root, "ls-files", "-v", "--", *CODE) if line[0] != "H"]
    if hidden:
        raise InputError(
            f"{hidden[0]} is hidden from git's sight; show it with 'git update-index --no-assume-unchanged "
            f"--no-skip-worktree {hidden[0]}', then commit it"
        )


def uncommitted_data(project: Project) -> list[str]:
    """Changed files under data/ and params.yaml, which the night takes along and reports."""
    changed = [line[3:] for line in _status(project, "--", *_inputs(project))]
    return changed + ([str(project.table)] if _table_differs(project.root, project.table) else [])


def _status(project: Project, *arguments: str) -> list[str]:
    return git_list(project.root, "status", "--porcelain", "--no-renames", "-uall", *arguments)


def _inputs(project: Project) -> tuple[str, ...]:
    """What a night takes along as it is in the working copy; the record of installed code, too."""
    return (*_INPUTS, *([CODE_RECORD.as_posix()] if is_installed(project.root) else []))


def pointer_of(table: Path) -> Path:
    """DVC's pointer of a table; where there is none, git keeps the table itself."""
    return table.with_name(f"{table.name}.dvc")


def _table_differs(root: Path, table: Path) -> bool:
    """Whether a table that DVC keeps has other bytes than its pointer says."""
    place = root / pointer_of(table)
    if not place.is_file():
        return False
    try:
        recorded = str(load_yaml(place)["outs"][0]["md5"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{pointer_of(table)} is no pointer of DVC's ({one_line(error, 80)}); git checkout {pointer_of(table)}"
        ) from error
    with (root / table).open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return digest != recorded


def snapshot(project: Project, key: str) -> str:
    """Commit HEAD plus the changed inputs under a ref of ours, past HEAD and the index; returns the commit."""
    head = git(project.root, "rev-parse", "HEAD")
    tree = tree_with(project.root, _inputs(project))
    commit = git(project.root, "commit-tree", tree, "-p", head, "-m", f"switchtender: inputs of {key}")
    # On no branch: without a ref, git would in time collect the commit as garbage.
    git(project.root, "update-ref", SNAPSHOT_REF + key, commit)
    return commit


def make_clone(project: Project, key: str, folder: Path) -> str:
    """Check the snapshot out in a repository of its own that shares DVC's cache; returns the snapshot's commit."""
    commit = snapshot(project, key)
    shutil.rmtree(folder, ignore_errors=True)  # half a clone, where an earlier attempt was cut short
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    git(folder, "fetch", "--quiet", "--no-tags", str(project.root), SNAPSHOT_REF + key)
    git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    share_dvc(project, folder, project.dvc_cache)
    table = project.table
    (folder / table).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(project.root / table, folder / table)
    if _table_differs(folder, table):
        dvc(project, folder, "add", "--quiet", str(table))
    keep_own_stages(project, folder)
    return commit


def keep_own_stages(project: Project, clone: Path) -> None:
    """Leave only the track's stages in a clone's dvc.lock: a run answers for what it ran, and keeps nothing else."""
    path = clone / LOCK
    if not path.is_file():
        return
    lock = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    stages = lock.get("stages") or {}
    lock["stages"] = {name: stages[name] for name in own_stages(stages, project.track)}
    path.write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")


def dvc(project: Project, folder: Path, *arguments: str, timeout: float | None = None) -> None:
    """Run a DVC command in a folder, for at most so many seconds.

    Raises:
        SwitchtenderError: it failed, with the errors that it told; or it took too long, and was ended.
    """
    done = run([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=project.environment(), timeout=timeout)
    if done.code == TIMED_OUT:
        raise SwitchtenderError(
            f"dvc {arguments[0]} in {folder} took longer than {timeout:g} s and was ended; try again"
        )
    if done.code != 0:
        # Its last word is where to ask for help.
        errors = [line.removeprefix("ERROR: ") for line in done.output.splitlines() if line.startswith("ERROR: ")]
        said = one_line("; ".join(errors) or done.output, 300)
        raise SwitchtenderError(f"dvc {arguments[0]} failed in {folder}: {said}; mend that, then run this again")


def share_dvc(project: Project, clone: Path, cache: Path) -> None:
    """Write DVC's local settings of a clone: a cache, and the main repository's remote for all that DVC keeps.

    The dataset goes there too: the small remote inside the repository is for what people commit. What lies in the
    project is named from the clone, so that a copy of both finds the copy.

    Raises:
        InputError: the remote is a folder of another project.
    """
    url, settings = store_url(project), clone / ".dvc"
    refuse_foreign_remote(project, url)
    if "://" not in url and is_own(project, Path(url)):
        url = _relative(Path(url), settings)
    remotes = "".join(f"['remote \"{name}\"']\n    url = {url}\n    verify = true\n" for name in ("store", "dataset"))
    text = f"[cache]\n    dir = {_relative(cache, settings)}\n{remotes}"
    (settings / "config.local").write_text(text, encoding="utf-8")


def clear_leftovers(clone: Path) -> None:
    """Remove what a killed night left in its clone. Call under the night's lock, when none of its processes lives.

    DVC asks of its lock only whether a process of that number lives, which may be any other by now.
    """
    for path in (clone / ".dvc" / "tmp" / "rwlock", *(clone / "var").rglob(".*.partial*")):
        path.unlink(missing_ok=True)


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def recorded_keys(project: Project) -> list[str]:
    """The keys of every run of whose inputs or training a ref of ours keeps a commit."""
    refs = git(project.root, "for-each-ref", "--format=%(refname)", SNAPSHOT_REF, RUN_REF).splitlines()
    return [ref.rsplit("/", 1)[-1] for ref in refs]


def recorded_commit(project: Project, key: str) -> str:
    """The commit that a run was recorded as; empty where it was not yet."""
    return git(project.root, "for-each-ref", "--format=%(objectname)", f"{RUN_REF}{key}")


def is_as_recorded(project: Project, key: str, clone: Path) -> bool:
    """Whether a clone holds what was recorded of its run."""
    if not (clone / ".git").is_dir():
        return False
    git(clone, "add", "-A")
    return git(clone, "write-tree") == git(project.root, "rev-parse", f"{recorded_commit(project, key)}^{{tree}}")


def record(project: Project, key: str, clone: Path, timeout: float | None = None) -> str:
    """Commit what was trained (data, params, champion, dvc.lock) in the clone, and keep it in the main repository.

    Once a key: what was recorded before is what counts, since a version may name it. The remote has `timeout` seconds.

    Raises:
        SwitchtenderError: the remote or git failed, and nothing was recorded.
    """
    # Data before the commit that names it: cut short in between, it leaves spare bytes, never a commit without them.
    dvc(project, clone, "push", "--quiet", timeout=timeout)
    if before := recorded_commit(project, key):
        return before
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", f"switchtender: {key}")
    git(clone, "push", "--quiet", str(project.root), f"HEAD:{RUN_REF}{key}")
    return git(clone, "rev-parse", "HEAD")


def carry_over(older: Path, clone: Path) -> None:
    """Give a new clone an older one's dvc.lock and Data Docs, so that DVC sees what is stale."""
    if (older / LOCK).is_file():
        shutil.copyfile(older / LOCK, clone / LOCK)
    if (older / "var" / "reports").is_dir():
        shutil.copytree(older / "var" / "reports", clone / "var" / "reports", dirs_exist_ok=True)
