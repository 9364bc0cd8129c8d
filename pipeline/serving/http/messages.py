"""A message of a dialogue as OpenAI's chat protocol has it, wherever one is sent: its roles and its text."""

from __future__ import annotations

from typing import Any, Literal

from pipeline.data.prompt_text import fault_in_text

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


def text_of(content: object) -> str:
    """A message's text: a text itself, or the text parts of a list, joined by line ends; empty where there is none."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def checked_content(content: Any) -> Any:
    """A message's content itself: a text, a list of parts, or nothing.

    Raises:
        ValueError: it is none of these, or a text in it is none.
    """
    parts = content if isinstance(content, list) else []
    if not isinstance(content, str | list | None) or not all(isinstance(part, dict) for part in parts):
        raise ValueError("a message's content is a text, or a list of parts such as {'type': 'text', 'text': '...'}")
    texts = [content] if isinstance(content, str) else [part.get("text") for part in parts if "text" in part]
    if fault := next(filter(None, map(fault_in_text, texts)), ""):
        raise ValueError(fault)
    return content
