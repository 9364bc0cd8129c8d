"""What the tags know: the reference's level on each of them, and every candidate's tallies against it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.routers.tags.scores import (
    MAPS,
    RisingLines,
    ScoreVariant,
    TagKinds,
    Tallies,
    against,
    bounded,
    evidence,
    fit_maps,
    information,
    parts,
    shrinkage,
)
from pipeline.routers.tags.scores import NAMES as TALLIES
from pipeline.routers.tags.tag_sources import Membership
from pipeline.runtime.arrays import FloatMatrix, Values

_UNKNOWN = 0.5
_USUAL_SHARE = 0.3
"""A slope is drawn to what is usual as if by this share of the information that a candidate has."""


@dataclass(frozen=True)
class ReferenceCandidate:
    """The candidate that all others are judged against, and how good it is on the prompts of each tag.

    `total` and `tried` [tags] sum its qualities and prompts, `mean` is its quality over all, `prior` [kinds] shrinks.
    """

    column: int
    total: Values
    tried: Values
    mean: float
    prior: Values
    maps: RisingLines

    @classmethod
    def fit(cls, column: int, quality: Values, member: Membership, kinds: TagKinds) -> ReferenceCandidate:
        """From its own qualities [n], NaN where it was not tried."""
        known = ~np.isnan(quality)
        value, tried = np.where(known, quality, 0.0), known.astype(np.float64)
        mean = float(value.sum() / max(tried.sum(), 1.0))
        total, count = np.asarray(member.T @ value), np.asarray(member.T @ tried)
        variance = np.array([float((tried * (value - mean) ** 2).sum() / max(tried.sum(), 1.0))])
        prior = shrinkage(total[:, None], count[:, None], variance, np.array([mean]), kinds)
        blank = cls(column, total, count, mean, prior, RisingLines(*(np.array([x]) for x in (mean, 1.0, 0.0))))
        sums = np.zeros((len(quality), 1))
        votes = kinds.votes(member, ScoreVariant())
        for rows in parts(len(quality)):
            rest = replace(
                blank, total=total - member[rows].T @ value[rows], tried=count - member[rows].T @ tried[rows]
            )
            sums[rows] = rest.sums(votes[rows], kinds)
        target = quality[:, None]
        return replace(blank, maps=fit_maps(sums, target, mean, _USUAL_SHARE * float(information(sums, target)[0])))

    def sums(self, votes: Membership, kinds: TagKinds) -> Values:
        """What the tags add to its mean quality, float64 [n, 1]."""
        prior = self.prior[kinds.of_tag]
        return np.asarray(votes @ ((self.total - self.tried * self.mean) / (self.tried + prior)))[:, None]

    def expected(self, member: Membership, kinds: TagKinds) -> Values:
        """Its expected quality on each prompt, float64 [n], before it is bounded."""
        return self.maps(self.sums(kinds.votes(member, ScoreVariant()), kinds))[:, 0]


@dataclass(frozen=True)
class TagEvidence:
    """Everything that scores are made of. Law: a candidate's column depends on its own outcomes and the reference's.

    `tallies` is [tags, c], `overall` [1, c]; `prior` [kinds], `usual_level` and `usual_information` were learnt from
    the candidates of the fit and serve those that join.
    """

    kinds: TagKinds
    variant: ScoreVariant
    reference: ReferenceCandidate
    tallies: Tallies
    overall: Tallies
    prior: Values
    maps: RisingLines
    usual_level: float
    usual_information: float

    @classmethod
    def fit(
        cls, reference: int, quality: FloatMatrix, member: Membership, kinds: TagKinds, variant: ScoreVariant
    ) -> TagEvidence:
        """From qualities [n, c], NaN where a candidate was not tried, and the tags of the same prompts."""
        reference_quality = quality[:, reference].astype(np.float64)
        baseline = ReferenceCandidate.fit(reference, reference_quality, member, kinds)
        expected = np.clip(baseline.expected(member, kinds), 0.0, 1.0)
        outcomes = against(quality, reference_quality, expected)
        tallies, overall = outcomes.by_tag(member), outcomes.overall()
        prior = _prior(tallies, overall, variant, kinds)
        blank = cls(
            kinds, variant, baseline, tallies, overall, prior, RisingLines(*np.zeros((3, quality.shape[1]))), 0.0, 0.0
        )
        sums, target = blank._held_out(outcomes, member), _gap(quality, reference_quality, expected)
        others = np.flatnonzero((overall.tried[0] > 0) & (np.arange(quality.shape[1]) != reference))
        level = float(np.nanmean(target[:, others])) if len(others) else 0.0
        usual = _USUAL_SHARE * float(information(sums, target)[others].mean()) if len(others) else 0.0
        maps = fit_maps(sums, target, level, usual)
        maps.level[reference] = maps.slope[reference] = 0.0
        return replace(blank, maps=maps, usual_level=level, usual_information=usual)

    def joined(self, quality: FloatMatrix, reference_quality: Values, member: Membership) -> TagEvidence:
        """With new candidates, from their qualities [n, new] alone; `reference_quality` [n] may be NaN."""
        expected = np.clip(self.reference.expected(member, self.kinds), 0.0, 1.0)
        outcomes = against(quality, reference_quality, expected)
        new = replace(self, tallies=outcomes.by_tag(member), overall=outcomes.overall())
        sums, target = new._held_out(outcomes, member), _gap(quality, reference_quality, expected)
        maps = fit_maps(sums, target, self.usual_level, self.usual_information)
        return replace(
            self,
            tallies=self.tallies.beside(new.tallies),
            overall=self.overall.beside(new.overall),
            maps=self.maps.beside(maps),
        )

    @cached_property
    def scores(self) -> Values:
        """score(M, t), float64 [tags, c]."""
        return evidence(self.tallies, self.overall, self.prior[self.kinds.of_tag], self.variant)

    def sums(self, member: Membership) -> Values:
        """Sums of scores over each prompt's tags, float64 [n, c]."""
        return np.asarray(self.kinds.votes(member, self.variant) @ self.scores)

    def quality(self, member: Membership) -> FloatMatrix:
        """Expected quality of each candidate, float32 [n, c] in 0..1; .5 for one that was never tried."""
        gap = self.maps(self.sums(member))
        found = bounded(self.reference.expected(member, self.kinds)[:, None] + gap)
        return np.where(self.overall.tried > 0, found, np.float32(_UNKNOWN))

    def tensors(self) -> dict[str, Any]:
        """Every array, float64."""
        reference = self.reference
        tallies = {name: getattr(self.tallies, name) for name in TALLIES}
        overall = {f"overall.{name}": getattr(self.overall, name) for name in TALLIES}
        own = {f"reference.{name}": getattr(reference, name) for name in ("total", "tried", "prior")}
        maps = {f"maps.{name}": getattr(self.maps, name) for name in MAPS}
        baseline = {f"reference.{name}": getattr(reference.maps, name) for name in MAPS}
        arrays = {**tallies, **overall, **own, **maps, **baseline, "prior": self.prior}
        return {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in arrays.items()}

    def facts(self) -> dict[str, Any]:
        """What `tensors` does not hold."""
        return {
            "variant": asdict(self.variant),
            "reference": self.reference.column,
            "reference_mean": self.reference.mean,
            "usual_level": self.usual_level,
            "usual_information": self.usual_information,
        }

    @classmethod
    def load(cls, facts: dict[str, Any], tensors: dict[str, Any], kinds: TagKinds) -> TagEvidence:
        """The inverse of `facts` and `tensors`."""
        baseline = RisingLines(*(tensors[f"reference.{name}"] for name in MAPS))
        total, tried = tensors["reference.total"], tensors["reference.tried"]
        mean, prior = float(facts["reference_mean"]), tensors["reference.prior"]
        return cls(
            kinds,
            ScoreVariant(**facts["variant"]),
            ReferenceCandidate(int(facts["reference"]), total, tried, mean, prior, baseline),
            Tallies(*(tensors[name] for name in TALLIES)),
            Tallies(*(tensors[f"overall.{name}"] for name in TALLIES)),
            tensors["prior"],
            RisingLines(*(tensors[f"maps.{name}"] for name in MAPS)),
            float(facts["usual_level"]),
            float(facts["usual_information"]),
        )

    def _held_out(self, outcomes: Tallies, member: Membership) -> Values:
        """Sums [n, c] of the training prompts, each from tallies without those of its own fifth of the prompts."""
        sums = np.zeros(outcomes.wins.shape)
        for rows in parts(len(sums)):
            inside = outcomes.of(rows)
            tallies = self.tallies.without(inside.by_tag(member[rows]))
            rest = replace(self, tallies=tallies, overall=self.overall.without(inside.overall()))
            sums[rows] = rest.sums(member[rows])
        return sums


def _prior(tallies: Tallies, overall: Tallies, variant: ScoreVariant, kinds: TagKinds) -> Values:
    tie, count = variant.tie, np.maximum(overall.tried[0], 1.0)
    mean = overall.net(tie)[0] / count
    variance = (overall.wins + tie * tie * overall.ties + overall.losses)[0] / count - mean * mean
    return shrinkage(tallies.net(tie), tallies.tried, np.maximum(variance, 0.0), mean, kinds)


def _gap(quality: FloatMatrix, reference_quality: Values, expected: Values) -> Values:
    """How much better than the reference each answer is, or than it is expected to be where it was not tried."""
    return np.asarray(
        quality.astype(np.float64) - np.where(np.isnan(reference_quality), expected, reference_quality)[:, None]
    )
