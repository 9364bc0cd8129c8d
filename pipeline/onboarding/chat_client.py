"""Asking a language model, one prompt at a time: so many a minute, and again where a failure may pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.onboarding.endpoint import Endpoint
from pipeline.onboarding.settings import AptitudeRunParams
from pipeline.runtime.errors import InputError, SwitchtenderError

if TYPE_CHECKING:
    import httpx

_OF_THE_PROMPT = (400, 413, 422)
_PASSING = (408, 409, 425, 429)
_LONGEST_WAIT = 60.0
_PATIENCE = 600.0
_LATER = "what was answered is kept; run the same command later"


class PromptRefused(Exception):
    """The endpoint says that this prompt is at fault; another may be answered."""


@dataclass(frozen=True)
class Answer:
    """What a model said; `is_whole` unless it was cut off. Tokens are None where the endpoint does not tell."""

    text: str
    is_whole: bool
    tokens_in: int | None
    tokens_out: int | None


class Asking:
    """A connection to an endpoint. `clock` and `sleep` are in seconds. Law: no redirect is followed."""

    def __init__(
        self,
        endpoint: Endpoint,
        params: AptitudeRunParams,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises InputError where httpx is not installed."""
        try:
            import httpx
        except ImportError as error:
            raise InputError(
                "asking needs httpx, which is not installed; run: pip install 'switchtender[chat]'"
            ) from error
        self.endpoint, self.params, self.clock, self.sleep = endpoint, params, clock, sleep
        self._next = clock()
        self._failures = (httpx.TransportError, httpx.DecodingError)
        # A proxy of the environment is for other machines, and would see what goes to this one.
        self._client = httpx.Client(
            headers=endpoint.headers, timeout=params.timeout_seconds, follow_redirects=False,
            trust_env=not endpoint.is_here,
        )  # fmt: skip

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def ask(self, prompt: str) -> Answer:
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
                response = self._client.post(self.endpoint.address, json=self._body(prompt))
            except self._failures as error:
                reason = type(error).__name__
                continue
            if response.is_success:
                return self._answer(response)
            self._stop_where_hopeless(response)
            reason, wait = f"status {response.status_code}", max(wait, self._asked_to_wait(response))
        raise SwitchtenderError(f"{self._where} did not answer in {self.params.tries} tries ({reason}); {_LATER}")

    @property
    def _where(self) -> str:
        return self.endpoint.scrub(self.endpoint.address)

    def _body(self, prompt: str) -> dict[str, Any]:
        most = {"max_tokens": self.params.max_tokens} if self.params.max_tokens else {}
        return {"model": self.endpoint.model, "messages": [{"role": "user", "content": prompt}], **most}

    def _keep_pace(self) -> None:
        if (early := self._next - self.clock()) > 0:
            self.sleep(early)
        self._next = max(self._next, self.clock()) + 60.0 / self.params.per_minute

    def _stop_where_hopeless(self, response: httpx.Response) -> None:
        status, said = response.status_code, self.endpoint.scrub(_said(response))
        if response.is_redirect:
            raise SwitchtenderError(f"{self._where} redirects elsewhere (status {status}); name the final address")
        if status in _OF_THE_PROMPT:
            raise PromptRefused(f"status {status}: {said}")
        if status < 500 and status not in _PASSING:
            raise SwitchtenderError(f"{self._where} refuses (status {status}: {said}); check address, model and key")

    def _asked_to_wait(self, response: httpx.Response) -> float:
        """Seconds by the header Retry-After, a number or a date (RFC 9110, 10.2.3); 0 without one."""
        value = response.headers.get("retry-after", "").strip()
        try:
            seconds = float(value) if value.replace(".", "", 1).isdigit() else _until(value)
        except (TypeError, ValueError):
            return 0.0
        if seconds > _PATIENCE:
            raise SwitchtenderError(f"{self._where} asks to come back in {seconds:.0f} s; {_LATER}")
        return max(0.0, seconds)

    def _answer(self, response: httpx.Response) -> Answer:
        try:
            content = response.json()
            choice = content["choices"][0]
            text, reason = choice["message"]["content"] or "", choice.get("finish_reason")
            usage = content.get("usage") or {}
            counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SwitchtenderError(
                f"{self._where} answers with no chat completion; name the address of an OpenAI-compatible endpoint"
            ) from error
        tokens = [count if isinstance(count, int) and count >= 0 else None for count in counts]
        return Answer(_sound(text), reason == "stop", *tokens)


def _until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def _sound(text: object) -> str:
    """Text that a file can hold: JSON allows halves of characters. What is no text counts as nothing said."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "") if isinstance(text, str) else ""


def _said(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        return response.text[:200] or "nothing said"
