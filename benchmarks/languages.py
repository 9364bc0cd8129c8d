"""How routers that learnt from English prompts do on the same requests in other languages, by encoder.

    python -m benchmarks.languages --encoders minilm e5-small --systems linear classifier

Prompts of the first fold of the shipped table were translated (benchmarks/data/translated.csv). Each router learns
from the other folds, as they are, and is asked these prompts in English and in the other languages.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.figures import table as markdown_table
from benchmarks.quality.contenders import CLASSIFIER, LINEAR
from benchmarks.quality.report import plus_minus, with_interval
from benchmarks.quality.scores import Drawn, Sums
from benchmarks.quality.tables import tables
from pipeline.data.outcomes import Outcomes
from pipeline.metrics.bootstrap import resampling_weights
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import fit_router
from pipeline.runtime.arrays import Binary, Indices
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.reproducibility import pin
from pipeline.runtime.tables import read_table

TRANSLATED = Path(__file__).parent / "data" / "translated.csv"
ENGLISH = "English"


@dataclass(frozen=True)
class Asked:
    """What routers learn from, and m questions: their language, the number of the English prompt that each says, and
    the agents that it asks for, bool [m, c].
    """

    train: Outcomes
    prompts: list[str]
    languages: list[str]
    origin: Indices
    truth: Binary

    @classmethod
    def read(cls) -> Asked:
        train, test = tables(["shipped"], None)[0][0].splits[0]
        rows = read_table(TRANSLATED, ("prompt_id", "language", "prompt"))
        known = {name: row for row, name in enumerate(test.prompt_ids)}
        english = rows["prompt_id"].drop_duplicates()
        origin = [known[name] for name in [*english, *rows["prompt_id"]]]
        prompts = [*(test.prompts[known[name]] for name in english), *rows["prompt"]]
        languages = [ENGLISH] * len(english) + list(rows["language"])
        return cls(train, prompts, languages, np.unique(origin, return_inverse=True)[1], test.quality[origin] > 0.5)

    def micro_f1(self, chosen: Binary, rows: Indices) -> Drawn:
        """Of some questions; what is resampled are the prompts in all their languages at once."""
        truth, picked, origin = self.truth[rows], chosen[rows], self.origin[rows]
        draws = [
            Sums.of(truth, picked, weights[:, origin]).micro_f1()
            for weights in resampling_weights(int(self.origin.max()) + 1)
        ]
        whole = Sums.of(truth, picked, np.ones((1, len(rows)))).micro_f1()
        return Drawn(float(whole[0]), np.concatenate(draws))


def lines(asked: Asked, chosen: dict[str, Binary]) -> Iterator[str]:
    """A row a language, a column a router; then all that were translated, and what they lose."""
    languages = np.array(asked.languages)
    parts = {name: np.flatnonzero(languages == name) for name in dict.fromkeys(asked.languages)}
    parts["all but English"] = np.flatnonzero(languages != ENGLISH)
    scored = {part: [asked.micro_f1(each, rows) for each in chosen.values()] for part, rows in parts.items()}
    told = [
        [part, str(len(parts[part])), *(with_interval(each.estimate()) for each in row)] for part, row in scored.items()
    ]
    lost = [
        plus_minus((other - english).estimate())
        for other, english in zip(scored["all but English"], scored[ENGLISH], strict=True)
    ]
    yield from markdown_table(("micro-F1", "prompts", *chosen), [*told, ["minus English", "", *lost]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=["minilm", "e5-small"])
    parser.add_argument("--systems", nargs="+", default=[LINEAR, CLASSIFIER], choices=(LINEAR, CLASSIFIER))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    pin(arguments.seed, arguments.threads)
    asked, chosen = Asked.read(), {}
    pairs = [(system, encoder) for system in arguments.systems for encoder in arguments.encoders]
    try:
        for system, encoder in tqdm(pairs, unit="fit", disable=None):
            router = fit_router(system, asked.train, FinetuningParams(encoder=encoder), arguments.seed)
            chosen[f"`{system}`, {encoder}"] = router.predict(asked.prompts).chosen
    except SwitchtenderError as error:
        parser.exit(error.exit_code, f"benchmarks.languages: {error}\n")
    print("\n".join(lines(asked, chosen)))


if __name__ == "__main__":
    main()
