"""What it gives to doubt: `tasks` with policy.doubt 0, 1, 2 beside the plain sweep over lambda.

    python -m benchmarks.doubt TABLE [--folds 2] [--threads 1]

The table needs costs and a column `fold`; `--folds` says on how many of its folds is judged. Lambdas are swept on the
rows that are judged (optimistic, for every doubt alike). A difference is paired, at the same mean cost.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import signed
from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.evaluation.reference_strategies import RememberedEmbedding
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Resampled
from pipeline.metrics.candidate_means import known_mean
from pipeline.policies.policy import BestPolicy, Policy, PolicyParams, WillingnessPolicy, doubting
from pipeline.routers.base.protocol import gathered
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.arrays import Indices, Values
from pipeline.runtime.reproducibility import pin

SEED, FOLDS = 0, 3
DOUBTS = (0.0, 0.5, 1.0, 2.0)
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Judged:
    """n judged prompts: what was expected of c candidates with its standard error, and what came of it; [n, c]."""

    quality: Values
    cost: Values
    error: Values
    got: Values
    paid: Values

    def choice(self, policy: Policy) -> Indices:
        chosen = policy.choose(self.quality.astype(np.float32), self.cost, error=self.error)
        return np.asarray(chosen.argmax(axis=1), dtype=np.int64)

    def means(self, picks: Indices) -> tuple[float, float]:
        """Mean cost and quality."""
        return float(known_mean(m.taken(self.paid, picks))), float(known_mean(m.taken(self.got, picks)))


def judged(outcomes: Outcomes, folds: int, params: FinetuningParams) -> tuple[Judged, list[float]]:
    """Held-out expectations of the first folds, and the lambda that train chose in each."""
    assert outcomes.folds is not None
    embedding = RememberedEmbedding(params.encoder, params.max_tokens)
    made, lambdas = [], []
    for fold in np.unique(outcomes.folds)[:folds]:
        train, rows = outcomes.rows(np.flatnonzero(outcomes.folds != fold)), np.flatnonzero(outcomes.folds == fold)
        router = CalibratedRouter(TasksScorer(embedding, SEED), PolicyParams(doubt=1.0))
        router.fit(train, inner_folds(train, FOLDS, SEED))
        made.append((rows, router.predict([outcomes.prompts[i] for i in rows])))
        operating = router.operating.policy if router.operating else None
        lambdas.append(operating.quality_per_usd if isinstance(operating, WillingnessPolicy) else np.nan)
    order = np.sort(np.concatenate([rows for rows, _ in made]))
    place = np.full(len(outcomes), -1)
    place[order] = np.arange(len(order))
    found = gathered([(place[rows], predictions) for rows, predictions in made])
    assert found.error is not None
    truth = outcomes.rows(order)
    parts = (found.quality, found.cost, found.error, truth.quality, truth.cost)
    return Judged(*(part.astype(np.float64) for part in parts)), lambdas


def swept(found: Judged, doubt: float) -> list[tuple[float, float, Indices]]:
    """Mean cost, mean quality and choices at each lambda."""
    points = []
    for rate in m.willingness(found.cost):
        picks = found.choice(doubting(WillingnessPolicy(float(rate)), doubt))
        points.append((*found.means(picks), picks))
    return points


def at(points: list[tuple[float, float, Indices]], cost: float) -> tuple[float, float, Indices]:
    """The point of highest quality within a mean cost."""
    return max((point for point in points if point[0] <= cost), key=lambda point: point[1])


def hull(points: list[tuple[float, float, Indices]]) -> m.Curve:
    """What mixtures of the points reach."""
    return m.frontier(m.Curve(np.array([point[0] for point in points]), np.array([point[1] for point in points])))


def printed(found: Judged, lambdas: list[float]) -> None:
    dearest = float(np.nanmax(known_mean(found.paid, axis=0)))
    plain = swept(found, 0.0)
    print(f"{len(found.got)} prompts; lambda chosen in train {', '.join(f'{rate:.3g}' for rate in lambdas)}")
    print(f"mean standard error {found.error.mean():.4f}; dearest candidate USD {dearest:.5f}")
    print("| doubt | " + " | ".join(f"{share:.0%} of the dearest's cost" for share in SHARES) + " | area |")
    for doubt in DOUBTS:
        points = swept(found, doubt)
        front = hull(points)
        cells = []
        for share in SHARES:
            mine, other = at(points, share * dearest), at(plain, share * dearest)
            apart = Resampled.of([m.taken(found.got, mine[2]) - m.taken(found.got, other[2])]).estimate(0)
            cells.append(f"{mine[1]:.4f} ({signed(apart)})")
        area = m.aiq(front, float(np.nanmin(known_mean(found.paid, axis=0))), dearest)
        print(f"| {doubt:g} | {' | '.join(cells)} | {area:.4f} |")
    print(
        "| quality first, doubt | quality | of the dearest's cost | plain sweep, mixtures of its points, at that cost |"
    )
    for doubt in DOUBTS:
        cost, quality = found.means(found.choice(doubting(BestPolicy(), doubt)))
        print(f"| {doubt:g} | {quality:.4f} | {cost / dearest:.0%} | {m.quality_at(hull(plain), cost):.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Paying more only for what is beyond doubt, beside the sweep of lambda"
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    pin(SEED, asked.threads)
    outcomes = read_outcomes(asked.table)
    if outcomes.folds is None or outcomes.is_labels:
        raise SystemExit(f"{asked.table} needs the columns candidate, quality, cost and fold")
    printed(*judged(outcomes, asked.folds, FinetuningParams()))


if __name__ == "__main__":
    main()
