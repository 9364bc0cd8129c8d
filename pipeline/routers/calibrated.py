"""A scorer with its calibration, policy and costs: a complete router that can be saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from pipeline.calibration import Calibration, fit_calibration
from pipeline.errors import InputError, VerificationFailed
from pipeline.folds import Folds
from pipeline.outcomes import FloatMatrix, Outcomes
from pipeline.policies import BestPolicy, Policy, fit_subset_policy, policy_from_json
from pipeline.routers.onnx_encoder import OnnxEncoder
from pipeline.routers.prefixes import shared_prefixes, without_prefix
from pipeline.routers.protocol import Predictions, Quantised, Scorer
from pipeline.routers.windows import Reading
from pipeline.tables import write_json

FORMAT = 1
DESCRIPTION = "router.json"


class CalibratedRouter:
    """Any scorer behind the router protocol.

    Law: calibration and policy see held-out scores only; `predict` gives the same bytes after `save` and `load`.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.policy: Policy = BestPolicy()
        self.calibration: Calibration | None = None
        self.held_out: FloatMatrix | None = None
        self.quantised: Quantised | None = None
        self.prefixes: tuple[str, ...] = ()
        self._candidates: tuple[str, ...] = ()
        self._costs = np.zeros(0, dtype=np.float32)

    @property
    def candidates(self) -> tuple[str, ...]:
        return self._candidates

    def fit(self, outcomes: Outcomes, folds: Folds) -> None:
        """Learn, calibrate and choose thresholds.

        Raises:
            InputError: a single prompt, from which nothing can be held out.
        """
        if len(outcomes) < 2:
            raise InputError("a router needs at least 2 prompts to learn from; add rows")
        self._candidates = outcomes.candidates
        self.prefixes = shared_prefixes(outcomes.prompts)
        outcomes = replace(outcomes, prompts=self._followed(outcomes.prompts), datasets=None)
        with np.errstate(invalid="ignore"):
            known = ~np.isnan(outcomes.cost)
            total = np.where(known, outcomes.cost, 0.0).sum(axis=0)
            self._costs = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan).astype(
                np.float32
            )
        scores = self.scorer.cross_fit(outcomes, folds)
        if outcomes.is_labels:
            rows = np.flatnonzero(~np.isnan(scores).any(axis=1))
            labels = outcomes.quality[rows]
            self.calibration = fit_calibration(scores[rows], labels, folds[rows])
            self.held_out = np.full(scores.shape, np.nan, dtype=np.float32)
            self.held_out[rows] = self.calibration.probabilities(scores[rows])
            self.policy = fit_subset_policy(self.held_out[rows], labels)
            self.quantised = self._calibrated(self.scorer.quantised)
        else:
            self.held_out = np.clip(scores, 0.0, 1.0)
        self.scorer.fit(outcomes)

    def predict(self, prompts: Sequence[str]) -> Predictions:
        """Quality, cost and choice for each prompt, in the order given."""
        if not prompts:
            empty = np.zeros((0, len(self._candidates)), dtype=np.float32)
            return Predictions(self._candidates, empty, empty, empty.astype(np.bool_))
        return self.judge(prompts, self.read(prompts))

    def read(self, prompts: Sequence[str]) -> Reading | None:
        """The prompts' vectors, or None where the system needs none."""
        return self.scorer.embedding.read(self._followed(prompts)) if self.scorer.embedding else None

    def _followed(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """What follows the beginnings that many train prompts share; only that tells them apart."""
        return tuple(without_prefix(text, self.prefixes) if self.prefixes else text for text in prompts)

    def judge(self, prompts: Sequence[str], reading: Reading | None) -> Predictions:
        """Quality, cost and choice of prompts that were read already.

        A prompt too long for the encoder is scored by its two ends and by its windows: one window is enough to ask
        for an agent, while a graded quality is the windows' mean.
        """
        prompts = self._followed(prompts)
        if reading is None:
            scores = self.scorer.scores(prompts, np.zeros((len(prompts), 0), dtype=np.float32))
        else:
            texts = [text for text, count in zip(prompts, reading.counts, strict=True) for _ in range(count)]
            scores = reading.combine(
                self.scorer.scores(texts, reading.vectors), np.maximum if self.calibration else np.add
            )
        quality = self.calibration.probabilities(scores) if self.calibration else np.clip(scores, 0.0, 1.0)
        cost = np.tile(self._costs, (len(prompts), 1))
        return Predictions(self._candidates, quality, cost, self.policy.choose(quality))

    def _calibrated(self, scores: Quantised | None) -> Quantised | None:
        """Held-out probabilities in both precisions, by the calibration that serves both."""
        if scores is None or self.calibration is None:
            return None
        return Quantised(self.calibration.probabilities(scores.fp32), self.calibration.probabilities(scores.int8))

    def save(self, folder: Path) -> None:
        """Write the router's folder: router.json and the scorer's own files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.scorer.save(folder)
        description = {
            "format": FORMAT,
            "system": self.scorer.name,
            "candidates": list(self._candidates),
            "prefixes": list(self.prefixes),
            "costs": [None if np.isnan(c) else round(float(c), 9) for c in self._costs],
            "calibration": self.calibration.to_json() if self.calibration else None,
            "policy": self.policy.to_json(),
        }
        write_json(description, folder / DESCRIPTION)


def load_router(
    folder: Path, scorers: dict[str, Callable[[], Scorer]], engine: Path | None = None, threads: int = 1
) -> CalibratedRouter:
    """Load a saved router; `scorers` makes an empty scorer for each system's name.

    Where `engine` is given, its encoder answers in place of the one in torch.

    Raises:
        InputError: the folder holds no router, or one of a system that this release does not know.
        VerificationFailed: it is damaged, or was written in a format that this release does not read.
    """
    description = _description(folder)
    if description.get("format") != FORMAT:
        found = description.get("format")
        raise VerificationFailed(
            f"{folder}: router format {found}, this release reads {FORMAT}; use a matching release"
        )
    system = str(description.get("system"))
    if system not in scorers:
        raise InputError(f"{folder} holds a '{system}' router; known are {', '.join(scorers)}")
    try:
        router = _loaded(folder, description, CalibratedRouter(scorers[system]()))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise VerificationFailed(f"{folder} holds a damaged router ({reason}); restore it or make it again") from error
    if engine is not None and router.scorer.embedding is not None:
        router.scorer.embedding = OnnxEncoder.load(engine, threads)
    return router


def _loaded(folder: Path, description: dict[str, Any], router: CalibratedRouter) -> CalibratedRouter:
    router.scorer.load(folder)
    router._candidates = tuple(description["candidates"])
    router.prefixes = tuple(description.get("prefixes", ()))
    router._costs = np.array([np.nan if c is None else c for c in description["costs"]], dtype=np.float32)
    if description["calibration"] is not None:
        router.calibration = Calibration.from_json(description["calibration"])
    router.policy = policy_from_json(description["policy"])
    return router


def _description(folder: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no router ({DESCRIPTION} is missing or broken); make one with fit") from error
    return value
