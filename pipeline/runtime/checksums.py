"""Digests of folders, and the file SHA256SUMS in one, by which `sha256sum -c` too tells that nothing changed in it."""

from __future__ import annotations

from pathlib import Path

from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.tables import sha256_file, sha256_text, write_text

CHECKSUMS = "SHA256SUMS"


def file_digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a folder, by its path there, in path order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def sha256_folder(folder: Path) -> str:
    """One digest for a folder: the sha256 over each file's relative path and sha256."""
    return sha256_text("".join(f"{name}\0{digest}\n" for name, digest in file_digests(folder).items()))


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS over all else that a folder holds."""
    found = {name: digest for name, digest in file_digests(folder).items() if name != CHECKSUMS}
    write_text("".join(f"{digest}  {name}\n" for name, digest in found.items()), folder / CHECKSUMS)


def require_checksums(folder: Path) -> None:
    """Nothing where a folder has no SHA256SUMS, as those of earlier releases.

    Raises:
        VerificationFailed: a file is missing or is not what it was when they were written.
    """
    if not (folder / CHECKSUMS).is_file():
        return
    found = file_digests(folder)
    for line in (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if found.get(name) != digest:
            state = "is not what was written" if name in found else "is missing"
            raise VerificationFailed(
                f"{folder} is damaged: {name} {state}, by {CHECKSUMS}; restore it or make it again"
            )
