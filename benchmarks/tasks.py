"""The two-stage router `tasks` on outcome tables, beside its parts and what every report shows.

    python -m benchmarks.tasks TABLE... [--unseen-data-sets] [--assignment finetuned] [--descriptions MODEL]
        [--prompts N] [--folds N] [--markdown FILE]

Each table needs a column `fold`. For each fold a router is fitted, tuned and mixed on the other folds alone. The sweep
over alpha is judged on the rows that it would be chosen on, and says so. With `--unseen-data-sets` folds are made of
whole data sets: a prompt is judged by a router that never saw another of its own. `--descriptions` and `--assignment`
are settings of the router; `--prompts` draws as many of each table, and `--folds` judges the first ones alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.figures import signed
from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.evaluation.outcome_report import strategies_of
from pipeline.evaluation.reference_strategies import (
    BEST_PER_DATASET,
    BEST_SINGLE,
    LEARNT,
    ORACLE,
    TRAIN,
    Part,
    RememberedEmbedding,
    Strategy,
)
from pipeline.evaluation.slices import dataset_slices
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Resampled
from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.routers.base.protocol import Predictions, Scorer, gathered
from pipeline.routers.base.settings import FinetuningParams, TasksParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import SYSTEMS
from pipeline.routers.tasks.descriptions import TaskDescriptions
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.reproducibility import pin

SEED, FOLDS = 0, 3
CHOSEN = (
    "tasks", "groups", "neighbours", "agreement", "coarse", "fine", "prior", "members", "penalty", "alpha", "level",
    "task heads", "floor", "single leads",
)  # fmt: skip
ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
STAGE_1, STAGE_2, GENERAL = "tasks, stage 1 only", "tasks, stage 2 only", "tasks, general heads only"
FREE = "tasks, nobody favoured"
ASKED = 10_000
DATA_SET_FOLDS = 5


@dataclass(frozen=True)
class Asked:
    """What is measured: so many prompts and folds of a table (0: all), and whether its data sets are to be new."""

    table: Path
    params: FinetuningParams
    unseen: bool = False
    prompts: int = 0
    folds: int = 0


@dataclass
class Measured:
    """One table's judged rows: predictions of each by name, what was chosen for each fold, and seconds.

    Folds share what a language model wrote of a prompt.
    """

    outcomes: Outcomes
    descriptions: TaskDescriptions
    parts: list[Part] = field(default_factory=list)
    made: dict[str, list[tuple[np.ndarray, Predictions]]] = field(default_factory=dict)
    chosen: list[str] = field(default_factory=list)
    fit_seconds: list[float] = field(default_factory=list)
    predict_seconds: list[float] = field(default_factory=list)

    def predictions(self) -> dict[str, Predictions]:
        return {name: gathered(parts) for name, parts in self.made.items()}


def measured(asked: Asked) -> Measured:
    """Cross-validate every row of the page on the table's own folds, or on folds of whole data sets."""
    table, params = asked.table, asked.params
    outcomes = read_outcomes(table)
    if outcomes.folds is None or outcomes.is_labels:
        raise SystemExit(f"{table} needs the columns candidate, quality and fold; give an outcome table with folds")
    if asked.prompts:
        some = np.random.default_rng(SEED).permutation(len(outcomes))[: asked.prompts]
        outcomes = outcomes.rows(np.sort(some))
    folds = data_set_folds(outcomes, DATA_SET_FOLDS) if asked.unseen else outcomes.folds
    embedding = RememberedEmbedding(params.encoder, params.max_tokens)
    judged = np.isin(folds, np.unique(folds)[: asked.folds or None])
    found = Measured(outcomes.rows(np.flatnonzero(judged)), TaskDescriptions(params.tasks.descriptions))
    for fold in np.unique(folds[judged]):
        rows, train = np.flatnonzero(folds[judged] == fold), outcomes.rows(np.flatnonzero(folds != fold))
        found.parts.append((train, rows))
        for name, predictions in _of_fold(found, asked, embedding, train, rows):
            found.made.setdefault(name, []).append((rows, predictions))
            print(f"{table.name}: fold {fold}, {name}", flush=True)
    return found


def data_set_folds(outcomes: Outcomes, count: int) -> np.ndarray:
    """int64 [n]: each data set wholly in one of at most `count` folds of like size, the largest dealt out first."""
    if outcomes.datasets is None:
        raise SystemExit("the table names no data sets; add a column 'dataset'")
    names, place, sizes = np.unique(outcomes.datasets, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise SystemExit("the table has one data set; give one with several")
    filled, fold = np.zeros(min(count, len(names)), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    for name in np.argsort(-sizes, kind="stable"):
        fold[name] = filled.argmin()
        filled[fold[name]] += sizes[name]
    return fold[place]


def _of_fold(
    found: Measured, asked: Asked, embedding: FrozenEmbedding, train: Outcomes, rows: np.ndarray
) -> Iterator[tuple[str, Predictions]]:
    prompts = [found.outcomes.prompts[i] for i in rows]
    scorer = SYSTEMS["tasks"](asked.params, SEED, None)
    assert isinstance(scorer, TasksScorer)
    scorer.embedding = scorer.frozen = embedding
    scorer.descriptions = found.descriptions
    router = _fitted(scorer, train, found.fit_seconds)
    reading = router.read(prompts)
    chosen = scorer.mixing
    found.chosen.append(_choice(scorer))
    found.predict_seconds.append(_seconds(scorer, prompts))
    variants = {
        ROUTER: chosen,
        STAGE_1: replace(chosen, alpha=0.0, level=0.0),
        STAGE_2: replace(chosen, alpha=1.0, level=1.0),
    }
    variants[GENERAL] = replace(variants[STAGE_2], task_heads=0.0)
    variants[FREE] = replace(chosen, leads=-1)
    if not asked.unseen:
        variants |= {f"alpha {alpha:g}": replace(chosen, alpha=alpha) for alpha in ALPHAS}
        variants |= {f"task heads {share:g}": replace(chosen, task_heads=share) for share in (0.0, 0.5, 1.0)}
    for name, mixing in variants.items():
        scorer.mixing = mixing
        yield name, router.judge(prompts, reading)
    for name, make in LEARNT.items():
        yield name, _fitted(make(embedding, SEED), train).predict(prompts)
    if "tags" in SYSTEMS:
        tags = SYSTEMS["tags"](FinetuningParams(), SEED, None)
        tags.embedding = tags.frozen = embedding  # type: ignore[attr-defined]
        yield "tags", _fitted(tags, train).predict(prompts)


def _fitted(scorer: Scorer, train: Outcomes, seconds: list[float] | None = None) -> CalibratedRouter:
    router = CalibratedRouter(scorer)
    start = time.perf_counter()
    router.fit(train, inner_folds(train, FOLDS, SEED))
    if seconds is not None:
        seconds.append(time.perf_counter() - start)
    return router


def _seconds(scorer: TasksScorer, prompts: list[str]) -> float:
    """To score ASKED different prompts whose vectors are known."""
    texts = [f"{prompts[i % len(prompts)]} {i}" for i in range(ASKED)]
    vectors = np.resize(scorer.frozen.embed(prompts[:500]), (ASKED, scorer.frozen.embed(prompts[:1]).shape[1]))
    start = time.perf_counter()
    scorer.scores(texts, vectors)
    return time.perf_counter() - start


def _choice(scorer: TasksScorer) -> str:
    how, heads, mix = scorer.settings.discovery, scorer.settings.heads, scorer.mixing
    tasks = scorer.tasks()
    cells = (
        len(tasks), len({task.group for task in tasks}), how.neighbours, how.of_agreement, how.coarse, how.fine,
        how.prior.task, heads.members, heads.penalty, mix.alpha, mix.level, mix.task_heads, mix.floor, mix.leads >= 0,
    )  # fmt: skip
    return " | ".join(f"{cell:g}" for cell in cells)


def markdown(asked: Asked, found: Measured) -> str:
    """The page's part for one table."""
    table = asked.table
    told = ", data sets that were not learnt from" if asked.unseen else ""
    predictions = found.predictions()
    sweep = {name: predictions.pop(name) for name in list(predictions) if name.startswith(("alpha", "task heads"))}
    learnt = {name: value for name, value in predictions.items() if name != ROUTER}
    strategies = strategies_of(predictions[ROUTER], found.outcomes, learnt, found.parts, TRAIN)
    lines = [
        f"## {table.stem}: {len(found.outcomes):,} prompts, {len(found.outcomes.candidates)} candidates{told}", "",
        *table_rows(found.outcomes, strategies), "",
        *(_swept(found, predictions[ROUTER], sweep) if sweep else ()),
        "Chosen in train, a line a fold:", "",
        f"| {' | '.join(CHOSEN)} |", "|" + "---|" * len(CHOSEN),
        *(f"| {line} |" for line in found.chosen), "",
        f"Fitting one fold took {min(found.fit_seconds):.0f} to {max(found.fit_seconds):.0f} s, scoring {ASKED:,}"
        f" prompts {min(found.predict_seconds):.1f} to {max(found.predict_seconds):.1f} s, embeddings given.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _swept(found: Measured, router: Predictions, sweep: dict[str, Predictions]) -> Iterator[str]:
    strategies = strategies_of(router, found.outcomes, sweep, found.parts, TRAIN)
    yield (
        "Swept on the prompts that are judged (optimistic): alpha, then the part of what task heads add, all else as"
        " chosen in train."
    )
    yield from ("", *table_rows(found.outcomes, strategies, set(sweep)), "")


def table_rows(
    outcomes: Outcomes, strategies: dict[str, Strategy], shown: set[str] | None = None, router: str = "tasks"
) -> Iterator[str]:
    """A row a strategy; the router in bold under its name."""
    names = list(strategies)
    slices = dataset_slices(outcomes)
    told = BEST_PER_DATASET if BEST_PER_DATASET in strategies else BEST_SINGLE
    columns = [s.quality for s in strategies.values()]
    against = [s.quality - strategies[base].quality for base in (BEST_SINGLE, told) for s in strategies.values()]
    means = Resampled.of([*columns, *against])
    over = Resampled.of(columns, [part.rows for part in slices]) if len(slices) > 1 else means
    half = _at_half_of_dearest(outcomes, strategies)
    heads = ("", "quality", "over data sets", "minus best single", "minus best per data set", "gap closed", "half cost")
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    n = len(names)
    for i, name in enumerate(names):
        if shown is None or name in shown:
            closed = means.value[n + i] / means.value[n + names.index(ORACLE)]
            label = f"**{router}**" if name == ROUTER else name
            cells = (
                f"{means.value[i]:.4f}", f"{over.value[i]:.4f}",
                signed(means.estimate(n + i)), signed(means.estimate(2 * n + i)),
                f"{100 * closed:.1f} %", half.get(name, ""),
            )  # fmt: skip
            yield f"| {label} | {' | '.join(cells)} |"


def _at_half_of_dearest(outcomes: Outcomes, strategies: dict[str, Strategy]) -> dict[str, str]:
    """Read off a hull swept over lambda on the evaluated prompts."""
    quality, cost = outcomes.quality.astype(np.float64), outcomes.cost.astype(np.float64)
    if not np.isfinite(cost).any():
        return {}
    half = float(np.nanmax(known_mean(cost, axis=0))) / 2
    fronts = {
        name: m.frontier(m.sweep(s.expected.quality, s.expected.cost, quality, cost))
        for name, s in strategies.items()
        if s.expected is not None
    }
    return {name: f"{m.quality_at(front, half):.4f}" for name, front in fronts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="The router tasks beside its parts and the baselines, cross-validated")
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--unseen-data-sets", action="store_true", help="folds of whole data sets")
    parser.add_argument("--descriptions", default="", help="a causal language model that describes the tasks")
    parser.add_argument("--assignment", choices=("linear", "finetuned", "auto"), default="linear")
    parser.add_argument("--prompts", type=int, default=0, help="so many of each table, drawn once; 0: all")
    parser.add_argument("--folds", type=int, default=0, help="so many of the table's folds are judged; 0: all")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    told = parser.parse_args()
    pin(SEED, told.threads)
    tasks = TasksParams(descriptions=told.descriptions, assignment=told.assignment)
    params = FinetuningParams(tasks=tasks)
    every = [Asked(table, params, told.unseen_data_sets, told.prompts, told.folds) for table in told.tables]
    page = "\n".join(markdown(asked, measured(asked)) for asked in every)
    if told.markdown:
        told.markdown.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
