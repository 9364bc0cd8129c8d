"""Promotion logs as the release before kept them: one ref a track, its head in a folder signed by `model-signing`.

The first act that is recorded now takes them under the head over all logs; until then they are read here.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.tables import read_json
from pipeline.versions.hash_chain import Head, head_of
from pipeline.versions.signed_head import described
from pipeline.versions.signing import FileDifference, Signer

_REFS = {
    "promotions.jsonl": "refs/switchtender/promotions",
    "models/promotions.jsonl": "refs/switchtender/model-promotions",
}
_LOG, _HEAD, _SIGNATURE = "promotions.jsonl", "head.json", "head.sig"


@dataclass(frozen=True)
class OldLog:
    """A log's text as its ref keeps it, and how that ref disagrees with its own signed head."""

    text: str
    differences: tuple[FileDifference, ...]


def old_logs(project: Project, signer: Signer) -> dict[str, OldLog]:
    """The logs that are still kept so, by their path under `var/records`."""
    there = git(project.root, "for-each-ref", "--format=%(refname)", *_REFS.values()).splitlines()
    return {file: _old_log(project.root, ref, signer) for file, ref in _REFS.items() if ref in there}


def _old_log(root: Path, ref: str, signer: Signer) -> OldLog:
    text = _blob(root, ref, _LOG)
    with tempfile.TemporaryDirectory() as name:
        folder, signature = Path(name) / "head", Path(name) / _SIGNATURE
        folder.mkdir()
        (folder / _HEAD).write_text(_blob(root, ref, _HEAD), encoding="utf-8")
        signature.write_text(_blob(root, ref, _SIGNATURE), encoding="utf-8")
        try:
            found = signer.check(folder, signature)
            head = Head(**read_json(folder / _HEAD))
        except (VerificationFailed, TypeError) as error:
            return OldLog(text, (FileDifference(f"{ref}:{_HEAD}", "changed", "a signature by our key", str(error)),))
    actual = head_of(text)
    if found or actual != head:
        return OldLog(text, (FileDifference(f"{ref}:{_LOG}", "changed", described(head), described(actual)),))
    return OldLog(text, ())


def _blob(root: Path, ref: str, name: str) -> str:
    return git(root, "cat-file", "blob", f"{ref}:{name}", strip=False)
