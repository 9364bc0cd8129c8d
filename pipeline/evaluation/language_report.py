"""Which of a night's prompts are in a language that the router's encoder was not made for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.routers.calibrated import CalibratedRouter

_MOST_IDS = 20


@dataclass(frozen=True)
class UnsupportedLanguage:
    """How many prompts are in a language or script that the encoder was not made for, and the ids of the first."""

    language: str
    prompts: int
    prompt_ids: tuple[str, ...]


def language_report(
    router: CalibratedRouter, prompt_ids: Sequence[str], prompts: Sequence[str]
) -> tuple[UnsupportedLanguage, ...] | None:
    """The languages, the commonest first; none where the encoder was made for all, None without an encoder."""
    found = router.unsupported_languages(prompts)
    if found is None:
        return None
    by_language: dict[str, list[str]] = defaultdict(list)
    for prompt_id, language in zip(prompt_ids, found, strict=True):
        if language:
            by_language[language].append(prompt_id)
    told = [UnsupportedLanguage(name, len(ids), tuple(ids[:_MOST_IDS])) for name, ids in by_language.items()]
    return tuple(sorted(told, key=lambda one: (-one.prompts, one.language)))
