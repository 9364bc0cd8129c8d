"""Wins, ties and losses by hand; what tags say of a candidate; the maps from sums to quality."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pipeline.routers.tags.scores import (
    ScoreVariant,
    TagKinds,
    Tallies,
    against,
    bounded,
    evidence,
    fit_maps,
    shrinkage,
)
from pipeline.routers.tags.tag_evidence import TagEvidence

NAN = np.nan
KNOWN = np.zeros(4)


def tallied(wins: list[float], ties: list[float], losses: list[float]) -> Tallies:
    """One candidate's tallies over some tags."""
    return Tallies(*(np.array([values], dtype=np.float64).T for values in (wins, ties, losses)))


# --- tallies ----------------------------------------------------------------------------------------------------


def test_wins_ties_and_losses_against_the_reference() -> None:
    quality = np.array([[0.5, 0.56], [0.5, 0.55], [0.5, 0.45], [0.5, 0.44]], dtype=np.float32)
    found = against(quality, quality[:, 0].astype(np.float64), KNOWN)
    assert found.wins[:, 1].tolist() == [1, 0, 0, 0]
    assert found.ties[:, 1].tolist() == [0, 1, 1, 0]
    assert found.losses[:, 1].tolist() == [0, 0, 0, 1]
    assert found.ties[:, 0].tolist() == [1, 1, 1, 1]


def test_what_was_not_tried_counts_as_nothing() -> None:
    quality = np.array([[1.0, NAN], [1.0, 0.0]], dtype=np.float32)
    found = against(quality, np.ones(2), np.zeros(2))
    assert found.tried[:, 1].tolist() == [0, 1]
    assert (found.wins[0, 1], found.ties[0, 1], found.losses[0, 1]) == (0, 0, 0)


def test_where_the_reference_was_not_tried_its_expectation_stands_in() -> None:
    quality = np.array([[NAN, 1.0], [NAN, 0.0], [NAN, 0.5]], dtype=np.float32)
    found = against(quality, np.full(3, NAN), np.full(3, 0.8))
    assert found.wins[:, 1].tolist() == pytest.approx([0.2, 0.0, 0.2])
    assert found.ties[:, 1].tolist() == pytest.approx([0.8, 0.2, 0.0])
    assert found.losses[:, 1].tolist() == pytest.approx([0.0, 0.8, 0.8])
    assert found.tried[:, 0].tolist() == [0, 0, 0]


def test_a_tags_tally_sums_over_its_prompts() -> None:
    quality = np.array([[0, 1], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    member = csr_matrix(np.array([[1, 0], [1, 1], [1, 0], [0, 1]], dtype=np.float64))
    found = against(quality, quality[:, 0].astype(np.float64), KNOWN).by_tag(member)
    assert found.wins[:, 1].tolist() == [1, 1]
    assert found.ties[:, 1].tolist() == [1, 0]
    assert found.losses[:, 1].tolist() == [1, 1]
    assert found.net(0.15)[:, 1].tolist() == pytest.approx([0.15, 0.0])


# --- evidence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", ["tag", "all"])
def test_counts_are_weighed_as_in_the_paper(total: str) -> None:
    tallies = tallied([8, 1], [10, 1], [2, 0])
    variant = ScoreVariant(0.15, "counts", total)  # type: ignore[arg-type]
    found = evidence(tallies, tallies.overall(), np.zeros(2), variant)[:, 0]
    tried = np.array([20, 2])
    by_hand = (1 - np.exp(-tried)) / (tried if total == "tag" else 22) * np.array([8 + 1.5 - 2, 1 + 0.15])
    assert found / found[0] == pytest.approx(by_hand / by_hand[0])


def test_rates_say_how_far_a_tag_is_above_the_overall_rate_and_rare_tags_less() -> None:
    tallies = tallied([80, 4, 0], [10, 0, 0], [10, 0, 40])
    overall = tallies.overall()
    mean = (84 - 50) / 144
    found = evidence(tallies, overall, np.full(3, 10.0), ScoreVariant())[:, 0]
    by_hand = np.array([(70 - 100 * mean) / 110, (1 - np.exp(-4)) * (4 - 4 * mean) / 14, (-40 - 40 * mean) / 50])
    assert found / found[0] == pytest.approx(by_hand / by_hand[0])
    assert 0 < found[1] < found[0]


def test_tags_that_differ_by_chance_alone_are_shrunk_away_and_others_are_not() -> None:
    random = np.random.default_rng(0)
    tried = np.full((100, 1), 50.0)
    kinds = TagKinds(np.repeat([0, 1], 50), 2, 2.0)
    rate = np.concatenate([np.full(50, 0.5), np.repeat([0.2, 0.8], 25)])
    total = random.binomial(50, rate)[:, None].astype(np.float64)
    found = shrinkage(total, tried, np.array([0.25]), np.array([0.5]), kinds)
    assert found[0] > 100
    assert found[1] < 10


def test_each_kind_has_one_vote_however_many_tags_it_gives() -> None:
    kinds = TagKinds(np.array([0, 1, 1, 1]), 2, 3.0)
    member = csr_matrix(np.array([[1, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1]], dtype=np.float64))
    assert kinds.votes(member, ScoreVariant()).toarray().tolist() == [
        [0.5, 0.25, 0.25, 0], [0.5, 0, 0, 0.5], [0, 0, 0, 0.5],
    ]  # fmt: skip
    plain = kinds.votes(member, ScoreVariant(votes="tags")).toarray()
    assert plain == pytest.approx(member.toarray() / 3)


# --- maps -------------------------------------------------------------------------------------------------------


def test_a_map_rises_or_is_flat_and_is_drawn_to_what_is_usual() -> None:
    sums = np.linspace(-1, 1, 200)[:, None]
    assert fit_maps(sums, 0.3 + 0.5 * sums, 0.3, 0.0).slope[0] == pytest.approx(0.5)
    assert fit_maps(sums, -2 * sums, 0.0, 0.0).slope[0] == 0.0
    assert 0.5 < fit_maps(sums, 0.3 + 0.5 * sums, 0.3, 1e3).slope[0] < 1.0
    once = fit_maps(sums[:1], np.array([[1.0]]), 0.2, 1.0)
    assert 0.2 < once.level[0] < 0.3
    never = fit_maps(sums, np.full((200, 1), NAN), 0.2, 1.0)
    assert (never.level[0], never.slope[0]) == (pytest.approx(0.2), 1.0)


def test_bounding_keeps_order_inside_zero_and_one() -> None:
    found = bounded(np.array([[-0.1, -0.02, 0.04, 0.3, 0.96, 1.02, 1.1]]))[0]
    assert (np.diff(found) > 0).all()
    assert found[0] > 0
    assert found[-1] < 1
    assert found[3] == np.float32(0.3)


# --- all of it --------------------------------------------------------------------------------------------------


def planted(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, csr_matrix, TagKinds]:
    """Tag 0: candidate 1 is better than the reference; tag 1: worse; candidate 2 is as good everywhere."""
    random = np.random.default_rng(seed)
    tag = random.integers(0, 2, rows)
    chance = np.stack([np.full(rows, 0.6), np.where(tag == 0, 0.9, 0.2), np.full(rows, 0.5)], axis=1)
    quality = (random.random(chance.shape) < chance).astype(np.float32)
    return quality, csr_matrix(np.eye(2)[tag]), TagKinds(np.array([0, 0]), 1, 1.0)


@pytest.mark.parametrize("variant", [
    ScoreVariant(tie, value, total, votes)  # type: ignore[arg-type]
    for tie in (0.0, 0.15) for value in ("rates", "counts") for total in ("tag", "all") for votes in ("kinds", "tags")
], ids=str)  # fmt: skip
def test_every_variant_learns_what_was_planted(variant: ScoreVariant) -> None:
    quality, member, kinds = planted()
    found = TagEvidence.fit(0, quality, member, kinds, variant).quality(csr_matrix(np.eye(2)))
    assert found[0].argmax() == 1
    assert found[1].argmax() == 0
    assert found[0] == pytest.approx([0.6, 0.9, 0.5], abs=0.1)


def test_half_of_the_cells_missing_costs_little_and_is_not_read_as_failure() -> None:
    quality, member, kinds = planted(1200)
    holes = np.random.default_rng(1).random(quality.shape) < 0.5
    with_holes = np.where(holes, NAN, quality).astype(np.float32)
    tags = csr_matrix(np.eye(2))
    whole = TagEvidence.fit(0, quality, member, kinds, ScoreVariant()).quality(tags)
    found = TagEvidence.fit(0, with_holes, member, kinds, ScoreVariant()).quality(tags)
    assert found == pytest.approx(whole, abs=0.1)
    zeros = TagEvidence.fit(0, np.nan_to_num(with_holes), member, kinds, ScoreVariant()).quality(tags)
    assert abs(zeros - whole).max() > 0.2


def test_a_candidate_that_was_never_tried_stands_at_one_half_and_touches_no_other() -> None:
    quality, member, kinds = planted()
    quality[:, 2] = NAN
    found = TagEvidence.fit(0, quality, member, kinds, ScoreVariant()).quality(member)
    assert (found[:, 2] == 0.5).all()
    without = TagEvidence.fit(0, quality[:, :2], member, kinds, ScoreVariant()).quality(member)
    assert found[:, :2] == pytest.approx(without)


def test_the_maps_see_no_prompts_own_outcome() -> None:
    quality, member, kinds = planted(60)
    fitted = TagEvidence.fit(0, quality, member, kinds, ScoreVariant())
    outcomes = against(quality, quality[:, 0].astype(np.float64), np.zeros(60))
    before = fitted._held_out(outcomes, member)
    quality[7, 1] = 1 - quality[7, 1]
    changed = against(quality, quality[:, 0].astype(np.float64), np.zeros(60))
    again = replace(fitted, tallies=changed.by_tag(member), overall=changed.overall())
    after = again._held_out(changed, member)
    assert after[7].tobytes() == before[7].tobytes()
    assert (after != before).any()
