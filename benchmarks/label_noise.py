"""How many planted wrong labels stand first among the suspects, by ranking, table and kind of slip.

    python -m benchmarks.label_noise [--tables FOLDER] [--only TABLE ...] [--kinds mixed] [--seeds 3] [--heads-only]

A tenth of the train rows get a wrong label: an agent swapped for another, one added, one dropped (of several), or a
third of each. The tables are those of `benchmarks.quality`, their train rows alone. Networks are trained anew for each
line, which takes minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.metrics import average_precision_score

from benchmarks.quality.report import with_interval
from benchmarks.quality.tables import NAMES, Table, add_folder_option, every_table
from pipeline.data.folds import make_folds
from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.learning.label_errors import LabelErrors, calibrated, find_label_errors, pooled
from pipeline.metrics.bootstrap import Estimate, resamples
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.classifier import ClassifierScorer
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.reproducibility import pin
from pipeline.stages.label_noise import out_of_fold_probabilities

SWAP, ADD, DROP = KINDS = ("swap", "add", "drop")
MIXED = "mixed"
SHARE, FOLDS = 0.1, 6
TABLES = ("shipped", "clinc", "nlupp")


@dataclass(frozen=True)
class SpoiltTable:
    """Train with wrong labels planted, and what heads that did not see a row say of it.

    `given` bool [n, c] are the labels as planted, `slips` [n] the kind of each row's slip, '' where it has none; `rows`
    are the prompts with the labels given, as a night has them.
    """

    train: Outcomes
    given: Binary
    slips: Values
    rows: pd.DataFrame
    heads: FloatMatrix

    @classmethod
    def planted(cls, train: Outcomes, vectors: FloatMatrix, kind: str, seed: int) -> SpoiltTable:
        given, slips = spoilt(train.quality > 0.5, kind, seed)
        cells = [SEPARATOR.join(np.array(train.candidates)[row]) for row in given]
        rows = pd.DataFrame({"prompt_id": train.prompt_ids, "prompt": train.prompts, "agents": cells})
        rows = rows.assign(fold=make_folds(labelled(train, given), FOLDS, seed), phrase="", review="")
        return cls(train, given, slips, rows, out_of_fold_probabilities(rows, train.candidates, vectors))

    def rankings(self, seed: int, heads_only: bool) -> dict[str, LabelErrors]:
        """The suspects by each way to rank them."""
        found = {
            "margin, heads": margin(self.heads, self.given),
            "cleanlab's own, heads": cleanlab_own(self.heads, self.given),
            "slips, heads": find_label_errors(self.heads, self.given),
        }
        if not heads_only:
            networks = self.network_probabilities(seed)
            both = pooled([self.heads, networks], self.given, self.rows["fold"].to_numpy())
            found["slips, networks"] = find_label_errors(networks, self.given)
            found["slips, both"] = find_label_errors(both, self.given)
        return found

    def network_probabilities(self, seed: int) -> FloatMatrix:
        """What the classifier's fold networks say of the rows that they did not see."""
        outcomes, params = labelled(self.train, self.given), FinetuningParams()
        folds = make_folds(outcomes, params.folds, seed)
        return calibrated(ClassifierScorer(params, seed).cross_fit(outcomes, folds).scores, self.given, folds)


def labelled(train: Outcomes, labels: Binary) -> Outcomes:
    """The same prompts with other labels, bool [n, c]."""
    return replace(train, quality=labels.astype(np.float32))


def spoilt(truth: Binary, kind: str, seed: int) -> tuple[Binary, Values]:
    """The labels with slips planted blindly, bool [n, c], and each row's kind of slip, '' where there is none.

    Raises:
        InputError: too few rows have a label to drop.
    """
    generator = np.random.default_rng(seed)
    given, slips = truth.copy(), np.full(len(truth), "", dtype=object)
    count = round(SHARE * len(truth))
    order = generator.permutation(len(truth))
    several = [row for row in order if truth[row].sum() > 1]
    planned = [KINDS[number % 3] if kind == MIXED else kind for number in range(count)]
    for slip in sorted(planned, key=lambda one: one != DROP):
        row = next((row for row in (several if slip == DROP else order) if not slips[row]), None)
        if row is None:
            raise InputError(
                f"{len(several)} rows have several agents, too few to drop one of; plant swap or add alone"
            )
        slips[row] = slip
        absent = generator.choice(np.flatnonzero(~truth[row]))
        present = generator.choice(np.flatnonzero(truth[row]))
        given[row, absent] = slip != DROP
        given[row, present] = slip == ADD
    return given, slips


def margin(probabilities: FloatMatrix, given: Binary) -> LabelErrors:
    """The ranking before this one: the likeliest agent not given against the mean of those given."""
    logits = logit(np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6))
    right = np.where(given, logits, 0.0).sum(axis=1) / given.sum(axis=1)
    return LabelErrors(np.where(given, -np.inf, logits).max(axis=1) - right, probabilities >= 0.5)


def cleanlab_own(probabilities: FloatMatrix, given: Binary) -> LabelErrors:
    """cleanlab's ranking of rows with several labels by its defaults, an exponential moving average of self-confidence.

    What it suggests is what is likelier than one half.
    """
    from cleanlab.multilabel_classification import get_label_quality_scores

    labels = [np.flatnonzero(row).tolist() for row in given]
    quality = get_label_quality_scores(labels, probabilities.astype(np.float64))
    return LabelErrors(-np.asarray(quality), probabilities >= 0.5)


@dataclass(frozen=True)
class Ranked:
    """Suspects in their order, beside what was planted: `truth` bool [n, c], `slips` [n] as in `SpoiltTable`."""

    found: LabelErrors
    truth: Binary
    slips: Values

    def of_kind(self, kind: str) -> float:
        """Average precision of one kind of slip among the right rows; NaN where none was planted."""
        among = (self.slips == "") | (self.slips == kind)
        wrong = (self.slips == kind)[among]
        return average_precision_score(wrong, self.found.log_odds[among]) if wrong.any() else np.nan

    def mended(self) -> float:
        """The share of wrong rows among the first suspects whose suggestion is the truth."""
        wrong = self.slips != ""
        seen = first(self.found.log_odds, 2 * wrong.sum()) & wrong
        return float((self.found.suggested == self.truth).all(axis=1)[seen].mean())

    def headline(self, rows: Indices | slice = slice(None)) -> tuple[float, float]:
        """Average precision, and recall at twice the wrong, of a resample of the rows; NaN where none is wrong."""
        wrong, log_odds = (self.slips != "")[rows], self.found.log_odds[rows]
        if not wrong.any():
            return np.nan, np.nan
        recall = (first(log_odds, 2 * wrong.sum()) & wrong).sum() / wrong.sum()
        return average_precision_score(wrong, log_odds), recall


def first(log_odds: Values, count: int) -> Binary:
    """Which rows are among the first so many suspects."""
    found = np.zeros(len(log_odds), dtype=bool)
    found[np.argsort(-log_odds, kind="stable")[:count]] = True
    return found


def measured(table: Table, kind: str, seeds: int, heads_only: bool) -> dict[str, list[Ranked]]:
    """The suspects by each ranking, one a seed."""
    train = table.everything
    vectors = FrozenEmbedding("minilm", 256).embed(list(train.prompts))
    found: dict[str, list[Ranked]] = {}
    for seed in range(1, seeds + 1):
        planted = SpoiltTable.planted(train, vectors, kind, seed)
        for ranking, errors in planted.rankings(seed, heads_only).items():
            found.setdefault(ranking, []).append(Ranked(errors, train.quality > 0.5, planted.slips))
    return found


def told(ranked: Sequence[Ranked]) -> list[str]:
    """Means over seeds; the same prompts are resampled in all of them."""
    draws = resamples(len(ranked[0].slips), 1000, 0)
    resampled = np.array([[each.headline(rows) for rows in draws] for each in ranked]).mean(axis=0)
    means = np.mean([each.headline() for each in ranked], axis=0)
    precision, recall = (with_interval(Estimate.of(means[at], resampled[:, at])) for at in (0, 1))
    of_kinds = [np.mean([each.of_kind(kind) for each in ranked]) for kind in KINDS]
    mended = np.mean([each.mended() for each in ranked])
    return [precision, *map(_short, of_kinds), recall, _short(mended)]


def _short(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}".removeprefix("0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder_option(parser)
    parser.add_argument("--only", nargs="+", default=TABLES, choices=NAMES, metavar="TABLE")
    parser.add_argument("--kinds", nargs="+", default=[MIXED], choices=(MIXED, *KINDS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads-only", action="store_true", help="without training networks: seconds a line")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    pin(1, arguments.threads)
    try:
        found = every_table(arguments.only, arguments.tables)
        print("| table | planted | ranking | seeds | AP | swap | add | drop | recall at 2k | suggested right |")
        print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for table, kind in product(found, arguments.kinds):
            for ranking, ranked in measured(table, kind, arguments.seeds, arguments.heads_only).items():
                cells = " | ".join([table.name, kind, ranking, str(len(ranked)), *told(ranked)])
                print(f"| {cells} |", flush=True)
    except SwitchtenderError as error:
        parser.exit(error.exit_code, f"benchmarks.label_noise: {error}\n")


if __name__ == "__main__":
    main()
