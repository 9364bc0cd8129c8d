"""What outsiders cause as often as they like is counted: its lines depend on the time, never on how often it came."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from pipeline.serving.engine import log as module
from pipeline.serving.engine.log import KINDS, SECONDS, CountedLog, LogLines


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counted(clock: Clock) -> CountedLog:
    return CountedLog(clock)


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_line_that_cannot_be_written_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Full:
        def write(self, line: str) -> None:
            tried.append(line)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.sys, "stderr", Full())
    module.log("serving", version="1")
    module.log("serving", version="2")
    assert [json.loads(line)["version"] for line in tried] == ["1", "2"]


def test_the_first_of_a_kind_is_written_whole_and_the_others_by_their_number(
    counted: CountedLog, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(100_000):
        counted.log("request", {"status": 401}, request_id=number)
    counted.log("request", {"status": 404}, request_id="another kind")
    counted.flush()
    first, other = lines(capfd)
    assert (first["status"], first["request_id"], other["status"]) == (401, 0, 404)
    clock.now += SECONDS
    counted.flush()
    (told,) = lines(capfd)
    assert (told["event"], told["status"], told["more"]) == ("request", 401, 99_999)
    assert "request_id" not in told
    counted.log("request", {"status": 401}, request_id="a minute later")
    assert lines(capfd)[0]["request_id"] == "a minute later"


def test_without_a_flush_a_count_is_told_before_the_next_of_its_kind_and_at_the_end(
    counted: CountedLog, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        counted.log("gone", {})
    clock.now += SECONDS
    counted.log("gone", {})
    counted.log("gone", {})
    assert [line.get("more") for line in lines(capfd)] == [None, 2, None]
    counted.flush(at_once=True)
    assert [line.get("more") for line in lines(capfd)] == [1]


def test_kinds_without_end_are_counted_together(counted: CountedLog, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(KINDS * 20):
        counted.log("request", {"name": number})
    counted.flush(at_once=True)
    told = lines(capfd)
    assert len(told) <= KINDS + 2
    assert told[-1]["more"] + KINDS + 1 == KINDS * 20


def test_what_a_library_logs_is_counted_too(
    counted: CountedLog, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "refusals", counted)
    for number in range(1000):
        message = f"socket.accept() out of system resource\nsocket: {number}"
        LogLines().emit(logging.LogRecord("asyncio", logging.ERROR, "", 0, message, (), None))
    (told,) = lines(capfd)
    assert (told["message"], told["detail"]) == ("socket.accept() out of system resource", "socket: 0")
