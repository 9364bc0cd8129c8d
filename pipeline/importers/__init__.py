"""Outcome tables from the public formats that users hold. Each format is one module; its docstring says the layout.

| format | what is named | qualities | costs |
|---|---|---|---|
| routerbench | wide CSV or pickle | performance | list price x tokens, by the source |
| routerdc | folder of JSON | share or right/wrong | none |
| routellm | CSV, or a folder of them | right/wrong | none |
| alpacaeval | annotations.json, or a folder with some | chance to be preferred to the reference | none |
| llmrouterbench | results/bench, a result file, train.jsonl | score | measured, where the source has them |
| routerarena | cached_results, or predictions.json | score | tokens x its price list |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.prices import Prices
from pipeline.importers import alpacaeval, llmrouterbench, routellm, routerarena, routerbench, routerdc
from pipeline.importers.cells import Cell, Tally
from pipeline.importers.files import OutcomeRow, write_rows, writer_for
from pipeline.runtime.errors import InputError, TableError, suggestion

FORMATS: dict[str, Callable[[Path], Iterator[Cell]]] = {
    "routerbench": routerbench.read,
    "routerdc": routerdc.read,
    "routellm": routellm.read,
    "alpacaeval": alpacaeval.read,
    "llmrouterbench": llmrouterbench.read,
    "routerarena": routerarena.read,
}
OWN_PRICES: dict[str, Callable[[Path], Prices | None]] = {"routerarena": routerarena.own_prices}
"""Where a format brings a price list along; one that the user names comes before it."""


@dataclass(frozen=True)
class Imported:
    """What an import wrote: `prompts` and `candidates` are in the table, those `without_outcome` only in the source.

    Of all pairs of a prompt and a candidate, `rows` have a quality and `missing_cells` do not. `parse_failures` had an
    answer that is empty or an error, which the source may show as quality 0; they are among the missing.
    `repeated_cells` stood in the source more than once and were read once. `cost_sources` counts rows.
    """

    rows: int
    prompts: int
    candidates: tuple[str, ...]
    prompts_without_outcome: int
    candidates_without_outcome: tuple[str, ...]
    missing_cells: int
    parse_failures: int
    repeated_cells: int
    cost_sources: dict[str, int]

    @property
    def pairs(self) -> int:
        """Every prompt with every candidate."""
        return self.rows + self.missing_cells


def import_outcomes(
    format_name: str, path: Path, out: Path, prices: Prices | None = None, progress: Callable[[], object] | None = None
) -> Imported:
    """Read `path` in one format and write the outcome table `out`, whole or not at all; `progress` is called each row.

    Raises:
        InputError: unknown format, `out` exists, or a candidate's price is unknown.
        TableError: the source is malformed or holds no outcome, or `out` cannot be written.
    """
    reader = _reader(format_name)
    if out.exists():
        raise InputError(f"{out} exists; name a file that does not, or remove it")
    writer_for(out)
    if prices is None and format_name in OWN_PRICES:
        prices = OWN_PRICES[format_name](path)
    tally = Tally(prices)
    write_rows(_counted(tally.admit(reader(path)), path, progress), out)
    prompts, candidates = tally.prompts + tally.prompts_without, len(tally.candidates) + len(tally.candidates_without)
    return Imported(
        tally.rows, tally.prompts, tally.candidates, tally.prompts_without, tally.candidates_without,
        prompts * candidates - tally.rows, tally.parse_failures, tally.repeated,
        dict(sorted(tally.cost_sources.items())),
    )  # fmt: skip


def _counted(rows: Iterator[OutcomeRow], path: Path, progress: Callable[[], object] | None) -> Iterator[OutcomeRow]:
    """The rows as they come, each reported as progress.

    Raises:
        TableError: there was none.
    """
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007
        if progress:
            progress()
        yield row
    if not count:
        raise TableError(f"{path} holds no judged outcome; name a source with some")


def _reader(name: str) -> Callable[[Path], Iterator[Cell]]:
    """The reader of a format by name.

    Raises:
        InputError: there is no such format.
    """
    if name in FORMATS:
        return FORMATS[name]
    hint = suggestion(name.lower(), FORMATS, f"known are {', '.join(FORMATS)}", 0.5)
    raise InputError(f"unknown format '{name}'; {hint}")
