"""A router beside every baseline on outcome tables, cross-validated on the tables' own folds.

    python -m benchmarks.beside ROUTER TABLE... [--folds 1] [--markdown FILE]

Calibration, policy and all that is tuned come from the other folds alone. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks import table_rows
from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.data.shared_prefixes import shared_prefixes, without_prefix
from pipeline.evaluation.outcome_report import strategies_of
from pipeline.evaluation.reference_strategies import LEARNT, TRAIN, Part, RememberedEmbedding
from pipeline.routers.base.protocol import Predictions, gathered
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import SYSTEMS
from pipeline.runtime.reproducibility import pin

SEED, FOLDS = 0, 3
Made = list[tuple[np.ndarray, Predictions]]


def page(name: str, table: Path, folds: int | None) -> Iterator[str]:
    """The router's row among the others, and what it took."""
    outcomes = read_outcomes(table)
    if outcomes.folds is None or outcomes.is_labels:
        raise SystemExit(f"{table} needs the columns candidate, quality and fold; give an outcome table with folds")
    judged = np.unique(outcomes.folds)[:folds]
    parts = [(outcomes.rows(np.flatnonzero(outcomes.folds != f)), np.flatnonzero(outcomes.folds == f)) for f in judged]
    shown = outcomes.rows(np.concatenate([rows for _, rows in parts])) if folds else outcomes
    parts = _renumbered(parts) if folds else parts
    made, seconds = _predictions(name, shown, parts)
    router = made.pop(name)
    yield f"## {table.stem}: {len(shown):,} prompts of {len(judged)} folds, {len(outcomes.candidates)} candidates"
    yield ""
    yield from table_rows(shown, strategies_of(router, shown, made, parts, TRAIN), router=name)
    yield ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield (
        f"Fitting `{name}` on one fold's train part took {min(seconds):.0f} to {max(seconds):.0f} s, embeddings given; "
        f"peak memory of the whole run {peak:.1f} GiB."
    )


def _renumbered(parts: list[Part]) -> list[Part]:
    """With rows that count those which are judged."""
    ends = np.cumsum([len(rows) for _, rows in parts])
    return [(train, np.arange(end - len(rows), end)) for (train, rows), end in zip(parts, ends, strict=True)]


def _predictions(name: str, outcomes: Outcomes, parts: list[Part]) -> tuple[dict[str, Predictions], list[float]]:
    params = FinetuningParams()
    embedding = RememberedEmbedding(params.encoder, params.max_tokens)
    found: dict[str, Made] = {}
    seconds = []
    for train, rows in parts:
        asked = [outcomes.prompts[i] for i in rows]
        for router in (name, *LEARNT):
            scorer = SYSTEMS[router](params, SEED, None)
            scorer.embedding = scorer.frozen = embedding  # type: ignore[attr-defined]
            fitted = CalibratedRouter(scorer)
            beginnings = shared_prefixes(train.prompts)
            embedding.embed([without_prefix(text, beginnings) for text in train.prompts])
            start = time.perf_counter()
            fitted.fit(train, inner_folds(train, FOLDS, SEED))
            if router == name:
                seconds.append(time.perf_counter() - start)
            found.setdefault(router, []).append((rows, fitted.predict(asked)))
            print(f"{router}: {len(rows)} prompts", flush=True)
    return {router: gathered(made) for router, made in found.items()}, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="A router beside every baseline, cross-validated")
    parser.add_argument("router", choices=SYSTEMS)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--folds", type=int, help="only the first so many folds")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    pin(SEED, asked.threads)
    lines = [line for table in asked.tables for line in (*page(asked.router, table, asked.folds), "")]
    if asked.markdown:
        asked.markdown.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
