"""Bodies that programs read differently are refused before anything of them is used."""

from __future__ import annotations

import json

import httpx
import pytest

from pipeline.serving.http.json_body import DEEPEST, parsed


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"prompt": "a", "prompt": "b"}', "the field 'prompt' stands twice"),
        (b'{"prompt": "a", "labels": ["health"], "labels": []}', "the field 'labels' stands twice"),
        (b'{"prompt": "a", "thresholds": {"sql": 1, "sql": 0}}', "the field 'sql' stands twice"),
        (b'{"prompt": "a", "thresholds": {"\\ud800": 0.5}}', "half a surrogate pair"),
        (b'{"prompt": "a", "top_k": ' + b"9" * 5000 + b"}", "thousands of digits"),
        (b'{"prompt": "a", "labels": ' + b"[" * 150 + b"]" * 150 + b"}", "levels deep"),
        (b'{"prompt": ' + b'{"a":' * 900 + b"1" + b"}" * 901, "levels deep"),
        (b"[" * 200_000, "levels deep"),
        (b'{"prompt": "a"', "Expecting ',' delimiter"),
        (b'{"prompt": "a"} {}', "Extra data"),
    ],
)
def test_a_body_that_is_not_read_alike_everywhere_is_refused(client: httpx.Client, body: bytes, reason: str) -> None:
    for path in ("/v1/route", "/v1/feedback"):
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 422
        error = response.json()["error"]
        assert error["code"] == "invalid_json"
        assert reason.lower() in error["message"].lower()
        assert len(response.content) < 500


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        (b'"policy": "budget", "budget_usd": 1' + b"0" * 400, "budget_usd"),
        (b'"policy": "budget", "budget_usd": 1e400', "budget_usd"),
        (b'"policy": "budget", "budget_usd": -Infinity', "budget_usd"),
        (b'"policy": "willingness", "quality_per_usd": NaN', "quality_per_usd"),
        (b'"thresholds": {"sql": 1' + b"0" * 400 + b"}", "thresholds.sql"),
        (b'"history_turns": 1' + b"0" * 400, "history_turns"),
        (b'"top_k": 1' + b"0" * 400, "top_k"),
    ],
)
def test_a_number_that_no_float_holds_is_refused_by_its_field(client: httpx.Client, amount: bytes, field: str) -> None:
    body = b'{"prompt": "a", ' + amount + b"}"
    response = client.post("/v1/route", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, field in response.json()["error"]["message"]) == (422, True)
    assert len(response.content) < 1000


def test_the_largest_amount_is_one(client: httpx.Client, recwarn: pytest.WarningsRecorder) -> None:
    largest = {"prompt": "a", "policy": "willingness", "quality_per_usd": 1.7976931348623157e308}
    assert client.post("/v1/route", json=largest).json()["results"][0]["agents"] == ["email"], "the cheapest"
    assert not [warned for warned in recwarn if issubclass(warned.category, RuntimeWarning)]


def test_what_is_sound_is_read_as_ever() -> None:
    content = {"a": [1, 2.5, None, {"b": "\u00fc"}], "c": 1 << 80}
    assert parsed(json.dumps(content).encode()) == content
    assert parsed(json.dumps(content).encode("utf-16")) == content
    deep = b"[" * DEEPEST + b"]" * DEEPEST
    assert json.dumps(parsed(deep)).encode() == deep
