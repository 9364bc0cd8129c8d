"""How many planted wrong labels stand first among the suspects, by ranking, table and kind of slip.

    python -m benchmarks.label_noise [--tables FOLDER] [--kinds mixed] [--seeds 3] [--heads-only]

A tenth of the train rows get a wrong label: an agent swapped for another, one added, one dropped (of several), or a
third of each. The shipped table is measured, and each Parquet file of FOLDER (`prompt_id`, `prompt`, `agents`; where it
has a column `split`, its rows that are `train`). Networks are trained anew for each line, which takes minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.metrics import average_precision_score

from pipeline.data.agents import read_agents
from pipeline.data.folds import make_folds
from pipeline.data.holdout import named_matrix, read_holdout
from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import from_labels, split_agents
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.learning.label_errors import LabelErrors, calibrated, find_label_errors, pooled
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.classifier import ClassifierScorer
from pipeline.runtime.arrays import Binary, FloatMatrix, Values
from pipeline.runtime.reproducibility import pin
from pipeline.runtime.tables import read_table
from pipeline.stages.label_noise import out_of_fold_probabilities

SWAP, ADD, DROP = KINDS = ("swap", "add", "drop")
MIXED = "mixed"
SHARE, FOLDS = 0.1, 6
Table = tuple[str, pd.DataFrame, tuple[str, ...]]


def tables(folder: Path | None) -> Iterator[Table]:
    """Each table's name, train rows and agents."""
    rows = read_table(Path("data/prompts.csv"))
    held_out = rows["prompt_id"].isin(read_holdout(Path("data/holdout.txt")))
    yield "prompts.csv", rows[~held_out].reset_index(drop=True), tuple(agent.name for agent in read_agents())
    for path in sorted(folder.glob("*.parquet")) if folder else ():
        rows = read_table(path)
        rows = rows[rows["split"] == "train"].reset_index(drop=True) if "split" in rows else rows
        yield path.name, rows, tuple(sorted({name for cell in rows["agents"] for name in split_agents(cell)}))


def spoilt(truth: Binary, kind: str, seed: int) -> tuple[Binary, Values]:
    """The labels with slips planted blindly, bool [n, c], and each row's kind of slip, '' where there is none."""
    generator = np.random.default_rng(seed)
    given, slips = truth.copy(), np.full(len(truth), "", dtype=object)
    count = round(SHARE * len(truth))
    order = generator.permutation(len(truth))
    several = [row for row in order if truth[row].sum() > 1]
    planned = [KINDS[number % 3] if kind == MIXED else kind for number in range(count)]
    for slip in sorted(planned, key=lambda one: one != DROP):
        row = next((row for row in (several if slip == DROP else order) if not slips[row]), None)
        if row is None:
            continue
        slips[row] = slip
        absent = generator.choice(np.flatnonzero(~truth[row]))
        present = generator.choice(np.flatnonzero(truth[row]))
        given[row, absent] = slip != DROP
        given[row, present] = slip == ADD
    return given, slips


def network_probabilities(train: pd.DataFrame, names: tuple[str, ...], seed: int) -> FloatMatrix:
    """What the classifier's fold networks say of the rows that they did not see."""
    outcomes, params = from_labels(train, names), FinetuningParams()
    folds = make_folds(outcomes, params.folds, seed)
    scores = ClassifierScorer(params, seed).cross_fit(outcomes, folds).scores
    return calibrated(scores, named_matrix(train["agents"], names), folds)


def margin(probabilities: FloatMatrix, given: Binary) -> LabelErrors:
    """The ranking before this one: the likeliest agent not given against the mean of those given."""
    logits = logit(np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6))
    right = np.where(given, logits, 0.0).sum(axis=1) / given.sum(axis=1)
    return LabelErrors(np.where(given, -np.inf, logits).max(axis=1) - right, probabilities >= 0.5)


def figures(found: LabelErrors, truth: Binary, slips: Values) -> list[float]:
    """Average precision, that of each kind among right rows, recall at twice the wrong, and share rightly mended."""
    wrong = slips != ""
    first = np.zeros(len(wrong), dtype=bool)
    first[np.argsort(-found.log_odds, kind="stable")[: 2 * wrong.sum()]] = True
    precision = [average_precision_score(wrong, found.log_odds)]
    for kind in KINDS:
        among = ~wrong | (slips == kind)
        any_of_kind = (slips == kind).any()
        precision.append(average_precision_score(wrong[among], found.log_odds[among]) if any_of_kind else np.nan)
    mended = (found.suggested == truth).all(axis=1)[first & wrong].mean()
    return [*precision, (first & wrong).sum() / wrong.sum(), float(mended)]


def rankings(
    rows: pd.DataFrame, names: tuple[str, ...], vectors: FloatMatrix, given: Binary, seed: int, heads_only: bool
) -> dict[str, LabelErrors]:
    labels = [SEPARATOR.join(name for name, one in zip(names, row, strict=True) if one) for row in given]
    train = rows.assign(agents=labels)
    train = train.assign(fold=make_folds(from_labels(train, names), FOLDS, seed))
    heads = out_of_fold_probabilities(train, names, vectors)
    found = {"margin, heads": margin(heads, given), "slips, heads": find_label_errors(heads, given)}
    if not heads_only:
        networks = network_probabilities(train, names, seed)
        both = pooled([heads, networks], given, train["fold"].to_numpy())
        found["slips, networks"] = find_label_errors(networks, given)
        found["slips, both"] = find_label_errors(both, given)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--kinds", nargs="+", default=[MIXED], choices=(MIXED, *KINDS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads-only", action="store_true", help="without training networks: seconds a line")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    pin(1, arguments.threads)
    print("| table | planted | ranking | seeds | AP | swap | add | drop | recall at 2k | suggested right |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for table, rows, names in tables(arguments.tables):
        vectors = FrozenEmbedding("minilm", 256).embed(list(rows["prompt"]))
        truth = named_matrix(rows["agents"], names)
        for kind in arguments.kinds:
            measured: dict[str, list[list[float]]] = {}
            for seed in range(1, arguments.seeds + 1):
                given, slips = spoilt(truth, kind, seed)
                found = rankings(rows, names, vectors, given, seed, arguments.heads_only)
                for ranking, errors in found.items():
                    measured.setdefault(ranking, []).append(figures(errors, truth, slips))
            for ranking, values in measured.items():
                cells = " | ".join("" if np.isnan(value) else f"{value:.2f}" for value in np.mean(values, axis=0))
                print(f"| {table} | {kind} | {ranking} | {len(values)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
