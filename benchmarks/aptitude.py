"""The router `aptitude` on outcome tables: candidates that it never saw, fewer answers, and a stream of releases.

    python -m benchmarks.aptitude TABLE... [--full] [--ablations] [--markdown FILE]

Each table needs a column `fold`. The first fold alone is judged, with --full every one. What a candidate got on the
judged prompts is seen by no fit; of one that is left out a fit sees its answers to the test's items alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.figures import correlation, difference
from benchmarks.left_out import (
    JOINED,
    NEIGHBOURS,
    TASKS,
    TRAINED,
    WITHOUT,
    LeftOut,
    Shop,
    columns,
    last,
    left_out,
    rows_of_items,
    scorer_of,
)  # fmt: skip
from benchmarks.releases import stream
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.evaluation.reference_strategies import RememberedEmbedding
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Resampled
from pipeline.metrics.candidate_means import known_mean
from pipeline.routers.base.settings import AptitudeParams, FinetuningParams
from pipeline.runtime.arrays import Values
from pipeline.runtime.reproducibility import pin

ASKED, CANDIDATES = 1000, 50
ANSWERS = (100, 200, 400, 1000)
MARGIN = 0.003


def folds_of(outcomes: Outcomes, every: bool) -> Iterator[tuple[Outcomes, Outcomes]]:
    """Train and test of the first fold, or of each."""
    if outcomes.folds is None or outcomes.is_labels:
        raise SystemExit("the table needs the columns candidate, quality and fold; give an outcome table with folds")
    for fold in np.unique(outcomes.folds)[: None if every else 1]:
        train, test = np.flatnonzero(outcomes.folds != fold), np.flatnonzero(outcomes.folds == fold)
        yield outcomes.rows(train), outcomes.rows(test)


def turns(shop: Shop, outcomes: Outcomes, every: bool) -> dict[str, list[LeftOut]]:
    """Each candidate's turn on each fold."""
    found: dict[str, list[LeftOut]] = {}
    for train, test in folds_of(outcomes, every):
        for candidate in outcomes.candidates:
            found.setdefault(candidate, []).append(left_out(shop, train, test, candidate))
            print(f"left out: {candidate}", flush=True)
    return found


def together(made: Sequence[LeftOut], name: str) -> Values:
    return np.concatenate([each.routed(name) for each in made])


def left_out_lines(found: dict[str, list[LeftOut]]) -> Iterator[str]:
    """A row a candidate: how well it is judged unseen, and the pool's quality."""
    heads = ("unseen", "its quality", "expected", "correlation", "without it", "joined", "trained with it",
             "joined - trained", "trained - without", "joined - knn", "joined - task means")  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for candidate, made in found.items():
        expected, got = (np.concatenate(each) for each in zip(*(turn.expected() for turn in made), strict=True))
        routed = {name: together(made, name) for name in (WITHOUT, JOINED, TRAINED, NEIGHBOURS, TASKS)}
        pairs = ((JOINED, TRAINED), (TRAINED, WITHOUT), (JOINED, NEIGHBOURS), (JOINED, TASKS))
        cells = (
            candidate, f"{np.nanmean(got):.3f}", f"{expected.mean():.3f}", f"{correlation(expected, got):.3f}",
            *(f"{np.nanmean(routed[name]):.4f}" for name in (WITHOUT, JOINED, TRAINED)),
            *(difference(routed[left] - routed[right]) for left, right in pairs),
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def pool_lines(found: dict[str, list[LeftOut]]) -> Iterator[str]:
    """The judgement over all turns."""
    made = {name: [together(turn, name) for turn in found.values()] for name in (JOINED, TRAINED, NEIGHBOURS, TASKS)}
    off = [abs(np.nanmean(j - t)) for j, t in zip(made[JOINED], made[TRAINED], strict=True)]
    yield f"- Mean |joined - trained with it| over candidates: {np.mean(off):.4f}, largest {max(off):.4f}."
    for name in (TRAINED, NEIGHBOURS, TASKS):
        apart = np.mean([j - other for j, other in zip(made[JOINED], made[name], strict=True)], axis=0)
        yield f"- Joined minus {name}, mean over candidates: {difference(apart)}."
    yield from _recovered(found)
    yield from _aiq_lines(found)
    error, gap = _calibration(found)
    yield f"- Calibration of what is expected of unseen candidates: error {error:.4f}; of their means {gap:.4f}."


def _recovered(found: dict[str, list[LeftOut]]) -> Iterator[str]:
    for candidate, made in found.items():
        without, joined, trained = (together(made, name) for name in (WITHOUT, JOINED, TRAINED))
        gain = Resampled.of([trained - without]).estimate(0)
        if gain.low > 0:
            share = np.nanmean(joined - without) / np.nanmean(trained - without)
            yield f"- {candidate} changes the pool by {gain.value:+.4f}; {100 * share:.0f} % of it recovered unseen."


def _aiq_lines(found: dict[str, list[LeftOut]]) -> Iterator[str]:
    rows = []
    for made in found.values():
        price = [known_mean(turn.truth.cost.astype(np.float64), axis=0) for turn in made]
        spans = [(float(np.nanmin(each)), float(np.nanmax(each))) for each in price]
        rows.append(
            [[turn.aiq(name, *span) for name in (JOINED, TRAINED)] for turn, span in zip(made, spans, strict=True)]
        )
    joined, trained = np.mean(rows, axis=1).T
    if np.isfinite(joined).all():
        off = np.abs(joined - trained).mean()
        yield f"- AIQ: joined {joined.mean():.4f}, trained {trained.mean():.4f}; mean |joined - trained| {off:.4f}."


def _calibration(found: dict[str, list[LeftOut]]) -> tuple[float, float]:
    pairs = [
        tuple(np.concatenate(x) for x in zip(*(turn.expected() for turn in made), strict=True))
        for made in found.values()
    ]
    expected, got = (np.concatenate(each) for each in zip(*pairs, strict=True))
    known = ~np.isnan(got)
    place = np.minimum((expected[known] * 10).astype(int), 9)
    count = np.bincount(place, minlength=10)
    apart = np.bincount(place, expected[known], 10) - np.bincount(place, got[known], 10)
    gaps = [abs(e.mean() - np.nanmean(g)) for e, g in pairs]
    return float(np.abs(apart).sum() / count.sum()), float(np.mean(gaps))


def answers_lines(shop: Shop, outcomes: Outcomes) -> Iterator[str]:
    """Fewer answers: how far off each unseen candidate is judged, and what its pool gets."""
    train, test = next(folds_of(outcomes, False))
    yield "| answers | off the level | correlation | standard error | routed | minus all answers |"
    yield "|---|---|---|---|---|---|"
    rows: dict[int, list[tuple[float, float, float, Values]]] = {count: [] for count in ANSWERS}
    for candidate in outcomes.candidates:
        for count, row in _with_answers(shop, last(train, candidate), last(test, candidate)):
            rows[count].append(row)
        print(f"fewer answers: {candidate}", flush=True)
    most = rows[ANSWERS[-1]]
    for count, made in rows.items():
        off, related, error = (np.mean([row[i] for row in made]) for i in range(3))
        routed = np.mean([row[3] for row in made], axis=0)
        apart = routed - np.mean([row[3] for row in most], axis=0)
        cells = (f"{off:.3f}", f"{related:.3f}", f"{error:.3f}", f"{np.nanmean(routed):.4f}", difference(apart))
        yield f"| {count} | {' | '.join(cells)} |"


def _with_answers(
    shop: Shop, train: Outcomes, test: Outcomes
) -> Iterator[tuple[int, tuple[float, float, float, Values]]]:
    router = shop.fitted(columns(train, range(len(train.candidates) - 1)))
    items = np.random.default_rng(shop.seed).permutation(rows_of_items(router, train))
    scorer, base = scorer_of(router), scorer_of(router).capability
    texts = router.followed(test.prompts)
    reading, vectors = scorer.frozen.read(texts), scorer.frozen.embed(texts)
    windows = [text for text, count in zip(texts, reading.counts, strict=True) for _ in range(count)]
    answers = replace(train, prompts=router.followed(train.prompts))
    for count in ANSWERS:
        scorer.join(answers.rows(items[:count]))
        quality = reading.combine(scorer.scores(windows, reading.vectors), np.add)
        error = float(scorer.uncertainty(texts, vectors)[:, -1].mean())
        scorer._capability = base
        expected, got = quality[:, -1].astype(np.float64), test.quality[:, -1].astype(np.float64)
        off = abs(float(expected.mean() - np.nanmean(got)))
        yield count, (off, correlation(expected, got), error, m.taken(test.quality, quality.argmax(axis=1)))


def speed_line(shop: Shop, outcomes: Outcomes) -> Iterator[str]:
    """To fit, and to score ASKED prompts x CANDIDATES from their embeddings, most of the candidates joined later."""
    train, test = next(folds_of(outcomes, False))
    start = time.perf_counter()
    router = shop.fitted(train)
    fitted = time.perf_counter() - start
    items, scorer = rows_of_items(router, train), scorer_of(router)
    more = CANDIDATES - len(train.candidates)
    random = np.random.default_rng(shop.seed)
    quality = np.hstack([train.quality, (random.random((len(train), more)) < 0.5).astype(np.float32)])
    names = (*train.candidates, *(f"drawn-{i}" for i in range(more)))
    answers = replace(train, candidates=names, quality=quality, cost=np.full_like(quality, np.nan))
    scorer.join(replace(answers, prompts=router.followed(train.prompts)).rows(items))
    texts = router.followed([test.prompts[i % len(test)] for i in range(ASKED)])
    vectors = scorer.frozen.embed(texts)
    start = time.perf_counter()
    scored = scorer.scores([f"{text} {i}" for i, text in enumerate(texts)], vectors).shape
    yield (
        f"Fitting, calibration included, took {fitted:.0f} s with embeddings given, scoring {scored[0]:,} prompts x "
        f"{scored[1]} candidates {time.perf_counter() - start:.2f} s."
    )


VARIANTS: dict[str, dict[str, object]] = {
    "as shipped": {},
    "group loss": {"loss": "group"},
    "no virtual candidates": {"virtual": 0},
    "one task": {"tasks": 1, "shots": 1000},
    "ten tasks of 20": {"tasks": 10},
}


def ablation_lines(shop: Shop, outcomes: Outcomes) -> Iterator[str]:
    """Variants of the system, each with its own test; the pool with every candidate joined unseen, first fold."""
    yield "| variant | joined | joined - trained with it | calibration error |"
    yield "|---|---|---|---|"
    for name, changes in VARIANTS.items():
        params = AptitudeParams(**{**shop.params.model_dump(), **changes})
        found = turns(Shop(shop.embedding, params, shop.seed, shop.folds), outcomes, False)
        joined, trained = ([together(turn, which) for turn in found.values()] for which in (JOINED, TRAINED))
        apart = np.mean([j - t for j, t in zip(joined, trained, strict=True)], axis=0)
        yield f"| {name} | {np.nanmean(joined):.4f} | {difference(apart)} | {_calibration(found)[0]:.4f} |"


def page(table: Path, shop: Shop, every: bool, ablations: bool) -> Iterator[str]:
    outcomes = read_outcomes(table)
    yield f"## {table.stem}: {len(outcomes):,} prompts, {len(outcomes.candidates)} real profiles"
    found = turns(shop, outcomes, every)
    parts: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("", lambda: left_out_lines(found)),
        ("", lambda: pool_lines(found)),
        ("### Fewer answers", lambda: answers_lines(shop, outcomes)),
        ("### Releases, one by one", lambda: stream(shop, *next(folds_of(outcomes, False)))),
    ]
    parts.append(("### Time", lambda: speed_line(shop, outcomes)))
    if ablations:
        parts.append(("### Variants", lambda: ablation_lines(shop, outcomes)))
    for title, lines in parts:
        yield ""
        yield from ([title, ""] if title else [])
        yield from lines()


def main() -> None:
    parser = argparse.ArgumentParser(description="The router aptitude on candidates that it never saw")
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--full", action="store_true", help="every fold in place of the first")
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    pin(0, asked.threads)
    params = FinetuningParams()
    lines = []
    for table in asked.tables:
        shop = Shop(RememberedEmbedding(params.encoder, params.max_tokens), params.aptitude)
        lines += [*page(table, shop, asked.full, asked.ablations), ""]
        if asked.markdown:
            asked.markdown.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
