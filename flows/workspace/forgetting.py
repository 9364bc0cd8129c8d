"""A forgetting between its commit and its end: what the commit says still has to reach the working copy.

The commit is the one moment at which rows are gone. What is to be done after it stands in `var/forgetting.json` before
it is made: each step can be repeated, so that a forgetting cut short is carried on, and one that was cut short before
its commit never was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flows.workspace.commits import commit_of, move_head
from flows.workspace.git import git, git_bytes
from flows.workspace.own_files import remove
from flows.workspace.project import Project
from pipeline.data.forgetting import FORGOTTEN_FILE, CuratedFiles, files_without_rows
from pipeline.runtime.errors import InputError, SwitchtenderError, listed, one_line
from pipeline.runtime.tables import write_json, write_whole

FILE = "forgetting.json"


@dataclass(frozen=True)
class Forgetting:
    """Rows on their way out: their ids, the track that they are of (or nothing: of both), the curated files that they
    are taken from, who asked, why and when; HEAD before the commit, and the commit, empty where there was none to make.
    """

    ids: tuple[str, ...]
    track: str
    tables: tuple[str, ...]
    lists: tuple[str, ...]
    joined: tuple[str, ...]
    who: str
    reason: str
    at: str
    head: str = ""
    commit: str = ""

    def curated(self, root: Path) -> CuratedFiles:
        """The curated files, as far as they are there."""
        tables, lists = (
            tuple(Path(name) for name in names if (root / name).is_file()) for names in (self.tables, self.lists)
        )
        return CuratedFiles(tables, lists, frozenset(map(Path, self.joined)))


def record(project: Project, asked: Forgetting, contents: Mapping[str, bytes | None], message: str) -> str:
    """Commit files of the repository, and bring the working copy in line. Call under the night's lock.

    Returns:
        The commit, or nothing where the files are so already.

    Raises:
        SwitchtenderError: git failed, or HEAD moved meanwhile, and nothing has changed; or the rows are out, and the
            working copy could not be brought in line, which the next try does.
    """
    head = git(project.root, "rev-parse", "HEAD")
    commit = commit_of(project.root, contents, message)
    write_json(asdict(replace(asked, head=head, commit=commit)), project.var / FILE)
    if commit:
        move_head(project.root, commit)
    try:
        settle(project)
    except SwitchtenderError as error:
        raise SwitchtenderError(
            f"the rows are out by commit {(commit or head)[:12]}, and the working copy is behind it ({error}); mend "
            "that, then run this again"
        ) from error
    return commit


def under_way(project: Project) -> Forgetting | None:
    """The forgetting that was committed and did not come to its end, if there is one.

    Raises:
        SwitchtenderError: what was written down of it cannot be read.
    """
    path = project.var / FILE
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        found = Forgetting(**{name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()})  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SwitchtenderError(
            f"{path} cannot be read ({one_line(error)}); move it away, then forget the same rows again"
        ) from error
    return found if _is_in_history(project.root, found.commit or found.head) else None


def _is_in_history(root: Path, commit: str) -> bool:
    try:
        return git(root, "merge-base", "HEAD", commit) == commit
    except SwitchtenderError:  # the commit is not there, or of another history
        return False


def refuse_unfinished(project: Project) -> None:
    """Refuse to go on where versions that hold forgotten rows may not be marked yet.

    Raises:
        InputError: a forgetting was cut short; says how to end it.
    """
    found = under_way(project)
    if found is not None:
        raise InputError(
            f"forgetting {listed(found.ids)} was cut short",
            f"run 'switchtender forget {' '.join(found.ids)} --reason ...' to its end",
        )


def settle(project: Project) -> Forgetting | None:
    """Bring the working copy in line with a forgetting that was committed; returns it until it is at its end.

    Again, it changes nothing. What somebody changed since then stays changed, but for the rows.

    Raises:
        SwitchtenderError: a file cannot be read or written; another try goes on.
    """
    found = under_way(project)
    if found is None:
        end(project)
        return None
    cut = files_without_rows(project.root, found.ids, found.curated(project.root))
    for path, content in cut.files.items():
        _write(project.root / path, content)
    names = _changed(project.root, found)
    for name in sorted({*names} - {*found.tables, *found.lists}):
        _bring_in_line(project.root, name, found)
    _unstage(project.root, names)
    for name in (*names, *found.tables):
        _clear_partial(project.root / name)
    return found


def end(project: Project) -> None:
    """Note that every step after the commit was done."""
    (project.var / FILE).unlink(missing_ok=True)


def _unstage(root: Path, names: list[str]) -> None:
    """The person's index still has these files as before, and would show them as staged to be changed back."""
    if names:
        git(root, "reset", "--quiet", "HEAD", "--", *names)


def _changed(root: Path, found: Forgetting) -> list[str]:
    """The files that the commit changed."""
    if not found.commit:
        return []
    listed = git(root, "diff-tree", "-r", "-z", "--no-renames", "--name-only", found.head, found.commit)
    return [name for name in listed.split("\0") if name]


def _bring_in_line(root: Path, name: str, found: Forgetting) -> None:
    path = root / name
    now = path.read_bytes() if path.is_file() else None
    before, after = (_content(root, commit, name) for commit in (found.head, found.commit))
    if now == before != after:
        _write(path, after)
    elif name == FORGOTTEN_FILE.as_posix() and now is not None and after is not None:
        lacking = [line for line in after.splitlines(keepends=True) if line not in now]
        if lacking:
            _write(path, now + b"".join(lacking))


def _content(root: Path, commit: str, name: str) -> bytes | None:
    """A file as it is written into the working copy; None where the commit has none of that name."""
    there = git(root, "ls-tree", "-z", "--name-only", commit, "--", name)
    return git_bytes(root, "cat-file", "--filters", f"{commit}:{name}") if there else None


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        remove(path)
        return
    write: Callable[[Path], int] = lambda to: to.write_bytes(content)  # noqa: E731
    write_whole(path, write)


def _clear_partial(path: Path) -> None:
    """Remove what a write that was killed left beside a file."""
    for partial in path.parent.glob(f".{path.stem}.*.partial{path.suffix}"):
        partial.unlink(missing_ok=True)
