"""Which of a night's prompts are in a language that the router's encoder was not made for."""

from __future__ import annotations

from pathlib import Path

from small_service import fit_small

from pipeline.evaluation.language_report import UnsupportedLanguage, language_report
from pipeline.routers.systems import open_router

PROMPTS = ["mail Ana", "Отправь отчёт Яне", "明日の天気はどうですか", "Какая завтра будет погода?"]


def test_languages_are_counted_with_ids_the_commonest_first(tmp_path: Path, tiny_encoder: Path) -> None:
    router = open_router(fit_small(tmp_path, encoder=tiny_encoder))
    assert language_report(router, ["a", "b", "c", "d"], PROMPTS) == (
        UnsupportedLanguage("Cyrillic letters", 2, ("b", "d")),
        UnsupportedLanguage("Japanese", 1, ("c",)),
    )
    assert language_report(router, ["a"], PROMPTS[:1]) == ()


def test_without_an_encoder_nobody_looks(tmp_path: Path) -> None:
    assert language_report(open_router(fit_small(tmp_path)), ["b"], PROMPTS[1:2]) is None
