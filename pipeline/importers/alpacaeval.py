"""AlpacaEval (github.com/tatsu-lab/alpaca_eval): `results/<model>/<annotator>/annotations.json`.

Each file is a list of `instruction, output_1, output_2, generator_1, generator_2, annotator, preference, dataset`.
`generator_1` is the reference; the preference is 1 where it wins, 2 where the model wins, 1.5 or (older files) 0 for a
draw, and a figure between for weighted annotators. A model's quality is preference - 1, its chance of being preferred
to the reference, so the reference itself has .5. `price_per_example` is what the judge cost, not the candidate: there
are no costs of candidates or token counts. One annotator and one reference an import: others are not comparable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.importers.cells import Cell, is_answer, number, optional, text
from pipeline.importers.files import files_of, json_list, reading
from pipeline.runtime.errors import TableError

EXPECTED = "an annotations.json file, or a folder with some"


def read(path: Path) -> Iterator[Cell]:
    """The cells of one file of annotations, or of all below a folder.

    Raises:
        TableError: a file is malformed, or annotators or references are mixed.
    """
    annotations = _Annotations()
    for file in _files(path):
        for where, entry in json_list(file, "annotations"):
            yield from annotations.cells(entry, where)


def _files(path: Path) -> list[Path]:
    with reading(path):
        found = sorted(path.rglob("annotations.json")) if path.is_dir() else []
    return found or files_of(path, (".json",), EXPECTED)


@dataclass
class _Annotations:
    """The one annotator and reference of an import, and the prompts for which the reference has its cell already."""

    annotator: str | None = None
    reference: str | None = None
    prompts: set[str] = field(default_factory=set)

    def cells(self, entry: dict[str, Any], where: str) -> Iterator[Cell]:
        reference, model = text(entry, "generator_1", where), text(entry, "generator_2", where)
        self._check(optional(entry, "annotator", where), reference, where)
        instruction, more = text(entry, "instruction", where), optional(entry, "input", where)
        prompt = f"{instruction}\n\n{more}" if more else instruction
        key = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        dataset = optional(entry, "dataset", where)
        if key not in self.prompts:
            self.prompts.add(key)
            yield Cell(where, key, prompt, reference, 0.5, dataset)
        if model != reference:
            quality = _quality(entry.get("preference"), where)
            failed = quality is None or not is_answer(entry.get("output_2"))
            yield Cell(where, key, prompt, model, quality, dataset, "failed" if failed else "judged")

    def _check(self, annotator: str, reference: str, where: str) -> None:
        for what, first, now in (("annotator", self.annotator, annotator), ("reference", self.reference, reference)):
            if first not in (None, now):
                raise TableError(
                    f"{where}: the {what} is '{now}', before it was '{first}'; "
                    f"copy the files of one {what} into a folder of their own"
                )
        self.annotator, self.reference = annotator, reference


def _quality(preference: object, where: str) -> float | None:
    figure = number(preference, "preference", where)
    if figure is None:
        return None
    if figure != 0 and not 1 <= figure <= 2:
        raise TableError(f"{where}: the preference is {figure:g}, neither 0 nor in 1..2; mend or remove that row")
    return 0.5 if figure == 0 else round(figure - 1, 12)
