"""LiteLLM's library, set to keep to itself, and what it knows of providers and models."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from typing import Any

from pipeline.runtime.errors import InputError
from pipeline.serving.chat.upstream_answer import listen_to

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else the price list is fetched at import
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",  # else fetched at the first call of Anthropic
    "LITELLM_MODE": "PRODUCTION",  # else a file .env is read into the environment
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",  # else an address in a caller's message is fetched from here
}


def require_library() -> None:
    """Find LiteLLM without importing it.

    Raises:
        InputError: it is not installed.
    """
    if importlib.util.find_spec("litellm") is None:
        raise InputError("forwarding needs LiteLLM, which is not installed; run: pip install 'switchtender[chat]'")


@functools.cache
def library() -> Any:
    """LiteLLM, imported (seconds, the first time) and set to keep to itself: no network of its own, no log, no guess.

    Raises:
        InputError: it is not installed.
    """
    require_library()
    os.environ.update(_ENVIRONMENT)
    _silence()
    import litellm
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    litellm.modify_params = False
    litellm.disable_streaming_logging = True
    litellm.disable_token_counter = True  # it fetches tokenizers, and images that a message names
    litellm.disable_hf_tokenizer_download = True
    listen_to(AsyncHTTPHandler)
    return litellm


def _silence() -> None:
    """LiteLLM logs whole requests. A filter stays, whereas a configuration of logging enables disabled loggers."""
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).addFilter(lambda record: False)
    for name in ("openai", "httpx", "httpcore"):  # they log bodies, and addresses with keys in them
        logging.getLogger(name).setLevel(logging.WARNING)


def provider_of(model: str, api_base: str | None) -> str | None:
    """LiteLLM's name of an entry's provider, or None where it knows none."""
    litellm = library()
    try:
        return str(litellm.get_llm_provider(model, api_base=api_base)[1])
    except litellm.BadRequestError:
        return None


def lists(model: str, media: frozenset[str]) -> bool:
    """Whether LiteLLM's list of models says that one reads these media. Its own functions would ask some providers."""
    provider, _, name = model.partition("/")
    listed = library().model_cost
    entry = listed.get(model) or listed.get(name, {})
    is_same = model in listed or str(entry.get("litellm_provider", "")).startswith(provider)
    return is_same and all(entry.get(_LISTED_AS[medium]) for medium in media)


_LISTED_AS = {
    "images": "supports_vision", "audio": "supports_audio_input", "files": "supports_pdf_input",
    "video": "supports_video_input",
}  # fmt: skip


def speaks_openai(provider: str) -> bool:
    """Whether a provider takes OpenAI's fields as they are, so that only a few are LiteLLM's to translate."""
    return provider in ("openai", "azure", "openrouter", "mistral", *library().openai_compatible_providers)
