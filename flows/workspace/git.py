"""Running git. It works without a configured name, and on a detached HEAD."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.runtime.errors import SwitchtenderError, one_line

IDENTITY = {
    "GIT_AUTHOR_NAME": "switchtender",
    "GIT_AUTHOR_EMAIL": "switchtender@localhost",
    "GIT_COMMITTER_NAME": "switchtender",
    "GIT_COMMITTER_EMAIL": "switchtender@localhost",
}


_OWN = ("-c", "commit.gpgsign=false", "-c", f"core.hooksPath={os.devnull}")
"""A person's hooks and signing key are for what the person commits; nights have neither a terminal nor the key."""


def git(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, strip: bool = True, stdin: str = ""
) -> str:
    """Run git in a folder and return what it printed.

    Raises:
        SwitchtenderError: git is missing or the command failed.
    """
    text = _run(folder, arguments, env or {}, stdin.encode()).decode("utf-8", errors="replace")
    return text.strip() if strip else text


def git_bytes(folder: Path, *arguments: str) -> bytes:
    """The same, byte for byte, as a file's content needs it."""
    return _run(folder, arguments, {}, b"")


def git_list(folder: Path, command: str, *arguments: str) -> list[str]:
    """What `git status` or `git ls-files` lists, with files' names as they are: else those not in ASCII are quoted."""
    return git(folder, command, "-z", *arguments, strip=False).split("\0")[:-1]


def git_objects(folder: Path, names: Iterable[str]) -> dict[str, bytes | None]:
    """The bytes of objects by the names asked for; None where git has none, or none that it can read.

    Git does not hold what it reads against the object's name.

    Raises:
        SwitchtenderError: git is missing.
    """
    asked = list(dict.fromkeys(names))
    out = _run(folder, ("cat-file", "--batch", "--buffer"), {}, "".join(f"{name}\n" for name in asked).encode())
    found: dict[str, bytes | None] = {}
    at = 0
    for name in asked:
        line_end = out.index(b"\n", at)
        facts = out[at:line_end].split()
        if len(facts) == 3:
            size = int(facts[2])
            found[name] = out[line_end + 1 : line_end + 1 + size]
            at = line_end + size + 2
        else:  # "NAME missing"
            found[name], at = None, line_end + 1
    return found


def _run(folder: Path, arguments: Sequence[str], env: Mapping[str, str], stdin: bytes) -> bytes:
    # A replacement ref would show another object under a recorded name.
    environment = {**os.environ, **IDENTITY, "GIT_NO_REPLACE_OBJECTS": "1", **env}
    # Git sets these for its hooks; inherited, they would turn every command to that repository, whatever `folder` is.
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        environment.pop(name, None)
    try:
        done = subprocess.run(
            ["git", *_OWN, *arguments], cwd=folder, env=environment, capture_output=True, check=True, input=stdin
        )
    except FileNotFoundError as error:
        raise SwitchtenderError("git is not installed; install it and run this again") from error
    except subprocess.CalledProcessError as error:
        reason = one_line(error.stderr.decode("utf-8", errors="replace"), 300)
        raise SwitchtenderError(f"git {arguments[0]} failed in {folder}: {reason}") from error
    return done.stdout
