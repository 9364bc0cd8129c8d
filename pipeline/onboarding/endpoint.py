"""Where a candidate is reached: an address that speaks OpenAI's protocol, and a key that is named, never written."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.onboarding.settings import AptitudeRunParams
from pipeline.runtime.errors import ParamsError
from pipeline.runtime.hosts import is_loopback

_PATH = "/chat/completions"


@dataclass(frozen=True)
class Endpoint:
    """`base_url` is as https://host/v1. Law: a key is in no repr, and crosses no network in plain text."""

    base_url: str
    model: str
    is_here: bool
    key: SecretStr | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The header that carries the key; none where there is no key."""
        return {"Authorization": f"Bearer {self.key.get_secret_value()}"} if self.key else {}

    def without_key(self, text: str) -> str:
        """One line of at most 200 characters without the key; endpoints have been seen to quote what they refuse."""
        text = text.replace(self.key.get_secret_value(), "***") if self.key else text
        return " ".join(text.split())[:200]


def endpoint_of(params: AptitudeRunParams, model: str, root: Path = Path()) -> Endpoint:
    """The endpoint that the settings name; a key's file is relative to `root`.

    Raises:
        ParamsError: no address or one that cannot be used, a key that is not there, or one that would be overheard.
    """
    if not params.endpoint:
        raise ParamsError(
            "no endpoint is named; give --endpoint https://.../v1, or aptitude_run.endpoint in params.yaml"
        )
    try:
        parts = urlsplit(params.endpoint)
        host, credentials = parts.hostname or "", parts.username or parts.password
        _ = parts.port
    except ValueError:
        host, credentials = "", None
    if not host or parts.scheme not in ("http", "https") or credentials or parts.query or parts.fragment:
        # What was written is not repeated: it may hold a key.
        raise ParamsError("the endpoint cannot be used; write http(s)://host[:port]/path, and name a key with --key")
    key, is_here = _key(params.key, root), is_loopback(host)
    if key and parts.scheme == "http" and not is_here:
        raise ParamsError(f"the key would cross the network to {host} in plain text; write https://, or leave it out")
    path = parts.path.rstrip("/").removesuffix(_PATH)
    return Endpoint(parts._replace(path=path).geturl(), model, is_here, key)


def _key(where: str, root: Path) -> SecretStr | None:
    """The key in `env:NAME` or `file:PATH`; "" means that none is needed."""
    if not where:
        return None
    kind, _, name = where.partition(":")
    if kind not in ("env", "file") or not name:
        raise ParamsError("the key is named, not written: env:NAME or file:PATH")
    try:
        text = os.environ.get(name, "") if kind == "env" else (root / name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ParamsError(f"key: {where} cannot be read ({type(error).__name__}); check its path and mode") from error
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ParamsError(f"key: {where} holds no key of one line; check it")
    return SecretStr(key)
