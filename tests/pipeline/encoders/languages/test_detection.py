"""Which language a text is in, and which an encoder was made for: few false alarms before many true ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.encoders.languages.detection import language_of, unsupported_languages
from pipeline.encoders.languages.words import ENGLISH, FUNCTION_WORDS, SCRIPTS
from pipeline.encoders.onnx_encoder import FP32, OnnxEncoder
from pipeline.encoders.onnx_export import export
from pipeline.encoders.sentence_encoder import SentenceEncoder

OTHERS = [
    ("Schick den Bericht bitte an Jana und mach mir eine Zusammenfassung", "German"),
    ("Übersetze diesen Vertrag ins Englische", "German"),
    ("Envoie le rapport à Jana avant midi", "French"),
    ("Je voudrais savoir pourquoi mon paiement n'est pas arrivé", "French"),
    ("¿Qué tiempo hará mañana en Madrid?", "Spanish"),
    ("Quiero saber por qué no ha llegado mi pago", "Spanish"),
    ("Wyślij raport do Jany przed południem, proszę, i daj mi znać, czy to jest gotowe", "Polish"),
    ("Отправь отчёт Яне до полудня", "Cyrillic letters"),
    ("ما حالة الطقس غدا في القاهرة؟", "Arabic letters"),
    ("कल दिल्ली में मौसम कैसा रहेगा?", "Devanagari letters"),
    ("明日の東京の天気はどうですか", "Japanese"),
    ("请在中午之前把报告发给雅娜", "Chinese"),
    ("Ubuntu 上的 Docker 怎么安装，请一步一步解释", "Chinese"),
    ("내일 서울 날씨가 어때요?", "Korean"),
]
ENGLISH_OR_NOTHING = [
    "Translate 'wo ist der Bahnhof' into English",
    'What does "c\'est la vie" mean and who said it?',
    "Book a table at Café de la Paix in Paris for two",
    "Summarise 'Les Misérables' and 'Der Zauberberg' for my class",
    "Email José, Chloé and Zoë",
    "SELECT a, la, de FROM los_angeles WHERE un = 'en' AND le > 3 ORDER BY la",
    "var i = 0; var y = 1; for (var o of a) { console.log(o, i, y) }",
    "Find α + β if α = 2β, and Δv where λ is small",
    "add 45 to 87 plus 54 plus 43 plus 22",
    "😀 👍🏽 → ∑",
    "résumé",
    "你",
    "",
]


@pytest.fixture(scope="module")
def english(tiny_encoder: Path) -> SentenceEncoder:
    """With the pieces of the bundled encoder."""
    return SentenceEncoder.load(str(tiny_encoder), 32)


@pytest.mark.parametrize(("text", "language"), OTHERS)
def test_another_language_is_told(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("text", ENGLISH_OR_NOTHING)
def test_names_quotations_code_and_formulas_are_no_other_language(text: str) -> None:
    assert language_of(text) is None


def test_the_shipped_pieces_were_made_for_english_alone_also_in_the_engine(
    english: SentenceEncoder, tmp_path: Path
) -> None:
    export(english, tmp_path, FP32)
    every = [*FUNCTION_WORDS, *(script.name for script in SCRIPTS.values())]
    for encoder in (english, OnnxEncoder.load(tmp_path)):
        assert [language for language in every if encoder.reads(language)] == [ENGLISH]
    assert unsupported_languages(english, [OTHERS[0][0], "mail Ana", OTHERS[7][0]]) == [
        "German", None, "Cyrillic letters",
    ]  # fmt: skip


def test_pieces_of_many_letters_were_made_for_a_language() -> None:
    """A tokenizer with whole words, which stands for one of many languages: it alone decides, no name does."""
    words = [word for texts in FUNCTION_WORDS.values() for word in texts.split()]
    words += [word[i : i + 3] for script in SCRIPTS.values() for word in script.words.split() for i in (0, 3, 6, 9, 12)]
    known = {word: i for i, word in enumerate(dict.fromkeys(words))}

    class Many:
        def reads(self, language: str) -> bool:
            from pipeline.encoders.languages.detection import is_known

            return is_known(language, self._pieces)

        def _pieces(self, asked: object) -> list[list[int]]:
            assert isinstance(asked, list)
            return [
                [known[word]] if word in known else [known[word[i : i + 3]] for i in range(0, len(word), 3)]
                for word in asked
            ]

    assert unsupported_languages(Many(), [text for text, _ in OTHERS]) == [None] * len(OTHERS)
