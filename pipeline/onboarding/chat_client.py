"""Asking a language model one prompt at a time: at most so many a minute, and again where a failure may pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from pipeline.runtime.errors import InputError, ParamsError, SwitchtenderError
from pipeline.runtime.hosts import is_loopback
from pipeline.runtime.named_secret import named_secret
from pipeline.runtime.params import Section

if TYPE_CHECKING:
    from openai import APIStatusError


_OF_THE_PROMPT = (400, 413, 422)
_MAY_PASS = (408, 409, 425, 429)
_LONGEST_WAIT = 60.0
_LONGEST_RETRY_AFTER = 600.0
_LATER = "what was answered is kept; run the same command later"
_HEADERS = ("host", "content-type", "content-length", "accept", "accept-encoding", "connection", "user-agent")


class PromptRefused(Exception):
    """The endpoint says that this prompt is at fault; another may be answered."""


@dataclass(frozen=True)
class ChatAnswer:
    """What a model said; `is_whole` unless it was cut off. Tokens are None where the endpoint does not tell."""

    text: str
    is_whole: bool
    tokens_in: int | None
    tokens_out: int | None


class ChatClient:
    """A connection to an endpoint. `clock` and `sleep` are in seconds.

    Laws: no redirect is followed; nothing of the environment (OPENAI_API_KEY, OPENAI_CUSTOM_HEADERS ...) is sent.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        params: AptitudeRunParams,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises InputError where the package openai is not installed."""
        try:
            import openai
        except ImportError as error:
            raise InputError(
                "asking needs the package openai, which is not installed; "
                "run: pip install -c constraints.txt -e '.[chat]'"
            ) from error
        self.endpoint, self.params, self.clock, self.sleep = endpoint, params, clock, sleep
        self._next_call = clock()
        self._openai = openai
        # A proxy of the environment is for other machines, and would see what goes to this one.
        connection = openai.DefaultHttpxClient(
            follow_redirects=False, trust_env=not endpoint.is_here, event_hooks={"request": [self._set_headers]}
        )
        # Retries are ours: they keep the pace, wait as long as Retry-After says, and know which failures stay.
        self._client = openai.OpenAI(
            base_url=endpoint.base_url, api_key="added by _set_headers", max_retries=0,
            timeout=params.timeout_seconds, http_client=connection,
        )  # fmt: skip

    def __enter__(self) -> ChatClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def ask(self, prompt: str) -> ChatAnswer:
        """The answer to one prompt, however often it has to be asked for.

        Raises:
            PromptRefused: the endpoint finds fault with this prompt.
            SwitchtenderError: it refuses everything, or did not answer in `tries` attempts.
        """
        reason, wait = "", 0.0
        for attempt in range(self.params.tries):
            self.sleep(wait)
            self._keep_pace()
            wait = min(2.0**attempt, _LONGEST_WAIT)
            try:
                return self._ask_once(prompt)
            except self._openai.APIStatusError as error:
                self._stop_where_hopeless(error)
                reason, wait = f"status {error.status_code}", max(wait, self._asked_to_wait(error.response.headers))
            except self._openai.APIConnectionError as error:
                reason = type(error.__cause__ or error).__name__
        raise SwitchtenderError(f"{self._where} did not answer in {self.params.tries} tries ({reason}); {_LATER}")

    def _ask_once(self, prompt: str) -> ChatAnswer:
        """Raises SwitchtenderError where what comes back is no chat completion, and openai's own errors."""
        try:
            found = self._client.chat.completions.create(
                model=self.endpoint.model,
                messages=[{"role": "user", "content": prompt}],
                max_tokens=self.params.max_tokens or self._openai.omit,
            )
            choice, usage = found.choices[0], found.usage
            counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
            return ChatAnswer(_storable(choice.message.content), choice.finish_reason == "stop", *map(_count, counts))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SwitchtenderError(
                f"{self._where} answers with no chat completion; name the address of an OpenAI-compatible endpoint"
            ) from error

    @property
    def _where(self) -> str:
        return self.endpoint.without_key(self.endpoint.base_url)

    def _set_headers(self, request: Any) -> None:
        """Take away every header but those that a request needs, and add the endpoint's key."""
        for name in [name for name in request.headers if name.lower() not in _HEADERS]:
            del request.headers[name]
        request.headers.update(self.endpoint.headers)

    def _keep_pace(self) -> None:
        """Sleep until the next call is due."""
        if (early := self._next_call - self.clock()) > 0:
            self.sleep(early)
        self._next_call = max(self._next_call, self.clock()) + 60.0 / self.params.per_minute

    def _stop_where_hopeless(self, error: APIStatusError) -> None:
        """Raise what `ask` raises for a status that would be the same at the next try."""
        status, said = error.status_code, self.endpoint.without_key(_message(error))
        if error.response.is_redirect:
            raise SwitchtenderError(f"{self._where} redirects elsewhere (status {status}); name the final address")
        if status in _OF_THE_PROMPT:
            raise PromptRefused(f"status {status}: {said}")
        if status < 500 and status not in _MAY_PASS:
            raise SwitchtenderError(f"{self._where} refuses (status {status}: {said}); check address, model and key")

    def _asked_to_wait(self, headers: Mapping[str, str]) -> float:
        """Seconds by the header Retry-After, a number or a date (RFC 9110, 10.2.3); 0 without one."""
        value = headers.get("retry-after", "").strip()
        try:
            seconds = float(value) if value.replace(".", "", 1).isdigit() else _seconds_until(value)
        except (TypeError, ValueError):
            return 0.0
        if seconds > _LONGEST_RETRY_AFTER:
            raise SwitchtenderError(f"{self._where} asks to come back in {seconds:.0f} s; {_LATER}")
        return max(0.0, seconds)


def _seconds_until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def _count(tokens: object) -> int | None:
    """A token count, or None for anything else: openai's client does not check what an endpoint sends."""
    return tokens if isinstance(tokens, int) and tokens >= 0 else None


def _storable(text: object) -> str:
    """Text that a file can hold: JSON allows halves of characters. What is no text counts as nothing said."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "") if isinstance(text, str) else ""


def _message(error: APIStatusError) -> str:
    """What the endpoint says is wrong."""
    body = error.body
    told = body.get("message") if isinstance(body, dict) else body
    return str(told or error.response.text or "nothing said")


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
    key = named_secret("key", params.key, root) if params.key else None
    is_here = is_loopback(host)
    if key and parts.scheme == "http" and not is_here:
        raise ParamsError(f"the key would cross the network to {host} in plain text; write https://, or leave it out")
    path = parts.path.rstrip("/").removesuffix(_PATH)
    return Endpoint(parts._replace(path=path).geturl(), model, is_here, key)


class AptitudeRunParams(Section):
    """Settings of `switchtender aptitude run`, whose options override them; `params.yaml` explains each."""

    endpoint: str = ""
    key: str = ""
    per_minute: float = Field(default=60.0, gt=0)
    max_tokens: int = Field(default=1024, ge=0)
    timeout_seconds: float = Field(default=120.0, gt=0)
    tries: int = Field(default=8, ge=1)
