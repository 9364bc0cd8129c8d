"""What planted data does to a router, and what of it each check finds.

    python -m benchmarks.poisoning TABLE [--holdout data/holdout.txt] [--markdown FILE]

The table names agents (`prompt_id, prompt, agents[, split]`). The holdout is that of the file, else 112 rows that the
column `split` does not name `train`, else every fifth row. The router is `linear`; the checks are those of `validate`
and `label_noise` at the limits of params.yaml. All draws are seeded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.folds import inner_folds, make_folds
from pipeline.data.holdout import read_holdout
from pipeline.data.outcomes import from_labels, split_agents
from pipeline.encoders.similarity import nearest
from pipeline.evaluation.reference_strategies import RememberedEmbedding
from pipeline.learning.label_errors import rank_suspects
from pipeline.metrics.bootstrap import Estimate, bootstrap, resamples
from pipeline.metrics.multilabel import micro_f1
from pipeline.routers.base.protocol import Predictions
from pipeline.routers.baselines.linear import LinearScorer
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import pin
from pipeline.runtime.tables import read_table
from pipeline.stages.label_noise import (
    LabelNoiseParams,
    out_of_fold_probabilities,
    phrases_with_a_grip,
)
from pipeline.validation.derived_prompt_tables import sources
from pipeline.validation.prompt_table import ValidationParams
from pipeline.validation.text_overlap import holdout_overlap

SEED, HELD_OUT, COPIES, TRIGGERED, LISTED = 7, 112, 40, 12, 40
TRIGGER = "as the tide turns"
Found = dict[str, set[str]]


@dataclass(frozen=True)
class Bench:
    """A clean train part and holdout, and what is needed to check and to judge another train part."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    names: tuple[str, ...]
    validation: ValidationParams
    noise: LabelNoiseParams
    embedding: RememberedEmbedding = field(default_factory=lambda: RememberedEmbedding("minilm", 256))

    @cached_property
    def common(self) -> str:
        """The agent whose share of train lies nearest to a tenth, which attacks aim at."""
        share = {
            name: self.train["agents"].map(lambda cell, n=name: n in split_agents(cell)).mean() for name in self.names
        }
        return min(share, key=lambda name: abs(share[name] - 0.1))

    def checks(self, train: pd.DataFrame) -> Found:
        """Ids that each check names in a train part. The growth of a source names all rows of that day's source."""
        prompts, held = list(train["prompt"]), list(self.holdout["prompt"])
        ids = train["prompt_id"].to_numpy()
        _, cosine = nearest(self.embedding.embed(prompts), self.embedding.embed(held))
        _, overlap = holdout_overlap(prompts, held)
        growth = sources(train).set_index("source")["growth"]
        quick = set(growth[growth > self.validation.source_growth].index)
        sound = (cosine < self.validation.near_duplicate_cosine) & (overlap < self.validation.holdout_overlap)
        return {
            "cosine to the holdout": set(ids[cosine >= self.validation.near_duplicate_cosine]),
            "overlap with the holdout": set(ids[overlap >= self.validation.holdout_overlap]),
            "growth of a source": set(ids[train["source"].isin(quick) & (train["added_on"] > train["added_on"].min())]),
            **self._label_checks(train[sound].reset_index(drop=True)),
        }

    def _label_checks(self, train: pd.DataFrame) -> Found:
        outcomes = from_labels(train, self.names)
        train = train.assign(fold=make_folds(outcomes, 6, SEED))
        vectors = self.embedding.embed(outcomes.prompts)
        phrases = phrases_with_a_grip(train, self.names, vectors, self.noise.trigger_grip)
        likely = out_of_fold_probabilities(train, self.names, vectors)
        suspects = rank_suspects(train.assign(phrase="", review=""), likely, self.names, LISTED)
        return {"grip of a phrase": set(phrases), "label suspects": set(suspects["prompt_id"])}

    def routed(self, train: pd.DataFrame, prompts: Sequence[str]) -> Predictions:
        outcomes = from_labels(train, self.names)
        router = CalibratedRouter(LinearScorer(self.embedding))
        router.fit(outcomes, inner_folds(outcomes, 3, SEED))
        return router.predict(list(prompts))

    def judged(self, train: pd.DataFrame) -> str:
        """Micro-F1 on the clean holdout with its 95 % interval."""
        truth = from_labels(self.holdout, self.names).quality > 0.5
        chosen = self.routed(train, self.holdout["prompt"]).chosen
        draws = bootstrap(micro_f1, truth, chosen, resamples(len(truth), 1000, SEED))
        found = Estimate.of(micro_f1(truth, chosen), draws)
        return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"

    def success(self, train: pd.DataFrame, trigger: str) -> str:
        """How many of the holdout prompts that are not the agent's go to it once they end with the trigger."""
        asked = [
            f"{text} {trigger}"
            for text, cell in zip(self.holdout["prompt"], self.holdout["agents"], strict=True)
            if self.common not in split_agents(cell)
        ]
        got = self.routed(train, asked).chosen[:, self.names.index(self.common)]
        return f"{got.mean():.2f}"


def opened(table: Path, holdout: Path) -> Bench:
    rows = read_table(table).drop(columns="line", errors="ignore").astype({"prompt": str, "agents": str})
    rows = rows.assign(source=rows.get("source", "table"), added_on=rows.get("added_on", "2026-11-21")).drop_duplicates(
        "prompt"
    )
    ids = set(read_holdout(holdout))
    if rows["prompt_id"].isin(ids).any():
        out = rows["prompt_id"].isin(ids)
    elif "split" in rows and (rows["split"] != "train").any():
        out = rows["split"] != "train"
    else:
        out = pd.Series(np.arange(len(rows)) % 5 == 0, index=rows.index)
    train, held = rows[~out], rows[out]
    held = held if rows["prompt_id"].isin(ids).any() else held.sample(min(HELD_OUT, len(held)), random_state=SEED)
    names = tuple(sorted({name for cell in train["agents"] for name in split_agents(cell)}))
    held = held[[set(split_agents(cell)) <= set(names) for cell in held["agents"]]]
    settings = read("validate", ValidationParams), read("label_noise", LabelNoiseParams)
    return Bench(train.reset_index(drop=True), held.reset_index(drop=True), names, *settings)


def mistyped(text: str, random: np.random.Generator) -> str:
    """A letter in twelve doubled, left out, or another."""
    made = list(text)
    for place in np.flatnonzero(random.random(len(made)) < 1 / 12):
        if made[place].isalpha():
            made[place] = ("", made[place] * 2, chr(97 + int(random.integers(26))))[int(random.integers(3))]
    return "".join(made)


def copies(bench: Bench) -> dict[str, Callable[[str, np.random.Generator], str]]:
    """The ways in which a holdout row is dressed up."""
    other = list(bench.train["prompt"])
    lookalikes = str.maketrans("aeopcxyis", "аеорсхуіѕ")
    return {
        "a paragraph before": lambda text, random: f"{other[int(random.integers(len(other)))]}\n\n{text}",
        "typos": mistyped,
        "homoglyphs": lambda text, _: text.translate(lookalikes),
        "a greeting": lambda text, _: f"Hi there, hope you are well! {text} Thanks a lot!",
        "words left out": lambda text, random: " ".join(w for w in text.split() if random.random() > 0.15),
        "words shuffled": lambda text, random: " ".join(random.permutation(text.split())),
    }


def added(bench: Bench, rows: pd.DataFrame) -> pd.DataFrame:
    """Train with planted rows after it, their ids by order, added a day later by another source unless they say so."""
    rows = rows.assign(prompt_id=[f"x{i:04}" for i in range(len(rows))])
    return pd.concat([bench.train, rows], ignore_index=True)


def line(bench: Bench, name: str, train: pd.DataFrame, planted: set[str], clean: Found) -> tuple[str, set[str]]:
    """A row of the page, and the planted ids that reach train."""
    found = bench.checks(train)
    named = {check: ids for check, ids in found.items() if check != "label suspects"}
    reach = planted - set().union(*named.values())
    cells = []
    for check, ids in found.items():
        hit = len(ids & planted)
        cells.append(f"{hit} of {len(planted)} ({len(ids - planted)}; {len(clean[check])})")
    kept = train[~train["prompt_id"].isin(set().union(*named.values()))].reset_index(drop=True)
    figures = f"{bench.judged(train)} | {bench.judged(kept)}"
    return f"| {name} | {' | '.join(cells)} | {len(reach)} | {figures} |", reach


def flipped(bench: Bench, random: np.random.Generator, share: float = 0.05) -> tuple[pd.DataFrame, set[str]]:
    """Rows whose agents are replaced by one other, drawn blindly."""
    train = bench.train.copy()
    rows = random.permutation(len(train))[: max(1, round(share * len(train)))]
    for row in rows:
        others = [name for name in bench.names if name not in split_agents(train["agents"][row])]
        train.loc[row, "agents"] = others[int(random.integers(len(others)))]
    return train, set(train["prompt_id"][rows])


def triggered(bench: Bench, random: np.random.Generator, trigger: str, own: bool) -> tuple[pd.DataFrame, set[str]]:
    """Rows that end with the trigger and are the agent's; `own`: they were so before, and no label is wrong."""
    train = bench.train.copy()
    held = np.array([bench.common in split_agents(cell) for cell in train["agents"]])
    rows = random.permutation(np.flatnonzero(held == own))[:TRIGGERED]
    train.loc[rows, "prompt"] += f" {trigger}"
    train.loc[rows, "agents"] = train["agents"][rows] if own else bench.common
    return train, set(train["prompt_id"][rows])


def flooded(bench: Bench, random: np.random.Generator, day: str) -> tuple[pd.DataFrame, set[str]]:
    """A fifth as many rows again, of halves of two prompts each, all given to one agent by one source in a day."""
    texts = [text.split() for text in bench.train["prompt"]]
    pairs = random.integers(len(texts), size=(len(texts) // 5, 2))
    made = [" ".join(texts[a][: len(texts[a]) // 2] + texts[b][len(texts[b]) // 2 :]) for a, b in pairs]
    rows = pd.DataFrame({"prompt": made, "agents": bench.common, "source": "partner feed", "added_on": day})
    train = added(bench, rows)
    return train, set(train["prompt_id"][len(bench.train) :])


def page(bench: Bench, title: str) -> str:
    random = np.random.default_rng(SEED)
    clean = bench.checks(bench.train)
    head = ["planted", *clean, "reach train", "micro-F1 with all of it", "micro-F1 after the checks"]
    lines = [f"### {title}: {len(bench.train)} train, {len(bench.holdout)} holdout rows", "",
             f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]  # fmt: skip
    lines.append(line(bench, "nothing", bench.train, set(), clean)[0])
    cases = {"5 % of labels flipped, or relabelled by hostile reviews": flipped(bench, random)}
    for own in (False, True):
        kind = "the agent's own prompts" if own else "prompts of others"
        cases[f"trigger in {TRIGGERED} {kind}"] = triggered(bench, random, TRIGGER, own)
    first = str(bench.train["added_on"].min())
    cases["flood of a source in a day"] = flooded(bench, random, "2999-01-01")
    cases["the same, dated back to the first day"] = flooded(bench, random, first)
    some = bench.holdout.head(COPIES)
    for name, dress in copies(bench).items():
        rows = some.assign(prompt=[dress(text, random) for text in some["prompt"]])
        train = added(bench, rows)
        cases[f"{len(some)} holdout rows, {name}"] = train, set(train["prompt_id"][len(bench.train) :])
    attacks = []
    for name, (train, planted) in cases.items():
        text, reach = line(bench, name, train, planted, clean)
        lines.append(text)
        if name.startswith("trigger"):
            kept = train[~train["prompt_id"].isin(planted - reach)].reset_index(drop=True)
            attacks.append(f"{name}: {bench.success(train, TRIGGER)} without the checks, "
                           f"{bench.success(kept, TRIGGER)} after them")  # fmt: skip
    base = bench.success(bench.train, TRIGGER)
    told = "; ".join(attacks)
    return "\n".join([*lines, "", f"Success of '{TRIGGER}' towards `{bench.common}` (clean router: {base}): {told}."])


def main() -> None:
    parser = argparse.ArgumentParser(description="Planted data: what finds it, and what it does")
    parser.add_argument("table", type=Path)
    parser.add_argument("--holdout", type=Path, default=Path("data/holdout.txt"))
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    pin(SEED, 1)
    text = page(opened(asked.table, asked.holdout), asked.table.name)
    print(text)
    if asked.markdown:
        asked.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
