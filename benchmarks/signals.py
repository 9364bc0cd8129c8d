"""Other signals of a prompt than the bundled encoder's vector, for the same routers: five folds of outcome tables.

    python -m benchmarks.signals routerdc_train.parquet routerbench_train.parquet --markdown FILE --vectors FOLDER
    python -m benchmarks.signals TABLE --signals e5-small projection --systems knn

`hidden L`, `hidden L mean`: SmolLM2's hidden state after layer L at the prompt's last token, or the mean over its
tokens (after arXiv 2603.20895), standardised; `minilm + ...`: both beside each other, each of unit length.
`projection`: a linear map of MiniLM's vector, learnt so that a prompt lies near candidates that are right, by bands of
cost (after CSCR, arXiv 2508.12491); it is learnt within each fold. The router `classifier` is MiniLM fine-tuned on
outcomes for EPOCHS epochs. Tables have a column `fold`; nothing is learnt on the judged fold.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.cost_bands import fit_projection
from benchmarks.cross_validation import KeptEmbedding
from benchmarks.figures import difference, table
from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.data.shared_prefixes import shared_prefixes, without_prefix
from pipeline.encoders.windows import ContextWindow, EncodedPrompts
from pipeline.evaluation.recommendation import parts_of
from pipeline.evaluation.reference_strategies import LEARNT
from pipeline.metrics import cost_quality as m
from pipeline.routers.base.protocol import Predictions, gathered
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import new_router
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.arrays import FloatMatrix, Values
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.reproducibility import pin

SEED, FOLDS, TOKENS, EPOCHS = 7, 3, 160, 4
BASE, PROJECTION = "minilm", "projection"
LAYERS = (8, 15, 22, 30)
SIGNALS = (BASE, *(f"hidden {layer}" for layer in LAYERS), *(f"hidden {layer} mean" for layer in LAYERS), PROJECTION)
FINETUNED = "classifier"
SYSTEMS = ("knn", "linear", "clusters", "tasks", FINETUNED)


@dataclass(frozen=True)
class Prompts:
    """A table, what follows its shared beginnings, and the folder that keeps vectors between runs."""

    name: str
    outcomes: Outcomes
    texts: tuple[str, ...]
    kept: Path | None
    known: dict[str, FloatMatrix] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, kept: Path | None) -> Prompts:
        outcomes = read_outcomes(path)
        if outcomes.folds is None:
            raise InputError(f"{path} has no column 'fold'; add one with whole numbers")
        prefixes = shared_prefixes(outcomes.prompts)
        return cls(path.stem, outcomes, tuple(without_prefix(text, prefixes) for text in outcomes.prompts), kept)

    def vectors(self, signal: str) -> FloatMatrix:
        """Unit vectors float32 [n, width] of a signal that knows no outcome; computed once, then kept."""
        if " + " in signal:
            return unit(np.hstack([self.vectors(part) for part in signal.split(" + ")]))
        if signal not in self.known and self.kept and (path := self._path(signal)).is_file():
            self.known[signal] = np.load(path)
        if signal not in self.known:
            found = hidden_states(self.texts) if signal.startswith("hidden") else {signal: self._encoded(signal)}
            self.known.update(found)
            self._keep(found)
        return self.known[signal]

    def _encoded(self, encoder: str) -> FloatMatrix:
        return KeptEmbedding(encoder, 128).embed(self.texts)

    def _keep(self, found: dict[str, FloatMatrix]) -> None:
        for signal, vectors in found.items() if self.kept else ():
            path = self._path(signal)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, vectors)

    def _path(self, signal: str) -> Path:
        assert self.kept is not None
        return self.kept / f"{self.name}.{signal.replace(' ', '-')}.npy"


def unit(vectors: FloatMatrix) -> FloatMatrix:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def hidden_states(texts: Sequence[str]) -> dict[str, FloatMatrix]:
    """Of a causal language model after each of LAYERS, at the last token and the mean: [n, width], standardised."""
    import torch

    from pipeline.encoders.causal_lm import load_causal

    tokenizer, model = load_causal("smollm2", "--signals")
    found: dict[str, list[FloatMatrix]] = {}
    for text in tqdm(texts, desc="hidden states", unit="prompt"):
        ids = token_ids(tokenizer, text)
        with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16):
            read = model(
                torch.tensor([ids], device=model.device), output_hidden_states=True, logits_to_keep=1, use_cache=False
            )
        for layer in LAYERS:
            states = read.hidden_states[layer][0].float().cpu()
            found.setdefault(f"hidden {layer}", []).append(states[-1].numpy())
            found.setdefault(f"hidden {layer} mean", []).append(states.mean(dim=0).numpy())
    return {signal: standardised(np.stack(rows)) for signal, rows in found.items()}


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """At most TOKENS of a text: both its ends."""
    room = ContextWindow(TOKENS, before=0, after=0)
    return room.ends(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] or [0])


def standardised(states: FloatMatrix) -> FloatMatrix:
    """Each axis with mean 0 and deviation 1, then each row of unit length."""
    return unit((states - states.mean(axis=0)) / (states.std(axis=0) + 1e-6))


def crossvalidated(prompts: Prompts, signal: str, system: str, folds: int) -> Predictions:
    """Predictions of the rows of so many folds by a router that read this signal and never saw the row's fold."""
    outcomes, made = prompts.outcomes, []
    vectors = prompts.vectors(BASE if signal == PROJECTION else signal)
    assert outcomes.folds is not None
    for part, rows in parts_of(outcomes, outcomes.folds)[:folds]:
        known = vectors
        if signal == PROJECTION:
            known = fit_projection(vectors[outcomes.folds != outcomes.folds[rows[0]]], part, SEED)(vectors)
        router = _router(system, GivenVectors(outcomes.prompts, known))
        router.fit(replace(part, datasets=None), inner_folds(part, FOLDS, SEED))
        made.append((rows, router.predict([outcomes.prompts[row] for row in rows])))
    return gathered(made)


class GivenVectors(KeptEmbedding):
    """Knows the vector of each prompt of a table, whatever beginning a router cuts off, and reads nothing."""

    def __init__(self, prompts: Sequence[str], vectors: FloatMatrix) -> None:
        super().__init__(BASE, 128)
        self.prompts, self.given = prompts, vectors

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        for text in dict.fromkeys(prompts):
            if text not in self._readings:
                row = next(row for row, prompt in enumerate(self.prompts) if prompt.endswith(text))
                self._readings[text] = self.given[[row]], 1
        return super().read(prompts)


def _router(system: str, embedding: KeptEmbedding) -> CalibratedRouter:
    if system == FINETUNED:
        return new_router(FINETUNED, FinetuningParams(epochs=EPOCHS, networks=1), SEED)
    return CalibratedRouter(LEARNT[system](embedding, SEED) if system in LEARNT else TasksScorer(embedding, SEED))


def lines(prompts: Prompts, signals: Sequence[str], systems: Sequence[str], folds: int) -> Iterator[str]:
    """A row a signal: by router quality over prompts / data sets, and the paired difference to MiniLM."""
    outcomes, base = prompts.outcomes, dict[str, Values]()
    assert outcomes.folds is not None
    judged = np.flatnonzero(np.isin(outcomes.folds, np.unique(outcomes.folds)[:folds]))
    names = np.array(outcomes.datasets or ("",) * len(outcomes))[judged]
    rows: dict[str, list[str]] = {}
    for signal in dict.fromkeys((BASE, *signals)):
        for system in systems:
            start = time.process_time()
            if system == FINETUNED and signal != BASE:
                rows[signal].append("")
                continue
            picks = crossvalidated(prompts, signal, system, folds).quality.argmax(axis=1)
            got = m.taken(outcomes.quality[judged], picks)
            base.setdefault(system, got)
            over = np.mean([np.nanmean(got[names == name]) for name in np.unique(names)])
            apart = "" if signal == BASE else f" {difference(got - base[system])}"
            cell = f"{np.nanmean(got):.4f} / {over:.4f}{apart}"
            rows.setdefault(signal, []).append(cell)
            print(prompts.name, signal, system, cell, f"{time.process_time() - start:.0f} s", flush=True)
    yield f"### {prompts.name}: {len(judged):,} judged prompts, {len(outcomes.candidates)} candidates"
    yield ""
    yield from table(("signal", *systems), ([signal, *cells] for signal, cells in rows.items()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="outcome tables with a column fold")
    parser.add_argument("--signals", nargs="+", default=SIGNALS, help="also `minilm + hidden 15`, or an encoder's name")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS[:3])
    parser.add_argument("--folds", type=int, default=5, help="so many of the table's folds are judged")
    parser.add_argument("--vectors", type=Path, help="a folder that keeps vectors between runs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    try:
        pin(SEED, options.threads)
        with threadpool_limits(options.threads):
            found = [
                lines(Prompts.read(path, options.vectors), options.signals, options.systems, options.folds)
                for path in options.tables
            ]
            text = "\n\n".join("\n".join(each) for each in found)
    except SwitchtenderError as error:
        print(f"benchmarks.signals: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
