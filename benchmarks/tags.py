"""The tags router beside what every report shows, its ablation, and how long it takes: 5-fold on outcome tables.

    python -m benchmarks.tags TABLE... --markdown FILE                  # minutes a table, most of it embedding
    python -m benchmarks.tags TABLE... --vectors FOLDER                 # embeddings are kept there for the next run
    python -m benchmarks.tags TABLE --generator smollm2 --prompts 500   # beside tags that a language model writes

Tables have a column `fold`. Every router learns, calibrates and tunes without the fold that it is judged on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.cross_validation import FOLDS, SEED, CrossValidation, KeptEmbedding, drawn
from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import read_outcomes
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.evaluation.reference_strategies import (
    BEST_PER_DATASET,
    BEST_SINGLE,
    LEARNT,
    ORACLE,
    RANDOM,
)
from pipeline.metrics.bootstrap import UNKNOWN, Estimate
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.routers.base.protocol import Predictions
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.tags.generator import TagGenerator
from pipeline.routers.tags.generator_prompt import read_template
from pipeline.routers.tags.router import TagsScorer
from pipeline.runtime.errors import SwitchtenderError

TAGS = "tags"
ROWS = (RANDOM, BEST_SINGLE, BEST_PER_DATASET, "linear", "knn", "clusters", TAGS, ORACLE)
NAMES = {BEST_SINGLE: "best single", BEST_PER_DATASET: "told data set"}
PLAIN = TagsParams(ties=(0.0,))
PAPER = {"evidence": "counts", "votes": "tags", "ties": (0.15,)}
ABLATION: dict[str, dict[str, Any]] = {
    "rates, one vote a kind of tag, a tie is worth 0": {},
    "a tie is worth .15": {"ties": (0.15,)},
    "a tie is worth 1": {"ties": (1.0,)},
    "rates, w_t over the tag's outcomes": {"total": "tag"},
    "counts, w_t over the tag's outcomes": {"evidence": "counts", "total": "tag"},
    "counts, w_t over all tags' outcomes": {"evidence": "counts"},
    "rates, plain sum over tags": {"votes": "tags"},
    "counts, plain sum, w_t over all tags' outcomes, a tie is worth .15": PAPER,
    "counts, plain sum, w_t over the tag's outcomes, a tie is worth .15": {**PAPER, "total": "tag"},
    "counts, plain sum, w_t over all tags' outcomes, a tie is worth 0": {**PAPER, "ties": (0.0,)},
    "2 phrases and 2 topics a prompt instead of 8": {"phrases_per_prompt": 2},
    "64 phrases and 64 topics a prompt": {"phrases_per_prompt": 64},
    "without clusters": {"clusters": ()},
    "without phrases": {"phrases": False},
    "without surface": {"surface": False},
    "clusters alone": {"phrases": False, "surface": False},
    "phrases alone": {"clusters": (), "surface": False},
    "surface alone": {"clusters": (), "phrases": False},
}
"""What is changed of PLAIN; the first rows and those on counts are shown without the map to quality as well."""


def main() -> None:
    """Measure, print the tables, and write them where asked."""
    options = _parser().parse_args()
    try:
        with threadpool_limits(options.threads):
            text = "\n\n".join(_measured(path, options) for path in options.tables)
    except SwitchtenderError as error:
        print(f"benchmarks.tags: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tags", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="outcome tables with a column fold")
    parser.add_argument("--vectors", type=Path, help="a folder that keeps embeddings between runs")
    parser.add_argument("--generator", default="", help="compare with this causal language model instead")
    parser.add_argument("--prompt", type=Path, help="with --generator: the template that belongs to it")
    parser.add_argument("--prompts", type=int, default=500, help="with --generator: so many prompts, drawn at random")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    return parser


def _measured(path: Path, options: argparse.Namespace) -> str:
    outcomes, embedding = read_outcomes(path), KeptEmbedding.of(path, options.vectors)
    steps = 3 if options.generator else len(ROWS) - 4 + len(ABLATION)
    with tqdm(total=5 * steps, desc=path.stem, unit="fit") as bar:
        if options.generator:
            text = _generators(CrossValidation(drawn(outcomes, options.prompts), embedding, bar), options)
        else:
            text = _compared(CrossValidation(outcomes, embedding, bar))
    embedding.keep()
    return f"## {path.stem}: {len(outcomes)} prompts, {len(outcomes.candidates)} candidates\n\n{text}"


# --- beside the others ------------------------------------------------------------------------------------------


def _compared(shop: CrossValidation) -> str:
    makers = {name: (lambda name=name: LEARNT[name](shop.embedding, SEED)) for name in ("linear", "knn", "clusters")}
    found = {name: shop.crossvalidated(name, make)[0] for name, make in makers.items()}
    found[TAGS], _ = shop.crossvalidated(TAGS, lambda: shop.tags(TagsParams()))
    return "\n\n".join([_table(shop, found), _ablation(shop), _times(shop)])


def _table(shop: CrossValidation, found: dict[str, Predictions]) -> str:
    reports = {name: outcome_report(made, shop.outcomes, {}, shop.parts) for name, made in found.items()}
    whole = reports[TAGS].metrics
    head = "| | quality over prompts | over data sets | minus best single | minus told data set | calibration error |"
    lines = [head, "|---|---|---|---|---|---|"]
    for name in ROWS:
        row = reports[name].metrics[ROUTER] if name in reports else whole[name]
        told = reports[name].metrics[BEST_PER_DATASET].router_minus_this if name in reports else UNKNOWN
        error = f"{reports[name].calibration['all'].error:.3f}" if name in reports else ""
        cells = [_figure(row.quality), _figure(row.quality_over_datasets or UNKNOWN)]
        cells += [_figure(row.minus_best_single, True), _figure(told, True), error]
        lines.append(f"| {NAMES.get(name, name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(figure: Estimate, signed: bool = False) -> str:
    if not figure.is_known:
        return ""
    show = (lambda x: f"{x:+.3f}".replace("0.", ".")) if signed else (lambda x: f"{x:.3f}".replace("0.", "."))
    return f"{show(figure.value)} ({show(figure.low)} to {show(figure.high)})"


def _ablation(shop: CrossValidation) -> str:
    lines = ["| tags router with | quality over prompts | over data sets |", "|---|---|---|"]
    for label, changes in ABLATION.items():
        made, bare = shop.crossvalidated(label, lambda changes=changes: shop.tags(PLAIN.model_copy(update=changes)))
        lines.append(_line(label, shop.quality(made.quality.argmax(axis=1))))
        if changes in ({}, {"ties": (0.15,)}) or "counts" in changes.values():
            lines.append(_line("the same, largest bare sum", shop.quality(bare.argmax(axis=1))))
    return "\n".join(lines)


def _line(label: str, quality: tuple[float, float]) -> str:
    return f"| {label} | {quality[0]:.3f} | {quality[1]:.3f} |".replace("0.", ".")


# --- how long ---------------------------------------------------------------------------------------------------


def _times(shop: CrossValidation) -> str:
    """Fit, tag and join on the whole table, vectors given; the last candidate joins the others."""
    whole, last = replace(shop.outcomes, datasets=None), len(shop.outcomes.candidates) - 1
    known = replace(
        whole, candidates=whole.candidates[:last], quality=whole.quality[:, :last], cost=whole.cost[:, :last]
    )
    router = CalibratedRouter(TagsScorer(shop.embedding, SEED))
    fit = _seconds(lambda: router.fit(known, inner_folds(known, FOLDS, SEED)))
    scorer = router.scorer
    assert isinstance(scorer, TagsScorer)
    texts = router.followed(whole.prompts)
    vectors, tagging = shop.embedding.embed(texts), scorer._fitted()[0]
    tags = np.diff(tagging.member(texts, vectors).indptr)
    one = [_seconds(lambda i=i: tagging.member([texts[i]], vectors[[i]])) for i in range(min(500, len(texts)))]
    batch = _seconds(lambda: tagging.member(texts, vectors)) / len(texts)
    join = _seconds(lambda: router.join(whole))
    return (
        f"{len(tagging.names)} tags, {tags.mean():.1f} a prompt. Given vectors: fit {fit:.1f} s; tags of a prompt "
        f"{1e3 * float(np.median(one)):.2f} ms alone, {1e3 * batch:.2f} ms in a batch; "
        f"a candidate joins in {join:.2f} s."
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# --- generators -------------------------------------------------------------------------------------------------


def _generators(shop: CrossValidation, options: argparse.Namespace) -> str:
    """Mined and written tags on the same prompts; what a model writes for a prompt does not depend on the fold."""
    generator = TagGenerator(options.generator, options.prompt and read_template(options.prompt))
    texts = shop.without_prefixes()
    seconds = _seconds(lambda: shop.write_tags(generator))
    lines = [f"| {len(texts)} prompts | quality over prompts | over data sets |", "|---|---|---|"]
    written = {"generator": options.generator}
    settings = {"mined tags": {}, "written tags": written, "clusters and surface alone": {"phrases": False}}
    for label, changes in settings.items():
        made, _ = shop.crossvalidated(label, lambda changes=changes: shop.tags(PLAIN.model_copy(update=changes)))
        lines.append(_line(label, shop.quality(made.quality.argmax(axis=1))))
    counts = [len(tags) for tags in generator.tags(texts)]
    lines.append(
        f"\n{seconds / len(texts):.2f} s a prompt; {np.mean(counts):.1f} tags a prompt, none for "
        f"{np.mean(np.array(counts) == 0):.0%}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
