"""What it does to a router when doubtful labels are put aside, or changed, without a person.

    python -m benchmarks.quarantine --tables FOLDER [--table clinc] [--systems linear classifier] [--ways WAY ...]

A tenth of the train rows get a wrong label, as in `benchmarks.label_noise`. What is doubted, and what leaves as set in
params.yaml, is decided as in a night, by heads alone; routers are judged on test prompts whose labels are right.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np
from tqdm import tqdm

from benchmarks.figures import table as markdown_table
from benchmarks.label_noise import MIXED, SpoiltTable, labelled
from benchmarks.quality.contenders import CLASSIFIER, LINEAR, TFIDF
from benchmarks.quality.report import minus, with_interval
from benchmarks.quality.scores import MICRO, drawn, figures
from benchmarks.quality.tables import Table, add_folder_option, every_table
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.learning.label_errors import LabelErrors, find_label_errors, rank_suspects
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import fit_router
from pipeline.runtime.arrays import Binary
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import pin
from pipeline.stages.label_noise import LabelNoiseParams, choose_quarantined

DOUBTED_BELOW = 0.5
ALL = "all rows"


@dataclass(frozen=True)
class Doubted:
    """Train with wrong labels planted, and its rows that are doubted."""

    planted: SpoiltTable

    @cached_property
    def found(self) -> LabelErrors:
        return find_label_errors(self.planted.heads, self.planted.given)

    @property
    def rows(self) -> Binary:
        """Those likelier wrong than right, bool [n]."""
        return self.found.quality < DOUBTED_BELOW

    @property
    def quarantined(self) -> Binary:
        """Those that a night would leave out by itself, bool [n]."""
        rows, names = self.planted.rows, self.planted.train.candidates
        ranked = rank_suspects(rows, self.planted.heads, names, len(rows))
        gone = choose_quarantined(ranked, rows, names, read("label_noise", LabelNoiseParams))
        return rows["prompt_id"].isin(gone).to_numpy()

    @property
    def wrong(self) -> Binary:
        return np.asarray(self.planted.slips != "")

    def without(self, gone: Binary) -> tuple[Outcomes, Binary]:
        """What is learnt from without some rows, and those rows."""
        return labelled(self.planted.train, self.planted.given).rows(np.flatnonzero(~gone)), gone

    def relabelled(self) -> tuple[Outcomes, Binary]:
        """What is learnt from with the labels that are suggested, and the rows that have them."""
        labels = np.where(self.rows[:, None], self.found.suggested, self.planted.given)
        return labelled(self.planted.train, labels), self.rows


Way = Callable[[Doubted], tuple[Outcomes, Binary]]
WAYS: dict[str, Way] = {
    ALL: lambda doubted: doubted.without(np.zeros_like(doubted.rows)),
    "quarantine as set": lambda doubted: doubted.without(doubted.quarantined),
    "doubted rows left out": lambda doubted: doubted.without(doubted.rows),
    "doubted rows relabelled": Doubted.relabelled,
    "wrong rows left out": lambda doubted: doubted.without(doubted.wrong),
    "clean": lambda doubted: (doubted.planted.train, doubted.wrong),
}


@dataclass
class Outcome:
    """Of one way: what was chosen for all test prompts, bool [n, c], with each seed, and how many rows were touched."""

    chosen: list[Binary] = field(default_factory=list)
    touched: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def add(self, chosen: Binary, touched: int, wrong: int) -> None:
        self.chosen.append(chosen)
        self.touched.append(touched)
        self.wrong.append(wrong)

    def told(self) -> str:
        return f"{_between(self.touched)}, of them wrong {_between(self.wrong)}"


def planted(table: Table, seeds: int) -> list[list[Doubted]]:
    """By seed what is doubted of each split's train; of a cross-validated table every split has its own slips."""
    embedding = FrozenEmbedding("minilm", 256)
    vectors = [embedding.embed(list(train.prompts)) for train, _ in table.splits]
    return [
        [
            Doubted(SpoiltTable.planted(train, each, MIXED, seed))
            for (train, _), each in zip(table.splits, vectors, strict=True)
        ]
        for seed in range(1, seeds + 1)
    ]


def measured(
    table: Table, doubted: Sequence[Sequence[Doubted]], system: str, ways: Sequence[str]
) -> dict[str, Outcome]:
    """The system fitted on what each way leaves, with the seed that the slips were planted with."""
    found = {way: Outcome() for way in ways}
    with tqdm(total=len(doubted) * len(ways) * len(table.splits), desc=system, unit="fit") as bar:
        for (seed, parts), way in product(enumerate(doubted, start=1), ways):
            chosen, touched, wrong = [], 0, 0
            for part, (_, test) in zip(parts, table.splits, strict=True):
                learnt, rows = WAYS[way](part)
                router = fit_router(system, learnt, FinetuningParams(), seed)
                chosen.append(router.predict(list(test.prompts)).chosen)
                touched, wrong = touched + int(rows.sum()), wrong + int((rows & part.wrong).sum())
                bar.update()
            found[way].add(np.concatenate(chosen), touched, wrong)
    return found


def lines(table: Table, system: str, found: dict[str, Outcome]) -> Iterator[str]:
    """A row a way, and its difference to all rows on the same prompts."""
    wanted = figures(table.rare[:0])
    scored = {way: drawn(table.truth, outcome.chosen, wanted) for way, outcome in found.items()}
    rows = []
    for way, scores in scored.items():
        less = minus(scores, scored[ALL], [MICRO]) if way != ALL else [""]
        rows.append(
            [system, way, found[way].told(), *(with_interval(each.estimate()) for each in scores.values()), *less]
        )
    yield from markdown_table(("system", "trained on", "rows touched", *wanted, f"{MICRO} minus {ALL}"), rows)


def _between(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder_option(parser)
    parser.add_argument("--table", default="clinc", choices=("shipped", "clinc", "nlupp"))
    parser.add_argument("--systems", nargs="+", default=[LINEAR, CLASSIFIER], choices=(TFIDF, LINEAR, CLASSIFIER))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help=f"besides {ALL}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    pin(1, arguments.threads)
    try:
        (table,) = every_table([arguments.table], arguments.tables)
        doubted = planted(table, arguments.seeds)
        for system in arguments.systems:
            found = measured(table, doubted, system, list(dict.fromkeys((ALL, *arguments.ways))))
            print("\n".join(lines(table, system, found)), flush=True)
    except SwitchtenderError as error:
        parser.exit(error.exit_code, f"benchmarks.quarantine: {error}\n")


if __name__ == "__main__":
    main()
