"""What is known of one chat as it is answered, and what its caller is told where nobody answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

from pipeline.serving.chat.failures import CONTEXT, LIMITED, UNSUPPORTED, UpstreamFailed, UpstreamRefused
from pipeline.serving.chat.openai_schemas import OpenAIProblem

_WAIT = 1
"""Seconds after which to come back, where an upstream says that it is asked too often and not until when."""


@dataclass(frozen=True)
class FailedAttempt:
    """A candidate whose upstream gave no answer: `reason` is a status, or a word of upstream_client.py."""

    candidate: str
    reason: str


@dataclass
class Exchange:
    """What is known of one request so far; the response's headers report it."""

    request_id: str
    version: str = ""
    candidate: str | None = None
    failures: list[tuple[str, UpstreamFailed | UpstreamRefused]] = field(default_factory=list)

    @property
    def tried(self) -> tuple[FailedAttempt, ...]:
        return tuple(FailedAttempt(candidate, failure.reason) for candidate, failure in self.failures)

    def headers(self) -> dict[str, str]:
        facts = {
            "X-Request-ID": self.request_id,
            "X-Switchtender-Version": self.version,
            "X-Switchtender-Candidate": self.candidate or "",
            "X-Switchtender-Tried": ", ".join(f"{tried.candidate}={tried.reason}" for tried in self.tried),
        }
        # Candidates may have any name, whereas a header holds only Latin-1.
        return {name: quote(value, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~") for name, value in facts.items() if value}

    def unanswered(self) -> OpenAIProblem:
        """The error where every candidate has failed: what passes, what the request can change, or neither."""
        why = ", ".join(f"{candidate} ({failure})" for candidate, failure in self.failures)
        reasons = {failure.reason for _, failure in self.failures}
        waits = [wait for _, failure in self.failures if (wait := failure.retry_after) is not None]
        if LIMITED in reasons:
            wait = min(waits, default=_WAIT)
            problem = OpenAIProblem(
                429, f"no upstream answered: {why}; try again in {wait} s", code="rate_limit_exceeded"
            )
            problem.headers["Retry-After"] = str(wait)
        elif reasons == {UNSUPPORTED}:
            problem = OpenAIProblem(400, f"no candidate takes every parameter of this request: {why}; leave some out")
        elif reasons <= {UNSUPPORTED, CONTEXT}:
            message = f"no candidate can hold this request: {why}; shorten it"
            problem = OpenAIProblem(400, message, param="messages", code="context_length_exceeded")
        else:
            problem = OpenAIProblem(502, f"no upstream answered: {why}; try again later", code="upstream_error")
            problem.headers |= {"Retry-After": str(min(waits))} if waits else {}
        return problem
