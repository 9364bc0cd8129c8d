"""What tags a text shows, and the vocabulary that is mined from many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.tags.tag_sources import PhraseTags, TopicTags, membership
from pipeline.routers.tags.tagging import Tagging, fit_tagging
from pipeline.routers.tags.vocabulary import Vocabulary, merged, mine
from pipeline.routers.text.key_phrases import key_phrases, normal
from pipeline.routers.text.surface_tags import surface_tags
from pipeline.runtime.arrays import FloatMatrix

pytestmark = pytest.mark.usefixtures("one_thread")


def apart(phrases: Sequence[str]) -> FloatMatrix:
    """No phrase is near another."""
    return np.eye(max(len(phrases), 1), dtype=np.float32)[: len(phrases)]


def mined(texts: Sequence[str], least: int = 5) -> tuple[str, ...]:
    return mine([key_phrases(text) for text in texts], apart, least, 100, 0.85).tags


# --- phrases ----------------------------------------------------------------------------------------------------


def test_phrases_are_one_to_three_words_in_normal_form_without_stop_words_at_their_ends() -> None:
    assert key_phrases("The Interest Rates of banks") == {
        "interest", "rate", "interest rate", "rate of bank", "bank",
    }  # fmt: skip


def test_no_phrase_crosses_a_sign_or_a_line() -> None:
    assert key_phrases("loans, taxes\nsolar (panel)") == {"loan", "taxe", "solar", "panel"}


def test_where_no_spaces_part_words_short_runs_are_phrases() -> None:
    assert key_phrases("电压表 volt") == {"电压", "压表", "电压表", "volt"}


@pytest.mark.parametrize(("written", "expected"), [
    ("Climate  CHANGES!", "climate change"), ("  *Physics*", "physics"), ("Companies", "company"), ("Glass", "glass"),
    ("Species", "species"), ("法律", "法律"), ("?!", ""),
])  # fmt: skip
def test_a_written_tag_has_one_normal_form(written: str, expected: str) -> None:
    assert normal(written) == expected


# --- surface ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "tag"), [
    ("What is the capital of France and which river is near?", "language english"),
    ("Was ist die Hauptstadt und welcher Fluss ist nicht weit?", "language german"),
    ("下列说法错误的是", "script han"), ("Какая столица Франции?", "script cyrillic"),
    ("def f(x):\n    return x != 2", "code"), ("Write a Python function for it.", "about programming"),
    ("What is 12 * 7?", "arithmetic"), ("How many apples are left?", "arithmetic"), ("3 of 5 in 7", "numbers"),
    ("Pick:\nA. red\nB. blue", "multiple choice"), ("hello", "up to 50 characters"), ("x" * 9000, "longer text"),
])  # fmt: skip
def test_a_surface_tag_is_seen(text: str, tag: str) -> None:
    assert tag in surface_tags(text)


@pytest.mark.parametrize("tag", ["code", "arithmetic", "multiple choice", "numbers", "about programming"])
def test_a_plain_question_shows_none_of_them(tag: str) -> None:
    assert tag not in surface_tags("Why did the senate refuse the treaty?")


# --- vocabulary -------------------------------------------------------------------------------------------------

FILLER = [f"filler{chr(97 + i % 26)}{chr(97 + i // 26)} words" for i in range(200)]


def test_planted_tags_are_recovered_and_rare_ones_dropped() -> None:
    texts = [*FILLER, *(f"solar panel {text}" for text in FILLER[:8]), *(f"tidal wave {text}" for text in FILLER[:4])]
    found = mined(texts)
    assert "solar panel" in found
    assert not {"tidal", "wave", "tidal wave"} & set(found)
    assert "tidal wave" in mined(texts, least=4)


def test_what_stands_only_inside_a_longer_phrase_is_dropped() -> None:
    texts = [f"solar panel. {text}" for text in FILLER[:8]] + [f"solar. {text}" for text in FILLER[:3]] + FILLER
    found = mined(texts)
    assert "solar" in found
    assert "panel" not in found


def test_a_phrase_of_more_than_a_tenth_of_the_prompts_is_dropped() -> None:
    assert "kindly" in mined([*FILLER, *(f"kindly. {text}" for text in FILLER[:20])])
    assert "kindly" not in mined([*FILLER, *(f"kindly. {text}" for text in FILLER[:40])])


def test_near_synonyms_are_merged_under_the_more_frequent(minilm: FrozenEmbedding) -> None:
    found = merged(("mother", "buy", "volcano", "mom", "purchase"), minilm.embed, 0.85)
    assert found.tags == ("mother", "buy", "volcano")
    assert found.index == {"mother": 0, "mom": 0, "buy": 1, "purchase": 1, "volcano": 2}
    assert merged(("mother", "mom"), minilm.embed, 1.0).tags == ("mother", "mom")


def test_what_the_encoder_cannot_read_is_not_merged() -> None:
    same = merged(("甲", "乙", "丙"), lambda phrases: np.ones((3, 1), dtype=np.float32), 0.85)
    unread = merged(("甲", "乙", "丙"), lambda phrases: np.array([[1], [np.nan], [1]], dtype=np.float32), 0.85)
    assert same.tags == ("甲",)
    assert unread.tags == ("甲", "乙")


# --- assignment -------------------------------------------------------------------------------------------------


def test_a_prompt_has_the_rarest_of_its_phrases_and_the_merged_ones_count_once() -> None:
    vocabulary = Vocabulary(("common", "solar", "tidal"), {"common": 0, "solar": 1, "sun": 1, "tidal": 2})
    texts = ["common solar tidal sun", "sun and solar", "nothing"]
    source = PhraseTags(vocabulary, most=2)
    assert source.places(texts, np.zeros((3, 1), np.float32)) == [[2, 1], [1], []]


def test_the_multi_label_model_finds_a_topic_without_its_word() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(200, 8)).astype(np.float32)
    topics = [[0] if vector[0] > 0.5 else [1] if vector[1] > 0.5 else [] for vector in vectors]
    source = TopicTags.fit(("first", "second", "third"), membership([*topics[:199], [2]], 3), vectors, most=1)
    new = np.zeros((2, 8), dtype=np.float32)
    new[0, 0] = new[1, 1] = 2.0
    assert source.places(["", ""], new) == [[0], [1]]


def _fitted(params: TagsParams, rows: int = 60) -> Tagging:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(rows, 6)).astype(np.float32)
    texts = [f"solar panel {FILLER[i]}" if i % 6 == 0 else FILLER[i] for i in range(rows)]
    return fit_tagging(texts, vectors, params, 0, None, apart)[0]


def test_each_kind_of_tag_can_be_left_out_and_cluster_counts_fit_the_prompts() -> None:
    kinds = [source.kind for source in _fitted(TagsParams()).sources]
    assert kinds == ["cluster of 8", "surface", "phrase", "topic"]
    assert [s.kind for s in _fitted(TagsParams(clusters=(), surface=False)).sources] == ["phrase", "topic"]
    assert [s.kind for s in _fitted(TagsParams(phrases=False), rows=6).sources] == ["cluster of 1", "surface"]


def test_a_text_that_stands_several_times_has_its_own_vectors_tags_each_time() -> None:
    tagging = _fitted(TagsParams())
    vectors = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    together = tagging.member(["solar"] * 3, vectors).toarray()
    alone = [tagging.member(["solar"], vectors[[i]]).toarray()[0] for i in range(3)]
    assert together.tolist() == [row.tolist() for row in alone]
    assert len({tuple(row) for row in together.tolist()}) > 1


def test_without_any_source_there_are_no_tags() -> None:
    tagging = fit_tagging(
        ["a", "b"], np.eye(2, dtype=np.float32), TagsParams(clusters=(), surface=False), 0, None, apart
    )
    assert tagging[0].names == ()
    assert tagging[1].shape == (2, 0)
