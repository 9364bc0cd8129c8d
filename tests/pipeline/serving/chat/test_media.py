"""Pictures and the like: who is asked, and what is said where nobody can be."""

from __future__ import annotations

from typing import Any

import pytest
from chat_service import PROMPT, Start
from stub_upstreams import Stub

from pipeline.serving.chat.litellm_library import lists
from pipeline.serving.chat.media import media_in

PICTURE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SOUND: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
TEXT: dict[str, Any] = {"type": "text", "text": PROMPT}


def said(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("parts", "asked"),
    [
        ((PICTURE,), ["ok"]),
        ((PICTURE, {"type": "text", "text": " \n"}), ["ok"]),
        ((SOUND,), ["tools"]),
        ((PICTURE, TEXT), ["ok"]),
        ((SOUND, TEXT), ["tools"]),
        ((TEXT,), ["gated"]),
    ],
)
def test_a_message_goes_to_who_can_read_it(start: Start, stub: Stub, parts: Any, asked: list[str]) -> None:
    stub.gate.set()
    takes = {"gated": ", takes: []", "ok": ", takes: [images]", "tools": ", takes: [audio, files]"}
    service = start("gated", "unsaid", "ok", "tools", entries=takes)
    response = service.post(messages=said(*parts))
    assert response.status_code == 200, response.text
    assert stub.asked() == asked
    assert [prompt for prompt, _ in service.prompts] == [PROMPT if TEXT in parts else ""]


def test_who_does_not_say_is_asked_only_where_there_is_a_text_to_route_by(start: Start, stub: Stub) -> None:
    service = start("ok", "500", entries={"500": ", takes: [images]"})
    assert service.post(messages=said(PICTURE, TEXT)).headers["x-switchtender-tried"] == "500=500"
    assert stub.asked() == ["500", "ok"]
    alone = service.post(messages=said(PICTURE))
    assert (alone.status_code, stub.asked()) == (502, ["500", "ok", "500"])


def test_a_picture_of_before_counts_too(start: Start, stub: Stub) -> None:
    service = start("gated", "ok", entries={"gated": ", takes: []"})
    talk = [*said(PICTURE, TEXT), {"role": "assistant", "content": "A cat."}, {"role": "user", "content": "Why?"}]
    assert service.post(messages=talk).status_code == 200
    assert stub.asked() == ["ok"]


def test_where_nobody_is_known_to_read_it_the_error_says_what_to_write(start: Start, stub: Stub) -> None:
    service = start("ok", "tools", entries={"tools": ", takes: []"})
    error = service.post(messages=said(PICTURE)).json()["error"]
    assert "no text" in error["message"]
    assert "`takes: [images]`" in error["message"]
    deaf = start("ok", entry=", takes: [images]").post(messages=said(SOUND, TEXT))
    assert (deaf.status_code, "no candidate takes audio" in deaf.text) == (400, True)
    assert stub.calls == []
    assert service.post(model="ok", messages=said(PICTURE)).status_code == 200, "whoever is named is asked"


def test_the_librarys_list_of_models_counts_where_an_entry_does_not_say() -> None:
    assert lists("openai/gpt-4o-mini", frozenset({"images"}))
    assert lists("anthropic/claude-3-haiku-20240307", frozenset({"images"}))
    assert not lists("openai/gpt-3.5-turbo", frozenset({"images"}))
    assert not lists("openai/gpt-4o-mini", frozenset({"images", "video"}))
    assert not lists("groq/gpt-4o-mini", frozenset({"images"})), "of another provider"
    assert not lists("openai/nobody", frozenset({"images"}))
    assert not lists("ollama/llava", frozenset({"images"})), "its server is not asked"


@pytest.mark.parametrize("content", [None, "text", 5, ["x", None, 3], [{"type": ["image_url"]}], [{"text": "no type"}]])
def test_what_is_no_part_is_no_medium(content: Any) -> None:
    assert media_in([{"role": "user", "content": content}, {}]) == frozenset()
