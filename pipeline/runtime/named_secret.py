"""Secrets are named in settings, `env:NAME` or `file:PATH`, and never written there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import SecretStr

from pipeline.runtime.errors import ParamsError
from pipeline.runtime.text import read_text

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def require_named(what: str, where: str) -> tuple[str, str]:
    """Kind and name of `env:NAME` or `file:PATH`.

    Raises:
        ParamsError: it has another form, and is not repeated: it may be the secret itself.
    """
    kind, _, name = where.partition(":")
    is_named = _VARIABLE.fullmatch(name) if kind == "env" else kind == "file" and name and "://" not in name
    if not is_named:
        raise ParamsError(f"the {what} is named, not written: env:NAME or file:PATH")
    return kind, name


def named_text(what: str, where: str, root: Path) -> str:
    """The text at `env:NAME`, empty where that is not set, or in `file:PATH`, relative to `root`.

    Raises:
        ParamsError: `where` has another form, or the file cannot be read; `what` says of what, and no more is repeated.
    """
    kind, name = require_named(what, where)
    try:
        return os.environ.get(name, "") if kind == "env" else read_text(root / name)
    except (OSError, ValueError) as error:
        raise ParamsError(
            f"{what}: {where} cannot be read ({type(error).__name__}); check its path and mode"
        ) from error


def named_secret(what: str, where: str, root: Path) -> SecretStr:
    """The secret of one line that `where` names.

    Raises:
        ParamsError: see `named_text`, or there is no secret of one line.
    """
    if where.startswith("env:") and not os.environ.get(where.removeprefix("env:"), "").strip():
        raise ParamsError(f"{what}: {where} is not set or empty; export it")
    secret = named_text(what, where, root).strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ParamsError(f"{what}: {where} holds no {what} of one line; check it")
    return SecretStr(secret)
