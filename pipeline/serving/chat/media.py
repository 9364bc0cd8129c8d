"""Pictures and the like in a chat: what its messages hold besides text, and which candidates can read that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from pipeline.runtime.errors import InputError
from pipeline.serving.chat.litellm_library import library, lists
from pipeline.serving.chat.upstreams import Upstreams

IMAGES, AUDIO, FILES, VIDEO = "images", "audio", "files", "video"
"""The words of `takes` in upstreams.yaml."""
_OF_PART = {
    "image_url": IMAGES, "input_image": IMAGES, "image": IMAGES, "input_audio": AUDIO, "file": FILES,
    "input_file": FILES, "document": FILES, "video_url": VIDEO,
}  # fmt: skip


def media_in(messages: Iterable[dict[str, Any]]) -> frozenset[str]:
    """What the parts of some messages are besides text; a part of an unknown type is none."""
    contents = [content for message in messages if isinstance(content := message.get("content"), list)]
    types = [part.get("type") for content in contents for part in content if isinstance(part, dict)]
    return frozenset(_OF_PART[kind] for kind in types if isinstance(kind, str) and kind in _OF_PART)


async def able(order: list[str], media: frozenset[str], upstreams: Upstreams, *, is_all: bool) -> list[str]:
    """Those of an order that may be sent these media: none whose entry denies it, first those whose entry says it.

    Where they are all that the message holds (`is_all`), only those that are known to read them, by their entry or by
    LiteLLM's list of models.

    Raises:
        InputError: nobody may.
    """
    if not media:
        return order
    says = {name: upstreams.takes(name, media) for name in order}
    what = ", ".join(sorted(media))
    if not is_all:
        may = sorted((name for name in order if says[name] is not False), key=lambda name: says[name] is None)
        if not may:
            raise InputError(f"messages: no candidate takes {what}, as upstreams.yaml says of each; leave them out")
        return may
    # Its import takes seconds, for which the event loop must not stand still.
    await asyncio.to_thread(library)
    listed = {name for name in order if lists(upstreams.by_candidate[name].model, media)}
    may = [name for name in order if says[name] or (says[name] is None and name in listed)]
    if not may:
        raise InputError(
            f"messages: the latest user message holds {what} and no text, by which to route, and no candidate is known "
            f"to take that; add text, name a model, or write `takes: [{what}]` into the entry of one that does"
        )
    return may
