"""A scorer with its calibration, policy and costs: a complete router that can be saved and loaded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.data.pool import PoolCandidate, eligible_matrix, offered
from pipeline.data.prices import Priced
from pipeline.data.shared_prefixes import shared_prefixes, without_prefix
from pipeline.encoders.encoder_files import encoder_identity
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.languages.detection import unsupported_languages
from pipeline.encoders.quantised import MakeInt8
from pipeline.encoders.windows import EncodedPrompts
from pipeline.learning.calibration import Calibration, fit_calibration
from pipeline.policies.policy import AUTO, BestPolicy, DoubtPolicy, Policy, PolicyParams, policy_from_json
from pipeline.policies.selection import (
    Chosen,
    Facts,
    HeldOutOutcomes,
    choose_policy,
    choose_willingness,
    require_possible,
)
from pipeline.routers.base.cost_model import CostModel, cross_fit_costs, fit_costs, prices_of, tokens_in
from pipeline.routers.base.protocol import CanExplain, CanJoin, Fitted, KnowsUncertainty, Predictions, Scorer
from pipeline.routers.base.windowed_scores import errors_of, out_of_distribution, scores_of
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values
from pipeline.runtime.errors import InputError, VerificationFailed, listed
from pipeline.runtime.tables import write_json

FORMAT = 1
DESCRIPTION = "router.json"
OWN_ENCODER = "encoder"


@dataclass(frozen=True)
class AnswerTerms:
    """On what terms n prompts can be answered: expected cost float64 [n, c] in USD, NaN where unknown, and who may.

    `allowed` is bool [n, c]; None where no pool bars anybody.
    """

    cost: Values
    allowed: Binary | None = None


class CalibratedRouter:
    """Any scorer behind the router protocol.

    `policy` says how it is to choose, `prices` at which prices its outcomes were paid, where that is known.

    Law: calibration and policy see held-out scores only; `predict` gives the same bytes after `save` and `load`.
    """

    def __init__(self, scorer: Scorer, policy: PolicyParams = AUTO, prices: Sequence[Priced] = ()) -> None:
        self.scorer = scorer
        self.params = policy
        self.prices = prices
        self.policy: Policy = BestPolicy()
        self.chosen_on: Facts = {}
        self.operating: Chosen | None = None
        self.calibration: Calibration | None = None
        self.prefixes: tuple[str, ...] = ()
        self.costs = CostModel.constant(())
        self.encoder = ""
        self._candidates: tuple[str, ...] = ()

    @property
    def candidates(self) -> tuple[str, ...]:
        return self._candidates

    @property
    def can_reprice(self) -> bool:
        """Whether the prices of a pool replace those of training; else a pool says only who may answer."""
        return self.costs.prices is not None

    def fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> Fitted:
        """Learn, calibrate and choose the policy's numbers.

        `folds` gives each row's fold (0, 1, ...), or -1: never held out. `int8` makes an encoder's quantised form,
        where it is to be measured what that would cost.

        Raises:
            InputError: a single prompt, from which nothing can be held out; a candidate without a price, where prices
                are given; a policy that the table or the system cannot have.
        """
        if self.params.doubt and not isinstance(self.scorer, KnowsUncertainty):
            raise InputError(f"policy.doubt: a {self.scorer.name} router knows no uncertainty; leave it out")
        has_costs = bool(np.isfinite(outcomes.cost).any())
        require_possible(self.params, outcomes.candidates, outcomes.is_labels, has_costs, has_errors=True)
        if len(outcomes) < 2:
            raise InputError("a router needs at least 2 prompts to learn from; add rows")
        self._candidates = outcomes.candidates
        tokens = tokens_in(outcomes.prompts)
        paid = self._paid(outcomes.candidates, self.prices)
        self.costs = fit_costs(tokens, outcomes, paid)
        cost = cross_fit_costs(tokens, outcomes, folds, paid)
        self.prefixes = shared_prefixes(outcomes.prompts)
        outcomes = self._unprefixed(outcomes)
        found = self.scorer.cross_fit(outcomes, folds, int8)
        rows = np.flatnonzero(~np.isnan(found.scores).any(axis=1))
        if not len(rows):
            raise InputError("the encoder makes of the prompts what is no finite number; name another in train.encoder")
        if outcomes.is_labels:
            self.calibration = fit_calibration(
                found.scores[rows], outcomes.quality[rows], folds[rows], outcomes.is_exclusive
            )
        held_out = self._expected_of(found.scores, rows)
        coarse = None if found.int8 is None else self._expected_of(found.int8, rows)
        fitted = Fitted(held_out, cost, None if outcomes.is_labels else found.error, coarse)
        self._choose(outcomes, folds, rows, fitted)
        self.scorer.fit(outcomes)
        return fitted

    def _expected_of(self, scores: FloatMatrix, rows: Indices) -> FloatMatrix:
        """Expected quality float32 [n, c] of some rows, NaN of the others."""
        found = np.full(scores.shape, np.nan, dtype=np.float32)
        found[rows] = self._expected(scores[rows])
        return found

    def _choose(self, outcomes: Outcomes, folds: Indices, rows: Indices, fitted: Fitted) -> None:
        """The policy; and for graded outcomes with costs also the willingness at which it could operate."""
        judged = HeldOutOutcomes(
            outcomes.candidates, fitted.held_out[rows].astype(np.float64), fitted.cost[rows],
            outcomes.quality[rows].astype(np.float64), outcomes.cost[rows].astype(np.float64), folds[rows],
            None if fitted.error is None else fitted.error[rows],
        )  # fmt: skip
        chosen = choose_policy(self.params, judged, outcomes.is_labels, outcomes.is_exclusive)
        self.policy, self.chosen_on = chosen.policy, chosen.chosen_on
        if self.params.kind == "willingness":
            self.operating = chosen
        elif judged.has_costs and not outcomes.is_labels:
            self.operating = choose_willingness(PolicyParams(kind="willingness", give_up=self.params.give_up), judged)

    def join(self, outcomes: Outcomes, prices: Sequence[Priced] = ()) -> None:
        """Take in candidates from their outcomes alone; what is known of the others does not change.

        `outcomes` has this router's candidates, in its order, and after them the new ones; `prices` are needed where
        it was fitted with some.

        Raises:
            InputError: the system needs a refit for that, or the candidates are not so; nothing has changed then.
        """
        if not isinstance(self.scorer, CanJoin) or self.calibration is not None:
            raise InputError(f"a {self.scorer.name} router cannot take in a candidate without a refit; fit it again")
        known = len(self._candidates)
        new = outcomes.candidates[known:]
        if outcomes.candidates[:known] != self._candidates or not new:
            raise InputError(
                f"the router knows {listed(self._candidates)}; give their outcomes in this order, then the new ones'"
            )
        added = replace(outcomes, candidates=new, quality=outcomes.quality[:, known:], cost=outcomes.cost[:, known:])
        costs = self.costs.joined(fit_costs(tokens_in(outcomes.prompts), added, self._paid(new, prices)))
        self.scorer.join(self._unprefixed(outcomes))
        self._candidates, self.costs = outcomes.candidates, costs

    @staticmethod
    def _paid(candidates: Sequence[str], prices: Sequence[Priced]) -> Values | None:
        return prices_of(offered(prices, candidates)) if prices else None

    def predict(
        self,
        prompts: Sequence[str],
        pool: Sequence[PoolCandidate] | None = None,
        labels: Sequence[Collection[str]] | None = None,
    ) -> Predictions:
        """Quality, cost and choice for each prompt, in the order given.

        With a `pool` its prices hold, and nobody is chosen who is retired, has too small a context, or may not be sent
        a prompt with these `labels` (a collection a prompt). Where nobody is left for a prompt, nobody is chosen.

        Raises:
            InputError: the pool does not know a candidate, or there are labels and no pool.
        """
        if not prompts:
            empty = np.zeros((0, len(self._candidates)), dtype=np.float32)
            return Predictions(self._candidates, empty, empty.astype(np.float64), empty.astype(np.bool_))
        return self.judge(prompts, self.read(prompts), self.terms(prompts, pool, labels))

    def read(self, prompts: Sequence[str]) -> EncodedPrompts | None:
        """The prompts' vectors, or None where the system needs none."""
        return self.scorer.embedding.read(self.followed(prompts)) if self.scorer.embedding else None

    def is_new(self, prompts: Sequence[str], reading: EncodedPrompts | None) -> Binary | None:
        """Which prompts match no task that was learnt, bool [n]; None where the system cannot tell."""
        return out_of_distribution(self.scorer, self.followed(prompts), reading)

    def unsupported_languages(self, prompts: Sequence[str]) -> list[str | None] | None:
        """Of each prompt the language that the encoder was not made for; None without an encoder, which reads any."""
        found = self.scorer.embedding
        return unsupported_languages(found, self.followed(prompts)) if found else None

    def explain(self, prompt: str) -> dict[str, Any] | None:
        """Why a prompt gets its scores, as plain values; None where the system cannot say more than the scores.

        Of a prompt too long for the encoder, what is said concerns its ends, which are read first.
        """
        if not isinstance(self.scorer, CanExplain):
            return None
        reading = self.read([prompt])
        vector = np.zeros(0, dtype=np.float32) if reading is None else reading.vectors[0]
        return self.scorer.explain(self.followed([prompt])[0], vector).to_json()

    def followed(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """What follows the beginnings that many train prompts share; only that tells them apart."""
        return tuple(without_prefix(text, self.prefixes) if self.prefixes else text for text in prompts)

    def _unprefixed(self, outcomes: Outcomes) -> Outcomes:
        return replace(outcomes, prompts=self.followed(outcomes.prompts), datasets=None)

    def terms(
        self,
        prompts: Sequence[str],
        pool: Sequence[PoolCandidate] | None = None,
        labels: Sequence[Collection[str]] | None = None,
    ) -> AnswerTerms:
        """Expected costs, and who may answer. No encoder is asked. Arguments and errors as for `predict`."""
        tokens = tokens_in(prompts)
        if pool is None:
            if any(labels or ()):
                raise InputError(
                    "labels need a pool that says what may not be sent to whom; name a pool.yaml with --pool"
                )
            return AnswerTerms(self.costs.usd(tokens))
        entries = offered(pool, self._candidates)
        allowed = eligible_matrix(entries, tokens, labels or [()] * len(prompts), self.costs.lengths(tokens))
        return AnswerTerms(self.costs.usd(tokens, prices_of(entries)), allowed)

    def judge(
        self, prompts: Sequence[str], reading: EncodedPrompts | None, terms: AnswerTerms | None = None
    ) -> Predictions:
        """Quality, cost and choice of prompts that were read already, on these terms; by default without a pool."""
        followed = self.followed(prompts)
        quality = self._qualities(followed, reading)
        error = errors_of(self.scorer, followed, reading) if isinstance(self.policy, DoubtPolicy) else None
        terms = terms or self.terms(prompts)
        chosen = self.policy.choose(quality, terms.cost, terms.allowed, error)
        operating = self.operating.policy.choose(quality, terms.cost, terms.allowed, error) if self.operating else None
        return Predictions(self._candidates, quality, terms.cost, chosen, operating, error)

    def _qualities(self, prompts: Sequence[str], reading: EncodedPrompts | None) -> FloatMatrix:
        """A prompt too long for the encoder is scored by its two ends and by its windows: one window is enough to ask
        for an agent, while a graded quality is the windows' mean.
        """
        scores = scores_of(self.scorer, prompts, reading, np.maximum if self.calibration else np.add)
        if (found := scores.shape[1]) != (known := len(self._candidates)):
            raise VerificationFailed(
                f"a damaged router: {found} candidates have scores, and {known} names; fit it again"
            )
        expected = self._expected(scores)
        if not np.isfinite(expected).all():
            raise VerificationFailed("a damaged router: it expects what is no finite number; fit it again")
        return expected

    def _expected(self, scores: FloatMatrix) -> FloatMatrix:
        """Expected quality in 0..1 from scores: calibrated where the router learnt from labels, else as they are."""
        return self.calibration.probabilities(scores) if self.calibration else np.clip(scores, 0.0, 1.0)

    def save(self, folder: Path) -> None:
        """Write the router's folder: router.json and the scorer's own files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.scorer.save(folder)
        description = {
            "format": FORMAT,
            "system": self.scorer.name,
            "candidates": list(self._candidates),
            "prefixes": list(self.prefixes),
            "costs": self.costs.to_json(),
            "calibration": self.calibration.to_json() if self.calibration else None,
            "policy": self.policy.to_json(),
            "chosen_on": self.chosen_on,
            "operating": self.operating.to_json() if self.operating else None,
            "encoder": self._encoder(folder),
        }
        write_json(description, folder / DESCRIPTION)

    def _encoder(self, folder: Path) -> str:
        """Which encoder everything was chosen with; empty for a system that has none."""
        if (folder / OWN_ENCODER).is_dir():
            return encoder_identity(str(folder / OWN_ENCODER))
        embedding = self.scorer.embedding
        return encoder_identity(embedding.encoder) if isinstance(embedding, FrozenEmbedding) else self.encoder

    def restore(self, description: dict[str, Any], folder: Path) -> None:
        """The inverse of `save`, from router.json's content; raises what a damaged folder raises."""
        self.scorer.load(folder)
        self._candidates = tuple(description["candidates"])
        if not all(isinstance(name, str) for name in self._candidates) or len({*self._candidates}) < len(
            self._candidates
        ):
            raise ValueError("candidates are no names that differ")
        self.prefixes = tuple(description.get("prefixes", ()))
        self.costs = CostModel.from_json(description["costs"])
        if description["calibration"] is not None:
            self.calibration = Calibration.from_json(description["calibration"])
        self.policy = policy_from_json(description["policy"])
        self.chosen_on, self.encoder = description.get("chosen_on", {}), description.get("encoder", "")
        if (operating := description.get("operating")) is not None:
            self.operating = Chosen(policy_from_json(operating["policy"]), operating["chosen_on"])
