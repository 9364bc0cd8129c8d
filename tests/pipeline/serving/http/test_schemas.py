"""Several prompts and dialogues: what may be sent, and which of several is named where one is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from small_service import ASKED, Small


def _results(client: httpx.Client, **body: Any) -> Any:
    response = client.post("/v1/route", json=body)
    assert response.status_code == 200, response.text
    return response.json()["results"]


def _refusal(response: httpx.Response) -> str:
    return str(response.json()["error"]["message"])


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
BESIDE = [
    {"role": "system", "content": "sql sql sql"},
    {"role": "developer", "content": [{"type": "text", "text": "sql"}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {}}]},
    {"role": "assistant", "refusal": "no"},
    {"role": "tool", "tool_call_id": "c", "content": "sql"},
    {"role": "function", "name": "f", "content": "sql"},
    {"role": "user", "content": [PICTURE], "name": "ana"},
]


def test_a_history_may_be_the_messages_of_a_chat(client: httpx.Client) -> None:
    alone = _results(client, prompt="translate it into french\nand mail it")
    parts = [{"type": "text", "text": "translate it into french"}, PICTURE]
    history = [BESIDE[0], {"role": "user", "content": parts}, *BESIDE]
    assert _results(client, prompt="and mail it", history=history, history_turns=1) == alone


@pytest.mark.parametrize(
    ("turn", "where"),
    [
        ({"role": "user", "content": 5}, "history.1.content"),
        ({"role": "user", "content": ["a"]}, "history.1.content"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "history.1.content"),
        ({"role": "tool", "content": "a\0"}, "history.1.content"),
        ({"role": "user"}, "history.1: "),
        ({"role": "tool", "content": None}, "history.1: "),
        ({"content": "a"}, "history.1.role"),
        ("a", "history.1"),
    ],
)
def test_a_turn_that_is_no_message_is_refused_by_its_place(client: httpx.Client, turn: Any, where: str) -> None:
    body = {"prompt": "a", "history": [{"role": "user", "content": "b"}, turn]}
    response = client.post("/v1/route", json=body)
    assert (response.status_code, _refusal(response).startswith(where)) == (422, True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "prompts.2: the prompt is empty"),
        ("a\0", "prompts.2: a text has a NUL character"),
        (None, "prompts.2: input should be a valid string"),
        (["a"], "prompts.2: input should be a valid string"),
        ("a" * 100_001, "prompts.2 has 100001 characters"),
    ],
)
def test_of_several_prompts_the_wrong_one_is_named(client: httpx.Client, wrong: Any, message: str) -> None:
    response = client.post("/v1/route", json={"prompts": [ASKED, "b", wrong, "c"]})
    assert (response.status_code, _refusal(response).startswith(message)) == (422, True)


def test_the_one_of_several_that_cannot_be_decided_on_is_named(
    client: httpx.Client, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = small.switch.served.engine
    dear = engine.score(["b"])[0]
    offered = engine.offered
    monkeypatch.setattr(
        engine, "offered", lambda text, scored, labels: replace(scored, cost=dear.cost * 9) if text == "b"
        else offered(text, scored, labels),
    )  # fmt: skip
    wish = {"policy": "budget", "budget_usd": 0.001}
    response = client.post("/v1/route", json={"prompts": [ASKED, "b"], **wish})
    assert _refusal(response).startswith("prompts.1: no candidate fits budget_usd 0.001")
    assert _refusal(client.post("/v1/route", json={"prompt": "b", **wish})).startswith("no candidate fits")
