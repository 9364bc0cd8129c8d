"""The full variant of `aptitude` beside the lean one: one fold, few prompts, one candidate unseen.

    python -m benchmarks.aptitude_full TABLE --unseen NAME [--steps 100] [--prompts 200]

`--candidates` with `--a-step` prompts each make a step. Both read the same test and learn from the same prompts,
without the candidate that is left out, which then joins by its answers. Scores are the readers' own, not calibrated: a
language model takes too long to be fitted twice.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.figures import correlation, difference
from benchmarks.left_out import columns, last
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.data.shared_prefixes import shared_prefixes, without_prefix
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.metrics import cost_quality as m
from pipeline.routers.aptitude.language_model.reader import LanguageModelReader
from pipeline.routers.aptitude.router import AptitudeScorer
from pipeline.routers.base.settings import AptitudeParams, FinetuningParams
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.reproducibility import pin


def followed(outcomes: Outcomes, prefixes: tuple[str, ...]) -> Outcomes:
    """What follows shared beginnings, as every router reads it."""
    return replace(outcomes, prompts=tuple(without_prefix(text, prefixes) for text in outcomes.prompts))


def lines(train: Outcomes, test: Outcomes, params: AptitudeParams) -> Iterator[str]:
    """A row a variant, how they compare, and how the full one learnt."""
    known = FinetuningParams()
    embedding = FrozenEmbedding(known.encoder, known.max_tokens)
    embedding.embed(train.prompts)
    vectors = embedding.embed(test.prompts)
    heads = (
        "variant",
        "training",
        "scoring",
        "peak memory",
        "routed",
        "correlation",
        "unseen: correlation",
        "mean, expected",
    )
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|---|---|"
    made: dict[str, FloatMatrix] = {}
    for variant in ("lean", "full"):
        own = params.model_copy(update={"variant": variant})
        scorer = AptitudeScorer(embedding, 0, own, lambda said: print(said, flush=True))
        start = time.perf_counter()
        scorer.fit(columns(train, range(len(train.candidates) - 1)))
        fitted = time.perf_counter() - start
        scorer.join(train)
        start = time.perf_counter()
        made[variant] = scorer.scores(test.prompts, vectors)
        yield _row(variant, fitted, time.perf_counter() - start, made[variant], test)
    yield from _learnt(scorer, made)
    routed = {name: m.taken(test.quality, scores.argmax(axis=1)) for name, scores in made.items()}
    yield ""
    yield f"Routed, full minus lean: {difference(routed['full'] - routed['lean'])}."


def _learnt(scorer: AptitudeScorer, made: dict[str, FloatMatrix]) -> Iterator[str]:
    """The loss by tenths of the steps, and how near the full reader came to the lean one, its teacher."""
    reader = scorer._reader
    assert isinstance(reader, LanguageModelReader)
    parts = np.array_split(np.array(reader.losses), min(10, len(reader.losses)))
    near = correlation(made["full"].ravel(), made["lean"].ravel())
    yield ""
    yield f"Loss by tenths of the steps: {', '.join(f'{part.mean():.3f}' for part in parts)}."
    yield f"Correlation of the two readers over all prompts and candidates: {near:.3f}."


def _row(variant: str, fitted: float, scored: float, scores: FloatMatrix, test: Outcomes) -> str:
    quality = test.quality.astype(np.float64)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seen = [correlation(scores[:, c], quality[:, c]) for c in range(scores.shape[1] - 1)]
    cells = (
        variant, f"{fitted:.0f} s", f"{scored:.1f} s", f"{peak:.1f} GiB",
        f"{np.nanmean(m.taken(quality, scores.argmax(axis=1))):.4f}", f"{np.mean(seen):.3f}",
        f"{correlation(scores[:, -1], quality[:, -1]):.3f}",
        f"{np.nanmean(quality[:, -1]):.3f}, {scores[:, -1].mean():.3f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="The full variant of aptitude beside the lean one")
    parser.add_argument("table", type=Path)
    parser.add_argument("--unseen", required=True)
    usual = AptitudeParams()
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--candidates", type=int, default=usual.step_candidates, help="of a step")
    parser.add_argument("--a-step", type=int, default=usual.step_prompts, help="prompts of each candidate in a step")
    parser.add_argument("--tokens", type=int, default=usual.model_tokens, help="that are read of a prompt")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    pin(0, 2)
    outcomes = last(read_outcomes(asked.table), asked.unseen)
    assert outcomes.folds is not None, "the table needs a column 'fold'"
    first = np.unique(outcomes.folds)[0]
    train, test = (outcomes.rows(np.flatnonzero(rows)) for rows in (outcomes.folds != first, outcomes.folds == first))
    some = np.sort(np.random.default_rng(0).permutation(len(test))[: asked.prompts])
    prefixes = shared_prefixes(train.prompts)
    params = AptitudeParams(
        steps=asked.steps, step_candidates=asked.candidates, step_prompts=asked.a_step, model_tokens=asked.tokens
    )
    made = list(lines(followed(train, prefixes), followed(test.rows(some), prefixes), params))
    if asked.markdown:
        asked.markdown.write_text("\n".join(made) + "\n", encoding="utf-8")
    print("\n".join(made))


if __name__ == "__main__":
    main()
