"""Running git. It works without a configured name, and on a detached HEAD."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipeline.runtime.errors import SwitchtenderError, one_line

IDENTITY = {
    "GIT_AUTHOR_NAME": "switchtender",
    "GIT_AUTHOR_EMAIL": "switchtender@localhost",
    "GIT_COMMITTER_NAME": "switchtender",
    "GIT_COMMITTER_EMAIL": "switchtender@localhost",
}


def git(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, strip: bool = True, stdin: str = ""
) -> str:
    """Run git in a folder and return what it printed.

    Raises:
        SwitchtenderError: git is missing or the command failed.
    """
    environment = {**os.environ, **IDENTITY, **(env or {})}
    # Git sets these for its hooks; inherited, they would turn every command to that repository, whatever `folder` is.
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        environment.pop(name, None)
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, check=True, input=stdin.encode()
        )
    except FileNotFoundError as error:
        raise SwitchtenderError("git is not installed; install it and run this again") from error
    except subprocess.CalledProcessError as error:
        reason = one_line(error.stderr.decode("utf-8", errors="replace"), 300)
        raise SwitchtenderError(f"git {arguments[0]} failed in {folder}: {reason}") from error
    text = done.stdout.decode("utf-8", errors="replace")
    return text.strip() if strip else text
