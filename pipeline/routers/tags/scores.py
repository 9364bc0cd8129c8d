"""From tallies to scores: evidence of each tag, sums over a prompt's tags, and each candidate's expected quality.

score(M, t) = w_t x (wins + s ties - losses), w_t = (1 - exp(-n_t)) / n: TagRouter's scorer (arXiv 2506.12473). What is
ours: rates that are shrunk by as much as the tags of a kind really differ, one vote for each kind of tag, and the map
from sums to quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sparse

from pipeline.metrics.cost_quality import beats
from pipeline.routers.tags.tag_sources import Membership
from pipeline.runtime.arrays import FloatMatrix, Values

MAPS = ("level", "slope", "centre")
_PARTS = 5
_PRIOR_PROMPTS = 10.0
_LEAST_PRIOR, _MOST_PRIOR = 1.0, 1e4
_KNEE = 0.05


@dataclass(frozen=True)
class ScoreVariant:
    """How tallies become evidence: the value of a tie and the variants that `TagsParams` explains."""

    tie: float = 0.0
    evidence: Literal["rates", "counts"] = "rates"
    total: Literal["tag", "all"] = "all"
    votes: Literal["kinds", "tags"] = "kinds"


@dataclass(frozen=True)
class TagKinds:
    """Which kind each tag is of, int64 [tags], how many kinds there are, and the mean number of tags a prompt."""

    of_tag: Any
    count: int
    mean_tags: float

    def votes(self, member: Membership, variant: ScoreVariant) -> Membership:
        """How much each tag of each prompt [n, tags] says: each kind alike, divided by its tags, or each tag alike."""
        if variant.votes == "tags":
            return member / max(self.mean_tags, 1.0)
        one_hot = sparse.csr_matrix(
            (np.ones(len(self.of_tag)), (np.arange(len(self.of_tag)), self.of_tag)),
            shape=(len(self.of_tag), max(self.count, 1)),
        )
        of_kind = np.asarray((member @ one_hot).todense())
        rows = np.repeat(np.arange(member.shape[0]), np.diff(member.indptr))
        share = 1.0 / (of_kind[rows, self.of_tag[member.indices]] * max(self.count, 1))
        return sparse.csr_matrix((share, member.indices, member.indptr), shape=member.shape)


def evidence(tallies: Tallies, overall: Tallies, prior: Values, variant: ScoreVariant) -> Values:
    """score(M, t), float64 [tags, c]; `prior` [tags] outcomes of the candidate's overall rate are added to each tag.

    Rates are those above the candidate's overall rate. Weights are scaled so that they are 1 for the average outcome:
    only their proportion matters, and sums stay in the unit of a rate.
    """
    tried, net = tallies.tried, tallies.net(variant.tie)
    mean = overall.net(variant.tie) / np.maximum(overall.tried, 1.0)
    total = tried if variant.total == "tag" else tried.sum(axis=0, keepdims=True)
    weight = (1.0 - np.exp(-tried)) / np.maximum(total, 1.0)
    if variant.evidence == "rates":
        value, size = (net - tried * mean) / (tried + prior[:, None]), tried
    else:
        value, size = net, tried * tried
    scale = (size * weight).sum(axis=0) / np.maximum(tried.sum(axis=0), 1.0)
    return np.asarray(weight * value / np.where(scale > 0, scale, 1.0))


def shrinkage(total: Values, tried: Values, variance: Values, mean: Values, kinds: TagKinds) -> Values:
    """By how many outcomes each kind's tags are shrunk, float64 [kinds]: the variance within tags over that between.

    The usual moment estimate, pooled over candidates: where tags of a kind differ no more than chance, it is large.
    `total` and `tried` are float64 [tags, c], `variance` of one outcome and `mean` [c].
    """
    prior = np.full(kinds.count, _MOST_PRIOR)
    deviation = tried * (total / np.maximum(tried, 1e-9) - mean) ** 2
    for kind in range(kinds.count):
        rows = kinds.of_tag == kind
        seen = (tried[rows] > 0).sum(axis=0)
        between = (deviation[rows].sum(axis=0) - seen * variance) / np.maximum(tried[rows].sum(axis=0), 1.0)
        prior[kind] = variance.sum() / max(np.maximum(between, 0.0).sum(), 1e-9)
    return np.asarray(np.clip(prior, _LEAST_PRIOR, _MOST_PRIOR))


@dataclass(frozen=True)
class RisingLines:
    """Rising straight lines from sums to what they are to predict, one a candidate: float64 [c] each."""

    level: Values
    slope: Values
    centre: Values

    def __call__(self, sums: Values) -> Values:
        return np.asarray(self.level + self.slope * (sums - self.centre))

    def beside(self, other: RisingLines) -> RisingLines:
        return RisingLines(*(np.append(getattr(self, name), getattr(other, name)) for name in MAPS))


def information(sums: Values, target: Values) -> Values:
    """How much the sums [n, c] vary where the target is known, float64 [c]."""
    known = ~np.isnan(target)
    centre = np.where(known, sums, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.where(known, (sums - centre) ** 2, 0.0).sum(axis=0))


def fit_maps(sums: Values, target: Values, usual_level: float, usual_information: float) -> RisingLines:
    """Least squares from held-out sums to a target [n, c], NaN where unknown.

    A slope is drawn to 1, since sums are in the target's unit, as if by the information that a candidate usually has; a
    level is drawn to the usual one as if by ten prompts.
    """
    known = ~np.isnan(target)
    count = known.sum(axis=0)
    value = np.where(known, target, 0.0)
    mean = value.sum(axis=0) / np.maximum(count, 1)
    centre = np.where(known, sums, 0.0).sum(axis=0) / np.maximum(count, 1)
    offset = np.where(known, sums - centre, 0.0)
    above = (offset * np.where(known, value - mean, 0.0)).sum(axis=0) + usual_information
    below = (offset * offset).sum(axis=0) + usual_information
    slope = np.where(below > 0, above / np.where(below > 0, below, 1.0), 1.0)
    level = (count * mean + _PRIOR_PROMPTS * usual_level) / (count + _PRIOR_PROMPTS)
    return RisingLines(level, np.maximum(slope, 0.0), centre)


def parts(rows: int) -> list[Any]:
    """Row numbers in five parts of like size."""
    return [np.arange(start, rows, _PARTS) for start in range(min(_PARTS, rows))]


def bounded(quality: Values) -> FloatMatrix:
    """Expected qualities inside 0..1; what nears a limit is bent towards it, so that their order stays."""
    high, low = 1.0 - _KNEE, _KNEE
    bent = np.where(quality > high, high + _KNEE * np.tanh((quality - high) / _KNEE), quality)
    bent = np.where(bent < low, low + _KNEE * np.tanh((bent - low) / _KNEE), bent)
    return np.asarray(bent, dtype=np.float32)


NAMES = ("wins", "ties", "losses")


@dataclass(frozen=True)
class Tallies:
    """Wins, ties and losses, float64 [rows, candidates] each; a row is a prompt or a tag.

    A cell that was not tried holds zero of each, so it counts as nothing at all.
    """

    wins: Values
    ties: Values
    losses: Values

    @property
    def tried(self) -> Values:
        return self.wins + self.ties + self.losses

    def net(self, tie: float) -> Values:
        """wins + s ties - losses."""
        return self.wins + tie * self.ties - self.losses

    def by_tag(self, member: Any) -> Tallies:
        """Of prompts [n, c], their sums over the prompts that have each tag (`member` [n, tags])."""
        return Tallies(*(np.asarray(member.T @ values) for values in self._parts))

    def of(self, rows: Any) -> Tallies:
        return Tallies(*(values[rows] for values in self._parts))

    def overall(self) -> Tallies:
        """Sums over all rows, [1, c]."""
        return Tallies(*(values.sum(axis=0, keepdims=True) for values in self._parts))

    def without(self, other: Tallies) -> Tallies:
        return Tallies(*(mine - theirs for mine, theirs in zip(self._parts, other._parts, strict=True)))

    def beside(self, other: Tallies) -> Tallies:
        """These candidates' columns followed by the other's."""
        return Tallies(*(np.hstack(pair) for pair in zip(self._parts, other._parts, strict=True)))

    @property
    def _parts(self) -> tuple[Values, Values, Values]:
        return self.wins, self.ties, self.losses


def against(quality: FloatMatrix, reference_quality: Values, expected: Values) -> Tallies:
    """Each candidate's outcome [n, c] against the reference on each prompt; a difference of at most .05 is a tie.

    `reference_quality` is float64 [n]. Where the reference was not tried (NaN), `expected` [n] in 0..1 is how surely it
    would have been right: a right answer then wins by the rest, and a wrong one loses by that much.
    """
    wins, losses = _sides(quality, reference_quality[:, None])
    above, _ = _sides(quality, np.zeros_like(reference_quality)[:, None])
    _, below = _sides(quality, np.ones_like(reference_quality)[:, None])
    unknown, sure = np.isnan(reference_quality)[:, None], expected[:, None]
    wins = np.where(unknown, (1 - sure) * above, wins)
    losses = np.where(unknown, sure * below, losses)
    tried = ~np.isnan(quality)
    return Tallies(*(np.where(tried, part, 0.0) for part in (wins, 1.0 - wins - losses, losses)))


def _sides(quality: FloatMatrix, reference_quality: Values) -> tuple[Values, Values]:
    own = quality.astype(np.float64)
    return beats(own, reference_quality).astype(np.float64), beats(reference_quality, own).astype(np.float64)
