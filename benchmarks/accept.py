"""TagRouter's own figures on an outcome table: accept rate, its area, cost and rank beside a reference candidate.

    python -m benchmarks.accept TABLE --vectors FOLDER --page docs/results/accept-rates.md
    python -m benchmarks.accept TABLE --pools 2 --generator smollm2 --prompts 500 --markdown FILE

The table has a column `fold`; every router learns, calibrates and tunes without the fold that it is judged on, and so
is the theta of its operating point chosen (`benchmarks.operating_point`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.cross_validation import SEED, CrossValidation, KeptEmbedding, drawn
from benchmarks.figures import table
from benchmarks.operating_point import Scored, operating_picks, pools, price_ladder, theta_points
from benchmarks.page import fill
from benchmarks.tags import PAPER
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.data.prices import PRICES_FILE, read_prices
from pipeline.evaluation.reference_strategies import BEST_SINGLE, LEARNT, TRAIN, Strategy, baseline_rows, by_picks
from pipeline.evaluation.swept import verdicts
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Estimate, Resampled
from pipeline.metrics.candidate_means import known_mean, mean_cost, shrunk_quality
from pipeline.metrics.preference import preferred
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.tags.generator import TagGenerator
from pipeline.routers.tags.generator_prompt import read_template
from pipeline.runtime.arrays import Values
from pipeline.runtime.errors import InputError, SwitchtenderError

PAIR = ("gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat")
SHIPPED = "tags as shipped (rates)"
PHRASES = {"clusters": (), "surface": False}
MINED: dict[str, dict[str, Any]] = {
    SHIPPED: {},
    "tags with counts": {"evidence": "counts"},
    "phrases only": PHRASES,
    "surface tags only": {"clusters": (), "phrases": False},
    "clusters only": {"phrases": False, "surface": False},
}
"""What is changed of the settings that the tags router ships with."""
PAPERS = "the paper's scorer on {} tags"
"""Its bare sums decide, without the map from sums to quality."""
HEAD = ("", "area", "accept rate", "wins / ties / losses", "cost", "mean rank", "quality", "theta")
SWEEP = ("theta", "share to the reference", "accept rate", "cost")


def main() -> None:
    """Measure, print the tables, and write them where asked."""
    options = _parser().parse_args()
    try:
        with threadpool_limits(options.threads):
            lines = measured(options)
        print("\n".join(lines))
        if options.markdown:
            options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if options.page:
            fill(options.page, "accept written" if options.generator else "accept", lines)
    except SwitchtenderError as error:
        print(f"benchmarks.accept: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accept", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, help="an outcome table with costs and a column fold")
    parser.add_argument("--pair", nargs=2, default=PAIR, metavar="CANDIDATE", help="the pool of two")
    parser.add_argument("--pools", nargs="+", type=int, default=[2, 3, 5, 11], metavar="SIZE")
    parser.add_argument(
        "--prices", type=Path, default=PRICES_FILE, help="whose ladder the larger pools are spread over"
    )
    parser.add_argument("--vectors", type=Path, help="a folder that keeps embeddings between runs")
    parser.add_argument(
        "--generator", default="", help="set tags that this causal language model writes beside phrases"
    )
    parser.add_argument("--prompt", type=Path, help="with --generator: the template that belongs to it")
    parser.add_argument("--prompts", type=int, default=500, help="with --generator: so many prompts, drawn at random")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--page", type=Path, help="also put the tables into their place on this page")
    return parser


def measured(options: argparse.Namespace) -> list[str]:
    """The command, then a part for each pool."""
    outcomes = read_outcomes(options.table)
    if options.generator:
        outcomes = drawn(outcomes, options.prompts)
    if not np.isfinite(outcomes.cost).any():
        raise InputError(f"{options.table} has no costs, and there is no cheaper candidate to take; name one that has")
    asked = pools(price_ladder(outcomes.candidates, read_prices(options.prices)), options.pair, options.pools)
    embedding = KeptEmbedding.of(options.table, options.vectors)
    rows = settings(options.generator)
    lines = [f"    {_command(options)}", ""]
    with tqdm(total=5 * len(asked) * (len(rows) + len(LEARNT)), desc=options.table.stem, unit="fit") as bar:
        whole = CrossValidation(outcomes, embedding, bar)
        if options.generator:
            whole.write_tags(TagGenerator(options.generator, options.prompt and read_template(options.prompt)))
        for pool in asked:
            lines += pool_lines(whole.among(pool), rows)
            embedding.keep()
    return lines


def _command(options: argparse.Namespace) -> str:
    said = ["python -m benchmarks.accept", options.table.name, "--pools", *map(str, options.pools)]
    if options.generator:
        said += ["--generator", options.generator, "--prompts", str(options.prompts)]
    return " ".join(said + (["--prompt", options.prompt.name] if options.prompt else []))


def settings(generator: str) -> dict[str, dict[str, Any]]:
    """Changes of the shipped settings, by row; with a generator its tags beside phrases, else each kind on its own."""
    if not generator:
        return {**MINED, PAPERS.format("our mined"): PAPER}
    written = {"generator": generator}
    return {
        SHIPPED: {},
        "the same, written tags in place of phrases": written,
        "phrases only": PHRASES,
        "written tags only": {**PHRASES, **written},
        "surface tags and clusters only": {"phrases": False},
        PAPERS.format("our mined"): PAPER,
        PAPERS.format("written"): {**PAPER, **PHRASES, **written},
    }


def pool_lines(shop: CrossValidation, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The figures of one pool; of a pair also the sweep of theta."""
    outcomes, scores = shop.outcomes, _scores(shop, rows)
    single = baseline_rows(outcomes, shop.parts, TRAIN)[BEST_SINGLE]
    reference = int(np.bincount(single.picked).argmax())
    price = np.full(outcomes.quality.shape, np.nan)
    other = np.zeros(len(outcomes), np.int64)
    for part, judged in shop.parts:
        price[judged], other[judged] = mean_cost(part), best_other(part, reference)
    names = outcomes.candidates
    yield f"### {len(names)} candidates"
    yield ""
    yield f"{', '.join(names)}; {len(outcomes):,} prompts. The reference is {names[reference]}."
    yield ""
    always = {f"{names[reference]} always": np.full(len(outcomes), reference)}
    second = names[int(np.bincount(other).argmax())]
    always[f"{second} always" + ("" if len(names) == 2 else ", the best other")] = other
    lines = [_row(label, by_picks(label, outcomes, picks), outcomes, reference) for label, picks in always.items()]
    chance = np.random.default_rng(SEED).random(outcomes.quality.shape)
    by_chance = by_picks("random", outcomes, chance.argmax(axis=1))
    lines.append(_row("random", by_chance, outcomes, reference, chance))
    for label, found in scores.items():
        picks, thetas = operating_picks(Scored(outcomes, found, price, reference))
        lines.append(_row(label, by_picks(label, outcomes, picks), outcomes, reference, found, thetas))
    yield from table(HEAD, lines)
    yield ""
    if len(names) == 2:
        yield f"{SHIPPED[0].upper()}{SHIPPED[1:]}, theta swept on the prompts that are judged:"
        yield ""
        yield from _sweep(Scored(outcomes, scores[SHIPPED], price, reference))
        yield ""


def _scores(shop: CrossValidation, rows: dict[str, dict[str, Any]]) -> dict[str, Values]:
    """What each router says of every cell, float64 [n, c], held out."""
    found = {}
    for name in LEARNT:
        found[name] = shop.crossvalidated(name, partial(LEARNT[name], shop.embedding, SEED))[0].quality
    for label, changes in rows.items():
        params = TagsParams().model_copy(update=changes)
        made, bare = shop.crossvalidated(label, partial(shop.tags, params))
        found[label] = bare if changes.items() >= PAPER.items() else made.quality
    return {label: scores.astype(np.float64) for label, scores in found.items()}


def best_other(part: Outcomes, reference: int) -> int:
    """The column of highest mean quality but for the reference."""
    quality = shrunk_quality(part.quality.astype(np.float64))
    quality[reference] = -np.inf
    return int(preferred(quality, mean_cost(part)))


def _row(
    label: str, got: Strategy, outcomes: Outcomes, reference: int, scores: Values | None = None, thetas: Any = ()
) -> tuple[str, ...]:
    quality = outcomes.quality.astype(np.float64)
    means = Resampled.of([m.accepted(got.quality, quality[:, reference]), got.quality])
    counts = verdicts(got.quality, got.cost, outcomes, reference)
    area = "" if scores is None else f"{m.accept_curve(scores, quality, reference).area:.3f}"
    rank = float(known_mean(m.ranks(quality, got.picked)))
    return (
        label, area, _with_interval(means.estimate(0)), f"{counts.wins} / {counts.ties} / {counts.losses}",
        f"{counts.relative_cost:.3f}", f"{rank:.2f}", f"{means.value[1]:.3f}",
        f"{min(thetas):.3f} to {max(thetas):.3f}" if len(thetas) else "",
    )  # fmt: skip


def _with_interval(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _sweep(scored: Scored) -> Iterator[str]:
    points = theta_points(scored, scored.thetas(steps=10))
    cells = [[f"{figure:.3f}" for figure in (p.theta, p.share, p.accept_rate, p.relative_cost)] for p in points]
    return table(SWEEP, cells)


if __name__ == "__main__":
    main()
