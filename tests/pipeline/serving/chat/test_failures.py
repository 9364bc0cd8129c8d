"""What an upstream's failure becomes: the next one's turn, or the caller's error with what was really said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import openai
import pytest
from chat_service import MESSAGES, PROMPT, SECRET, Start
from stub_upstreams import Stub

STREAM = pytest.mark.parametrize("stream", [False, True])


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


WAITS: list[tuple[str | None, set[int]]] = [
    ("7", {7}), ("1.2", {2}), ("0", {1}), (None, {1}), ("soon", {1}), ("9" * 400, {86_400}),
    ("a date", set(range(10, 31))),
]  # fmt: skip


@STREAM
def test_a_limit_that_an_upstream_names_reaches_the_client(start: Start, stub: Stub, stream: bool) -> None:
    for number, (told, _) in enumerate(WAITS):
        header = {} if told is None else {"retry_after": in_seconds(30) if told == "a date" else told}
        stub.says(f"busy{number}", {"error": {"message": "slow down"}}, 429, **header)
    service = start("busy0", "down", *(f"busy{number}" for number in range(1, len(WAITS))))
    for model, waits in [("auto", {1}), *((f"busy{number}", waits) for number, (_, waits) in enumerate(WAITS))]:
        with pytest.raises(openai.RateLimitError) as error:
            service.client().chat.completions.create(model=model, messages=MESSAGES, stream=stream)
        assert int(error.value.response.headers["retry-after"]) in waits, model
        assert (error.value.code, error.value.type) == ("rate_limit_exceeded", "rate_limit_error")
        assert error.value.response.headers["x-switchtender-tried"].startswith("busy")


def test_the_shortest_wait_counts_and_a_limit_still_falls_back(start: Start, stub: Stub) -> None:
    kinds = [stub.says(f"busy{wait}", {}, 429, retry_after=wait) for wait in ("30", "4", "12")]
    assert start(*kinds).post().headers["retry-after"] == "4"
    assert start(*kinds, "ok").post().headers["x-switchtender-candidate"] == "ok"
    away = start(stub.says("away", {}, 503, retry_after="9")).post()
    assert (away.status_code, away.headers["retry-after"]) == (502, "9")


LONG_PROMPT = {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}
LONG_CHAT = {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
NO_ROOM = {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"}
TOO_LONG: dict[str, tuple[int, Any]] = {
    "openai": (400, {"error": LONG_CHAT}),
    "vllm": (400, {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400}),
    "llama.cpp": (400, {"error": NO_ROOM}),
    "claude": (400, {"error": LONG_PROMPT}),
    "gemini": (
        400,
        {"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)"}},
    ),
    "proxy": (413, {"error": {"message": "Please reduce the length of the messages."}}),
    "own_fault": (500, {"error": {"message": "context window exceeded"}}),
    "as_200": (200, {"error": {"message": "maximum context length is 8 tokens", "code": 400}}),
}


@STREAM
def test_a_request_that_does_not_fit_goes_to_the_next(start: Start, stub: Stub, stream: bool) -> None:
    for who, (status, body) in TOO_LONG.items():
        stub.says(who, body, status)
    service = start(*TOO_LONG, "ok")
    answered = service.post(stream=stream)
    assert answered.headers["x-switchtender-candidate"] == "ok"
    assert answered.headers["x-switchtender-tried"] == ", ".join(f"{who}=context" for who in TOO_LONG)
    with pytest.raises(openai.BadRequestError, match="no candidate can hold this request") as error:
        service.client().chat.completions.create(model="vllm", messages=MESSAGES, stream=stream)
    assert error.value.code == "context_length_exceeded"
    assert "maximum context length is 8 tokens" in error.value.message


@pytest.mark.parametrize("message", ["max_tokens is too large", "messages: a tool's call has no answer"])
def test_other_faults_of_a_request_are_passed_on(start: Start, stub: Stub, message: str) -> None:
    stub.says("strict", {"error": {"message": message, "type": "invalid_request_error"}}, 400)
    response = start("strict", "ok").post()
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)
    assert stub.asked() == ["strict"]


HTML = b"<!doctype html><title>It works!</title><script>alert(1)</script>" + b"<p>x</p>" * 500
GARBAGE: dict[str, tuple[bytes, str, str]] = {
    "page": (HTML, "text/html", "text/html 'It works! alert(1) x x"),
    "word": (b"busy", "text/plain; charset=utf-8", "text/plain 'busy'"),
    "nothing": (b"", "application/json", "application/json, no text"),
    "list": (b"[1]", "application/json", "application/json '[1]'"),
    "nil": (b"null", "application/json", "application/json 'null'"),
    "half": (b'{"id": "x", "choi', "application/json", 'application/json \'{"id": "x", "choi\''),
    "shape": (b'{"detail": "nope"}', "application/json", 'application/json \'{"detail": "nope"}\''),
    "choices": (b'{"choices": null}', "application/json", "application/json '{\"choices\": null}'"),
    "bytes": (bytes(range(256)), "application/octet-stream", "application/octet-stream, no text"),
    "no_type": (b"hm", "text/<b>", "'hm'"),
    "control": (b"a\x1b[31mb\r\nc", "text/plain", "text/plain 'a [31mb c'"),
}


@STREAM
def test_an_answer_that_is_none_says_what_it_was(
    start: Start, stub: Stub, stream: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    for what, (body, media_type, _) in GARBAGE.items():
        stub.says(what, body, content_type=media_type)
    service = start(*GARBAGE, "ok")
    tried = dict(pair.split("=") for pair in service.post(stream=stream).headers["x-switchtender-tried"].split(", "))
    for what, (_, _, said) in GARBAGE.items():
        error = service.post(model=what, stream=stream).json()["error"]
        # Without a type that says otherwise a stream may have been one: it only broke off.
        is_open = stream and what == "no_type"
        assert tried[what] == ("broke off" if is_open else "unreadable")
        assert is_open or said in error["message"]
        assert error["code"] == "upstream_error"
        assert len(error["message"]) < 200
        assert not set("<>\n\r\x1b") & set(error["message"])
    assert '"event": "unreadable"' in capfd.readouterr().err


@STREAM
def test_an_excerpt_holds_no_secret_and_the_log_no_excerpt(
    start: Start, stub: Stub, stream: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    stub.says("odd", f"{SECRET} may not ask '{PROMPT}'".encode(), content_type="text/plain")
    message = start("odd").post(stream=stream).json()["error"]["message"]
    assert f"*** may not ask '{PROMPT}'" in message
    assert PROMPT not in capfd.readouterr().err


@STREAM
def test_an_error_that_comes_as_200_is_one(start: Start, stub: Stub, stream: bool) -> None:
    stub.says("limited", {"error": {"message": "slow down", "code": 429}})
    stub.says("broken", {"error": {"message": "boom", "code": "502"}})
    stub.says("mute", {"error": "the model is not loaded"})
    response = start("limited", "broken", "mute").post(stream=stream)
    assert response.headers["x-switchtender-tried"] == "limited=429, broken=502, mute=error"
    assert "mute (error: the model is not loaded)" in response.json()["error"]["message"]
    assert response.status_code == 429


def test_numbers_and_characters_that_json_only_half_has_are_passed_on(start: Start, stub: Stub) -> None:
    """vLLM gives -Infinity as a log probability; some cut an emoji into two halves."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ha \ud83d"}}
    token = {"token": "ha", "logprob": float("-inf"), "bytes": None, "top_logprobs": []}
    stub.says("odd", {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {**choice, "logprobs": {"content": [token]}}]})  # fmt: skip
    response = start("odd").post()
    assert response.status_code == 200
    assert "\\ud83d" in response.text
    assert response.json()["choices"][0]["logprobs"]["content"][0]["logprob"] is None
