"""upstreams.yaml: where each candidate's language model is reached. Secrets are named there, never written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from pipeline.data.cells import name_in
from pipeline.runtime.errors import ParamsError, as_piece, suggestion
from pipeline.runtime.yaml_file import load_yaml

ROUTED = ("switchtender", "auto")
"""The names of a model that ask for routing, so that no candidate may bear one of them."""

FROM_ENVIRONMENT = "env:"
_SECRET_HEADER = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\bsk-[\w-]{8}|\b(hf|gsk|gh[a-z]|github_pat)_\w{8}|\b(glpat|nvapi|xox[a-z])-|\bAKIA|\bAIza|\beyJ\w{10}|-----BEGIN"
    r"|\b([Bb]earer|[Bb]asic)\s|//[^/\s]*@|[?&]\w*([Kk]ey|[Tt]oken)="
)
_OPAQUE = re.compile(r"(?=[A-Za-z0-9]*\d)[A-Za-z0-9]{32,}")
_MAY_BE_OPAQUE = ("model", "api_base")
"""Some providers have an account's number in their address."""


class Upstream(BaseModel):
    """How one candidate is reached. `model` is LiteLLM's name of it: a provider, a slash, the provider's own name.

    `timeout_seconds` is for a whole answer, or, streaming, for the first chunk and between chunks; `max_tokens` caps
    what a request asks for. A header's value may be `env:NAME`. `takes` says what it reads besides text: without it
    that is unknown, an empty list says that it reads text only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(pattern=r"^[A-Za-z0-9_.-]+/\S+$")
    api_base: str | None = Field(default=None, pattern=r"^https?://\S+$")
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    timeout_seconds: float = Field(default=60.0, gt=0)
    max_tokens: int | None = Field(default=None, ge=1)
    headers: dict[str, str] = Field(default_factory=dict)
    takes: list[Literal["images", "audio", "files", "video"]] | None = None


@dataclass(frozen=True)
class Upstreams:
    """Every configured upstream by candidate. Law: no secret is in its repr, and each one named was found."""

    by_candidate: Mapping[str, Upstream]
    _secrets: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Upstreams:
        """Read upstreams.yaml, and the secrets that it names from the environment.

        Raises:
            ParamsError: the file or an entry cannot be used, holds a secret, or names a variable that is not set.
        """
        upstreams = {name: _upstream(name, entry, path) for name, entry in _entries(path).items()}
        names = {name: where for where, upstream in upstreams.items() for name in _secret_names(upstream)}
        for name, where in names.items():
            if not environment.get(name):
                raise ParamsError(f"{path}: {where}: environment variable {name} is not set; export it")
        return cls(upstreams, {name: SecretStr(environment[name]) for name in names})

    def order(self, ranking: Iterable[str]) -> list[str]:
        """The candidates of a ranking that can be reached, best first, each once."""
        return [name for name in dict.fromkeys(ranking) if name in self.by_candidate]

    def takes(self, candidate: str, media: frozenset[str]) -> bool | None:
        """Whether a candidate's entry says that it reads these media; None where it does not say."""
        said = self.by_candidate[candidate].takes
        return None if said is None else media <= set(said)

    def key(self, candidate: str) -> str | None:
        """The API key of a candidate's upstream; None where the entry names none."""
        name = self.by_candidate[candidate].api_key_env
        return self._secrets[name].get_secret_value() if name else None

    def headers(self, candidate: str) -> dict[str, str]:
        """The extra headers of a candidate's upstream, those from the environment filled in."""
        given = self.by_candidate[candidate].headers
        return {
            name: self._secrets[value.removeprefix(FROM_ENVIRONMENT)].get_secret_value()
            if value.startswith(FROM_ENVIRONMENT)
            else value
            for name, value in given.items()
        }

    def scrub(self, text: str) -> str:
        """The text with every secret masked; upstreams have been seen to quote the key that they refuse."""
        for secret in self._secrets.values():
            text = text.replace(secret.get_secret_value(), "***")
        return text


def _entries(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path)
    except FileNotFoundError as error:
        raise ParamsError(f"{path} is missing; docs/examples/upstreams.yaml shows one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read ({type(error).__name__}); check its path and mode") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        # The parser quotes the line, which may hold a secret by mistake.
        raise ParamsError(f"{path} is not valid YAML{line}; mend it") from None
    if not isinstance(content, dict) or not content:
        raise ParamsError(f"{path} names no candidate; docs/examples/upstreams.yaml shows one")
    return {_candidate(name, path): entry for name, entry in content.items()}


def _candidate(key: object, path: Path) -> str:
    try:
        return name_in(key)
    except ValueError as error:
        raise ParamsError(f"{path}: a candidate {error}") from None


def _upstream(candidate: str, entry: object, path: Path) -> Upstream:
    where = f"{path}: {_shown(candidate)}"
    if candidate in ROUTED:
        raise ParamsError(f"{where}: this name asks for routing; name a candidate of the router instead")
    _refuse_secrets(entry, where)
    try:
        upstream = Upstream.model_validate(entry)
    except ValidationError as error:
        raise ParamsError(_problem(where, error)) from None  # pydantic's own words quote the value
    for name, value in upstream.headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not value.isascii() or not value.isprintable():
            raise ParamsError(f"{where}.headers: '{_shown(name)}' is no header; write a name and printable ASCII")
        if _SECRET_HEADER.search(name) and not value.startswith(FROM_ENVIRONMENT):
            raise ParamsError(f"{where}.headers.{name}: a secret is not written here; write {FROM_ENVIRONMENT}NAME")
    return upstream


def _refuse_secrets(entry: object, where: str) -> None:
    """Refuse a value that looks like a secret, at any depth of an entry."""
    for key, value in entry.items() if isinstance(entry, dict) else ():
        if isinstance(value, dict):
            _refuse_secrets(value, f"{where}.{_shown(str(key))}")
        elif isinstance(value, str) and (
            _SECRET_VALUE.search(value) or (key not in _MAY_BE_OPAQUE and _OPAQUE.search(value))
        ):
            advice = "put it into an environment variable, and that variable's name into api_key_env"
            raise ParamsError(f"{where}.{_shown(str(key))}: this looks like a secret; {advice}")


def _problem(where: str, error: ValidationError) -> str:
    """One line, never with the value that was found."""
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(map(_shown, map(str, first["loc"])))
    if first["type"] == "extra_forbidden":
        known = list(Upstream.model_fields)
        hint = suggestion(str(first["loc"][-1]), known, f"known are {', '.join(known)}", 0.5)
        return f"{where}: unknown key '{key}'; {hint}"
    if first["type"] == "string_pattern_mismatch":
        return f"{where}.{key}: {_EXPECTED[str(first['loc'][0])]}"
    return f"{where}{'.' if key else ''}{key}: {as_piece(first['msg'])}; mend it"


_EXPECTED = {
    "model": "write the provider and its model, such as openai/gpt-4o-mini",
    "api_base": "write an address that begins with http:// or https://",
    "api_key_env": "write the name of an environment variable, never a key",
}


def _secret_names(upstream: Upstream) -> list[str]:
    """The environment variables that an entry takes its key and headers from."""
    values = [value for value in upstream.headers.values() if value.startswith(FROM_ENVIRONMENT)]
    return [*filter(None, [upstream.api_key_env]), *(value.removeprefix(FROM_ENVIRONMENT) for value in values)]


def _shown(text: str) -> str:
    """A name from the file, fit for a message: short, and not if it may be a secret."""
    return "(hidden)" if _SECRET_VALUE.search(text) or _OPAQUE.search(text) else text[:60]
