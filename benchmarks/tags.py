"""The tags router beside what every report shows, its ablation, and how long it takes: 5-fold on outcome tables.

    python -m benchmarks.tags TABLE... --markdown FILE                  # minutes a table, most of it embedding
    python -m benchmarks.tags TABLE... --vectors FOLDER                 # embeddings are kept there for the next run
    python -m benchmarks.tags TABLE --generator smollm2 --prompts 500   # beside tags that a language model writes

Tables have a column `fold`. Every router learns, calibrates and tunes without the fold that it is judged on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.encoders.shared_prefixes import shared_prefixes, without_prefix
from pipeline.encoders.windows import EncodedPrompts
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.evaluation.recommendation import parts_of
from pipeline.evaluation.reference_strategies import (
    BEST_PER_DATASET,
    BEST_SINGLE,
    LEARNT,
    ORACLE,
    RANDOM,
    RememberedEmbedding,
)
from pipeline.metrics.bootstrap import UNKNOWN, Estimate
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.routers.base.protocol import Predictions, Scorer, gathered
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.tags.generator import TagGenerator
from pipeline.routers.tags.generator_prompt import read_template
from pipeline.routers.tags.router import TagsScorer
from pipeline.routers.tags.tagging import Tagged
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError, SwitchtenderError

SEED, FOLDS = 7, 3
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
_TAGGING = ("generator", "clusters", "surface", "phrases", "phrases_per_prompt")


class KeptEmbedding(RememberedEmbedding):
    """Reads each text once in a run, and keeps what it read in a file between runs."""

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        reading = self.read(prompts)
        return reading.vectors[reading.first]

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        return super().read(list(prompts))

    def keep(self, path: Path) -> None:
        texts = list(self._readings)
        vectors = [self._readings[text][0] for text in texts]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            texts=np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8),
            vectors=np.concatenate(vectors),
            counts=np.array([len(parts) for parts in vectors]),
            tokens=np.array([self._readings[text][1] for text in texts]),
        )

    def recall(self, path: Path) -> None:
        with np.load(path) as kept:
            texts = json.loads(kept["texts"].tobytes())
            vectors = np.split(kept["vectors"], np.cumsum(kept["counts"])[:-1])
            self._readings.update(zip(texts, zip(vectors, kept["tokens"].tolist(), strict=True), strict=True))


class Workshop:
    """One table, its folds, and what several routers share: vectors, and tags that do not depend on outcomes."""

    def __init__(self, outcomes: Outcomes, embedding: KeptEmbedding, bar: Any) -> None:
        if outcomes.folds is None:
            raise InputError("the table has no column 'fold'; add one with whole numbers")
        self.outcomes, self.embedding, self.bar = outcomes, embedding, bar
        self.parts = parts_of(outcomes, outcomes.folds)
        self.tagged: dict[Any, Tagged] = {}
        self.generator: TagGenerator | None = None

    def tags(self, params: TagsParams) -> TagsScorer:
        scorer = SharedTags(self.embedding, SEED, params)
        scorer.shared, scorer.generator = self.tagged, self.generator if params.generator else None
        return scorer

    def crossvalidated(self, label: str, make: Callable[[], Scorer]) -> tuple[Predictions, FloatMatrix]:
        """Predictions of every row, and for tags the bare sums."""
        made, bare = [], np.zeros(self.outcomes.quality.shape, np.float32)
        for part, rows in self.parts:
            self.bar.set_postfix_str(label, refresh=False)
            router = CalibratedRouter(make())
            router.fit(replace(part, datasets=None), inner_folds(part, FOLDS, SEED))
            prompts = [self.outcomes.prompts[i] for i in rows]
            made.append((rows, router.predict(prompts)))
            if isinstance(router.scorer, TagsScorer):
                tagging, evidence, _ = router.scorer._fitted()
                followed = router.followed(prompts)
                bare[rows] = evidence.sums(tagging.member(followed, self.embedding.embed(followed)))
            self.bar.update()
        return gathered(made), bare

    def quality(self, picks: Any) -> tuple[float, float]:
        """Mean quality over prompts and over data sets."""
        got = self.outcomes.quality[np.arange(len(picks)), picks].astype(np.float64)
        names = np.array(self.outcomes.datasets or ("",) * len(picks))
        return float(np.nanmean(got)), float(np.mean([np.nanmean(got[names == name]) for name in np.unique(names)]))


class SharedTags(TagsScorer):
    """Tags are mined once for the same prompts and settings, since no outcome has a say in them."""

    shared: dict[Any, Tagged]

    def _tagged(self, outcomes: Outcomes, vectors: FloatMatrix) -> Tagged:
        key = (hash(outcomes.prompts), *(getattr(self.params, name) for name in _TAGGING))
        if key not in self.shared:
            self.shared[key] = super()._tagged(outcomes, vectors)
        return self.shared[key]


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
    outcomes, embedding = read_outcomes(path), KeptEmbedding("minilm", 128)
    kept = options.vectors / f"{path.stem}.npz" if options.vectors else None
    if kept is not None and kept.is_file():
        embedding.recall(kept)
    steps = 3 if options.generator else len(ROWS) - 4 + len(ABLATION)
    with tqdm(total=5 * steps, desc=path.stem, unit="fit") as bar:
        if options.generator:
            text = _generators(Workshop(_drawn(outcomes, options.prompts), embedding, bar), options)
        else:
            text = _compared(Workshop(outcomes, embedding, bar))
    if kept is not None:
        embedding.keep(kept)
    return f"## {path.stem}: {len(outcomes)} prompts, {len(outcomes.candidates)} candidates\n\n{text}"


def _drawn(outcomes: Outcomes, count: int) -> Outcomes:
    return outcomes.rows(np.sort(np.random.default_rng(SEED).permutation(len(outcomes))[:count]))


# --- beside the others ------------------------------------------------------------------------------------------


def _compared(shop: Workshop) -> str:
    makers = {name: (lambda name=name: LEARNT[name](shop.embedding, SEED)) for name in ("linear", "knn", "clusters")}
    found = {name: shop.crossvalidated(name, make)[0] for name, make in makers.items()}
    found[TAGS], _ = shop.crossvalidated(TAGS, lambda: shop.tags(TagsParams()))
    return "\n\n".join([_table(shop, found), _ablation(shop), _times(shop)])


def _table(shop: Workshop, found: dict[str, Predictions]) -> str:
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


def _ablation(shop: Workshop) -> str:
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


def _times(shop: Workshop) -> str:
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


def _generators(shop: Workshop, options: argparse.Namespace) -> str:
    """Mined and written tags on the same prompts; what a model writes for a prompt does not depend on the fold."""
    shop.generator = TagGenerator(options.generator, options.prompt and read_template(options.prompt))
    prefixes = shared_prefixes(shop.outcomes.prompts)
    texts = [without_prefix(text, prefixes) for text in shop.outcomes.prompts]
    with tqdm(total=-(-len(texts) // 8), desc="writing tags", unit="batch") as bar:
        seconds = _seconds(lambda: shop.generator and shop.generator.tags(texts, lambda _: bar.update()))
    lines = [f"| {len(texts)} prompts | quality over prompts | over data sets |", "|---|---|---|"]
    written = {"generator": options.generator}
    settings = {"mined tags": {}, "written tags": written, "clusters and surface alone": {"phrases": False}}
    for label, changes in settings.items():
        made, _ = shop.crossvalidated(label, lambda changes=changes: shop.tags(PLAIN.model_copy(update=changes)))
        lines.append(_line(label, shop.quality(made.quality.argmax(axis=1))))
    counts = [len(tags) for tags in shop.generator.tags(texts)]
    lines.append(
        f"\n{seconds / len(texts):.2f} s a prompt; {np.mean(counts):.1f} tags a prompt, none for "
        f"{np.mean(np.array(counts) == 0):.0%}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
