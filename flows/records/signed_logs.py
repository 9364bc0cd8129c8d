"""The append-only logs of a checkout under one signed head, which git keeps.

    var/records/*.jsonl, var/records/models/*.jsonl    one log a kind of act and track, for reading
    refs/switchtender/records                          a commit with the same texts and `head.json`

An act is committed to the ref by compare-and-set before a file says so: the ref is what counts, and a file that
lacks the end of what is signed is read as if it had it. Only the log of what answered may be ahead of the ref, where
a service that holds no private key wrote to it; the next signed act takes that along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from flows.records.unmigrated_logs import OldLog, old_logs
from flows.workspace.git import git, git_objects
from flows.workspace.project import Project
from flows.workspace.runs import now
from pipeline.runtime.errors import HeldByAnotherRun, VerificationFailed
from pipeline.runtime.params import read
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.tables import write_text
from pipeline.versions.hash_chain import START, Head, chained, entries, head_of, read_log, whole_lines
from pipeline.versions.signed_head import SignedHead, described, parse_head, sign_head
from pipeline.versions.signing import FileDifference, Signer, SigningParams

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

E = TypeVar("E", bound="DataclassInstance")

REF = "refs/switchtender/records"
HEAD = "head.json"
PROMOTIONS, SERVED, REMOVALS, REGISTRATIONS = (
    "promotions.jsonl",
    "served.jsonl",
    "removals.jsonl",
    "registrations.jsonl",
)
LOGS = (PROMOTIONS, SERVED, REMOVALS, REGISTRATIONS)
COMMAND = "command"
"""The server that every promotion is a swap of: the command line and MLflow's own loader."""
_NOTHING = "0" * 40
_GONE = f"{REF} in git, which is gone"
_PATIENCE = 60
"""Seconds to wait for another writer."""


def signer_of(project: Project) -> Signer:
    """Signs and checks as the project's params.yaml says."""
    return Signer(read("signing", SigningParams, project.root / "params.yaml"), project.root)


def file_of(project: Project, log: str) -> str:
    """A track's log by its path under `var/records`, which is also its name in the ref."""
    return (project.records / log).relative_to(project.var / "records").as_posix()


class SignedLogs:
    """All logs of one checkout, as they were when they were first asked for."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.var / "records"

    def entries(self, file: str) -> list[JsonObject]:
        """Every entry of a log, oldest first.

        Raises:
            VerificationFailed: a log, the head or its signature is not as it was written; names the first.
        """
        return entries(self.proved()[file], str(self.folder / file))

    def proved(self) -> dict[str, str]:
        """The text of every log, held against the signed head.

        Raises:
            VerificationFailed: as for `entries`.
        """
        if self._found:
            first = self._found[0]
            raise VerificationFailed(
                f"{first.path}: {first.state}, expected {first.expected}, found {first.actual}; "
                f"see 'switchtender {'verify --all' if self.commit else 'doctor'}'"
            )
        return self._texts

    def differences(self) -> list[FileDifference]:
        """How the files, the ref and its signature disagree; nothing where all is well."""
        return list(self._found)

    @property
    def behind(self) -> list[str]:
        """Files that lack the end of what is signed: a write was cut short, or an older `var` was put back."""
        return [file for file in self.files if self._on_disk[file] != self._texts.get(file, "")]

    @property
    def unsigned(self) -> int:
        """How many entries of services without a key the next signed act will take along."""
        kept = self._kept or {}
        return sum(self._texts.get(file, "")[len(kept.get(file, "")) :].count("\n") for file in self.files)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Every log by its path under `var/records`, also those that a later release keeps in the ref."""
        known = [file_of(seen, log) for seen in self.project.both for log in LOGS]
        return tuple(dict.fromkeys([*known, *(name for name in self._kept if name != HEAD)]))

    @cached_property
    def head(self) -> SignedHead | None:
        """The signed head, not held against anything; None where nothing was signed yet.

        Raises:
            VerificationFailed: it is no head.
        """
        return parse_head(self._kept[HEAD], f"{REF}:{HEAD}") if self._kept else None

    @cached_property
    def commit(self) -> str:
        """The commit that the ref names, empty where there is none."""
        return git(self.project.root, "for-each-ref", "--format=%(objectname)", REF)

    def complete(self) -> list[str]:
        """Write the files that fell behind; returns which. Again, it changes nothing.

        Raises:
            VerificationFailed: as for `entries`.
        """
        with _writing(self.folder):
            fresh = SignedLogs(self.project)
            texts, late = fresh.proved(), fresh.behind
            for file in late:
                write_text(texts[file], self.folder / file)
        return late

    @cached_property
    def _kept(self) -> dict[str, str]:
        """What the ref's commit holds, by file."""
        if not self.commit:
            return {}
        listed = [line.split("\t") for line in git(self.project.root, "ls-tree", "-r", self.commit).splitlines()]
        blobs = {name: facts.split()[2] for facts, name in listed}
        contents = git_objects(self.project.root, blobs.values())
        return {name: (contents[blob] or b"").decode("utf-8", "replace") for name, blob in blobs.items()}

    @cached_property
    def _on_disk(self) -> dict[str, str]:
        return {file: read_log(self.folder / file) for file in self.files}

    @cached_property
    def _old(self) -> dict[str, OldLog]:
        """Logs that the release before signed one by one; asked only where there is no head over all."""
        return {} if self.commit else old_logs(self.project, signer_of(self.project))

    @cached_property
    def _found(self) -> tuple[FileDifference, ...]:
        try:
            return tuple(self._differences())
        except VerificationFailed as error:
            return (FileDifference(REF, "changed", "logs under a head signed by our key", str(error)),)

    def _differences(self) -> Iterator[FileDifference]:
        head = self.head
        if head is not None:
            head.check(signer_of(self.project))
            for file in self.files:
                signed, actual = head.logs.get(file, Head(0, START)), head_of(self._kept.get(file, ""))
                if signed != actual:
                    yield FileDifference(f"{REF}:{file}", "changed", described(signed), described(actual))
        for old in self._old.values():
            yield from old.differences
        for file in self.files:
            yield from self._of_file(file)

    def _of_file(self, file: str) -> Iterator[FileDifference]:
        text, actual = self._texts.get(file), self._on_disk[file]
        if text is None:
            kept = self._signed(file) or ""
            state, expected = ("changed", described(head_of(kept))) if kept or self.commit else ("extra", _GONE)
            yield FileDifference(file, state, expected, described(head_of(actual)))
            return
        try:
            found = entries(text, str(self.folder / file))
        except VerificationFailed as error:
            yield FileDifference(file, "changed", "an unbroken chain", str(error))
            return
        signed = head_of(self._signed(file) or "")
        if self.commit and any(entry.get("server") == COMMAND for entry in found[signed.length :]):
            # What the command line answers with is written by whoever promotes, who signs.
            yield FileDifference(file, "changed", described(signed), described(head_of(text)))

    @cached_property
    def _texts(self) -> dict[str, str]:
        """The text of each log that can be told from its file and the ref."""
        told = {file: _told(file, self._on_disk[file], self._signed(file)) for file in self.files}
        return {file: text for file, text in told.items() if text is not None}

    def _signed(self, file: str) -> str | None:
        """What is signed of a log; None where nothing says, as before the first signed head."""
        if self.commit:
            return self._kept.get(file, "")
        if file in self._old:
            return self._old[file].text
        # Without a head no promotion can be trusted; the release before signed the promotions alone.
        return "" if file.endswith(PROMOTIONS) or not self._old else None

    def append(self, acts: Sequence[tuple[str, JsonObject]]) -> None:
        """Record acts, all or none: signed and committed first, then written to the files.

        Raises:
            VerificationFailed: a log is not as it was signed, so nothing may be added.
            InputError: nothing can be signed.
            HeldByAnotherRun: somebody else is writing.
            SwitchtenderError: git failed.
        """
        with _writing(self.folder):
            fresh = SignedLogs(self.project)
            texts = dict(fresh.proved())
            for file, entry in acts:
                texts[file] = chained(texts[file], entry)
            _commit_signed(self.project, texts, fresh.commit)
            # Cut short here, the files lack an entry, which is read from the ref.
            for file, text in texts.items():
                if text != fresh._on_disk[file]:
                    write_text(text, self.folder / file)

    def append_unsigned(self, file: str, entry: JsonObject) -> None:
        """Record what answers, where this process may not sign.

        Raises:
            VerificationFailed: a log is not as it was signed, so nothing may be added.
            HeldByAnotherRun: somebody else is writing.
        """
        with _writing(self.folder):
            write_text(chained(SignedLogs(self.project).proved()[file], entry), self.folder / file)


def known_facts(entry: JsonObject, kind: type[E]) -> E:
    """An entry as a dataclass, without what the chain adds and what a later release may have added."""
    names = (field.name for field in fields(kind))
    return kind(**{name: entry[name] for name in names if name in entry})


def begin_anew(project: Project) -> str:
    """Put the ref aside, with all that it proves, for logs to begin anew; returns its new name."""
    commit = SignedLogs(project).commit
    aside = f"refs/switchtender/archive/records-{commit[:12]}"
    git(project.root, "update-ref", aside, commit)
    git(project.root, "update-ref", "-d", REF, commit)
    return aside


def _told(file: str, actual: str, signed: str | None) -> str | None:
    """A log's text out of its file and what is signed of it; None where they contradict each other."""
    if signed is None:
        return whole_lines(actual)
    if signed.startswith(actual):
        return signed
    if file.endswith(SERVED) and actual.startswith(signed):
        return whole_lines(actual)
    return None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "records.lock", timeout=_PATIENCE):
            yield
    except Timeout as error:
        raise HeldByAnotherRun(f"{folder} is being written by another run; run this again") from error


def _commit_signed(project: Project, texts: Mapping[str, str], before: str) -> None:
    """Commit the logs with their signed head, and move the ref from the commit `before` to that one."""
    root, head = project.root, sign_head(texts, now(), signer_of(project))
    files = {**texts, HEAD: f"{head.to_line()}\n"}
    # Plumbing alone: neither the index nor the working copy of the person is touched.
    durable = ("-c", "core.fsync=all")
    blobs = {name: git(root, *durable, "hash-object", "-w", "--stdin", stdin=text) for name, text in files.items()}
    tree = _tree(root, blobs)
    parents = ["-p", before] if before else []
    message = f"switchtender: records, {head.entries} entries"
    commit = git(root, *durable, "commit-tree", tree, *parents, "-m", message)
    # Compare-and-set: refused where the ref has moved since; zeros stand for "there is none yet".
    git(root, *durable, "update-ref", REF, commit, before or _NOTHING)


def _tree(root: Path, blobs: Mapping[str, str]) -> str:
    """The tree of files that lie at most one folder deep."""
    lines: dict[str, list[str]] = {"": []}
    for name, blob in blobs.items():
        folder, _, file = name.rpartition("/")
        lines.setdefault(folder, []).append(f"100644 blob {blob}\t{file}\n")
    top = lines.pop("")
    top += [f"040000 tree {git(root, 'mktree', stdin=''.join(inner))}\t{name}\n" for name, inner in lines.items()]
    return git(root, "mktree", stdin="".join(top))
