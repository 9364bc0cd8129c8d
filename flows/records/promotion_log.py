"""Who put which version into service, when and why: a hash-chained log whose signed head is also kept in git.

The file `var/records/promotions.jsonl` is for reading. The git ref holds the same text with the head (length and
last digest) and its signature, so that a cut tail, an edit and a forged entry are all found. An alias in MLflow
carries neither time nor actor; this log is what says who serves.
"""

from __future__ import annotations

import getpass
import socket
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError, VerificationFailed
from pipeline.runtime.params import read
from pipeline.runtime.tables import read_json, write_json, write_text
from pipeline.runtime.track import AGENTS, MODELS
from pipeline.versions.hash_chain import Head, chained, entries, head_of, read_log
from pipeline.versions.signing import FileDifference, Signer, SigningParams

REFS = {AGENTS: "refs/switchtender/promotions", MODELS: "refs/switchtender/model-promotions"}
LOG, HEAD, SIGNATURE = "promotions.jsonl", "head.json", "head.sig"
PROMOTED, ROLLED_BACK, ADOPTED = "promoted", "rolled back", "adopted"
_NOTHING = "0" * 40


@dataclass(frozen=True)
class Promotion:
    """One entry. `version_from` is empty where nothing served; `gates` are the verdicts as read again that day."""

    at: str
    who: str
    action: str
    version_from: str
    version_to: str
    reason: str
    provenance_sha256: str
    forced: bool = False
    gates: dict[str, str] = field(default_factory=dict)
    sequence: int = 0


def signer_of(project: Project) -> Signer:
    """Signs and checks as the project's params.yaml says."""
    return Signer(read("signing", SigningParams, project.root / "params.yaml"), project.root)


def who_am_i(project: Project) -> str:
    """The person at the keyboard: git's name and e-mail where they are set, else user@host."""
    try:
        return f"{git(project.root, 'config', 'user.name')} <{git(project.root, 'config', 'user.email')}>"
    except SwitchtenderError:
        return f"{getpass.getuser()}@{socket.gethostname()}"


class PromotionLog:
    """The log of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.records / LOG
        self.ref = REFS[project.track]

    def promotions(self) -> list[Promotion]:
        """Every entry of the file, oldest first; checks the chain, not the signed head.

        Raises:
            VerificationFailed: the chain is broken.
        """
        return [_promotion(entry) for entry in entries(read_log(self.path), str(self.path))]

    def proved(self) -> list[Promotion]:
        """Every entry, after the file was held against the signed head in git.

        Raises:
            VerificationFailed: something differs; names it.
        """
        found = self.differences()
        if found:
            first = found[0]
            raise VerificationFailed(
                f"{first.path}: {first.state}, expected {first.expected}, found {first.actual}; "
                f"see 'switchtender {'verify --all' if self._commit() else 'doctor'}'"
            )
        return self.promotions()

    def differences(self) -> list[FileDifference]:
        """How the file, the kept copy and its signature disagree; nothing where all is well."""
        try:
            text = read_log(self.path)
            entries(text, str(self.path))
        except VerificationFailed as error:
            return [FileDifference(LOG, "changed", "an unbroken chain", str(error))]
        commit = self._commit()
        if not commit:
            if text:
                return [
                    FileDifference(
                        LOG,
                        "extra",
                        f"{self.ref} in git, which is gone",
                        f"{head_of(text).length} entries",
                    )
                ]
            return []
        found = self._signature_differences(commit)
        kept = git(self.project.root, "cat-file", "blob", f"{commit}:{LOG}", strip=False)
        return found + _file_differences(head_of(text), head_of(kept), text, kept)

    def record(self, promotion: Promotion) -> Promotion:
        """Add an entry: first signed and kept in git by compare-and-set, then in the file. Call under the lock.

        A file that is an exact beginning of the signed copy (an earlier write was cut short) is completed first.

        Raises:
            VerificationFailed: the log or its kept copy is broken.
            SwitchtenderError: somebody else wrote meanwhile.
        """
        commit = self._commit()
        text = read_log(self.path)
        if commit:
            text = self._completed(commit, text)
        elif text:
            raise VerificationFailed(
                f"{self.path} has entries, {self.ref} is gone; 'switchtender doctor --relocate' looks for it"
            )
        facts = {key: value for key, value in asdict(promotion).items() if key != "sequence"}
        text = chained(text, facts)
        # Git first: the ref is what counts. Cut short in between, the file lacks an entry, which `_completed` restores.
        self._commit_signed(text, commit)
        write_text(text, self.path)
        return _promotion(entries(text, str(self.path))[-1])

    def _completed(self, commit: str, text: str) -> str:
        """The log's text as the ref has it, where the file is that text or its beginning.

        Raises:
            VerificationFailed: the file differs, or the ref's head is not signed by our key.
        """
        kept = git(self.project.root, "cat-file", "blob", f"{commit}:{LOG}", strip=False)
        wrong = self._signature_differences(commit)
        if wrong or not kept.startswith(text):
            raise VerificationFailed(f"{self.path} or {self.ref} was changed; see 'switchtender verify --all'")
        entries(kept, self.ref)
        return kept

    def _commit(self) -> str:
        """The commit that the ref names, empty where there is no such ref."""
        return git(self.project.root, "for-each-ref", "--format=%(objectname)", self.ref)

    def _commit_signed(self, text: str, before: str) -> None:
        """Commit the log, its head and the head's signature, and move the ref from the commit `before` to that one."""
        root, head = self.project.root, head_of(text)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "head"
            write_json(asdict(head), folder / HEAD)
            signer_of(self.project).sign(folder, Path(name) / SIGNATURE)
            files = {
                LOG: text,
                HEAD: (folder / HEAD).read_text(encoding="utf-8"),
                SIGNATURE: (Path(name) / SIGNATURE).read_text(encoding="utf-8"),
            }
        # Plumbing alone: neither the index nor the working copy of the person is touched.
        blobs = {name: git(root, "hash-object", "-w", "--stdin", stdin=content) for name, content in files.items()}
        listing = "".join(f"100644 blob {blob}\t{name}\n" for name, blob in sorted(blobs.items()))
        tree = git(root, "mktree", stdin=listing)
        parents = ["-p", before] if before else []
        commit = git(root, "commit-tree", tree, *parents, "-m", f"switchtender: promotion log, {head.length} entries")
        # Compare-and-set: refused where the ref has moved since; zeros stand for "there is none yet".
        git(root, "update-ref", self.ref, commit, before or _NOTHING)

    def _signature_differences(self, commit: str) -> list[FileDifference]:
        """Whether the kept head is signed by our key, and the kept log ends in that head."""
        root = self.project.root
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "head"
            folder.mkdir()
            for file, place in ((HEAD, folder / HEAD), (SIGNATURE, Path(name) / SIGNATURE)):
                place.write_text(git(root, "cat-file", "blob", f"{commit}:{file}", strip=False), encoding="utf-8")
            try:
                found = signer_of(self.project).check(folder, Path(name) / SIGNATURE)
                head = Head(**read_json(folder / HEAD))
            except (VerificationFailed, TypeError) as error:
                return [FileDifference(f"{self.ref}:{HEAD}", "changed", "a signature by our key", str(error))]
        kept = head_of(git(root, "cat-file", "blob", f"{commit}:{LOG}", strip=False))
        if found or kept != head:
            return [FileDifference(f"{self.ref}:{LOG}", "changed", _described(head), _described(kept))]
        return []


def _file_differences(file: Head, kept: Head, text: str, kept_text: str) -> list[FileDifference]:
    """How the file differs from the kept log: `cut` where it is its beginning, else `changed`."""
    if text == kept_text:
        return []
    state = "cut" if kept_text.startswith(text) else "changed"
    return [FileDifference(LOG, state, _described(kept), _described(file))]


def _described(head: Head) -> str:
    return f"{head.length} entries ending {head.sha256[:12]}"


def _promotion(entry: dict[str, Any]) -> Promotion:
    return Promotion(**{key: value for key, value in entry.items() if key != "previous"})


def stack(promotions: list[Promotion]) -> list[str]:
    """The versions that rollback walks back through, the one in service last."""
    serving: list[str] = []
    for promotion in promotions:
        if promotion.action == ROLLED_BACK and promotion.version_to in serving:
            del serving[serving.index(promotion.version_to) + 1 :]
        else:
            serving.append(promotion.version_to)
    return serving
