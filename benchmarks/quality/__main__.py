"""How well prompts reach their agents, on several tables, beside peers on the same splits.

    python -m benchmarks.quality --tables FOLDER                     # everything: hours
    python -m benchmarks.quality --only clinc --parts systems peers --seeds 1
    python -m benchmarks.quality --processes 8 --threads 1 --device cuda                 # eight fits side by side
    python -m benchmarks.quality --rows 60 --epochs 1 --seeds 1 --out /tmp/tried   # whether it works; no page

A fit that the measurements hold is not done again, so that a stopped run goes on where it was; --again NAME
takes those of a system out of them first. Peers run in an environment of their own, made once under --work (1.8 GB).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from benchmarks.page import fill
from benchmarks.quality.contenders import PARTS, SYSTEMS, Contender, Plan
from benchmarks.quality.measurements import Fit, Gone, Measurements, measured
from benchmarks.quality.report import PAGE, Page
from benchmarks.quality.results import fits_of
from benchmarks.quality.tables import FOLDER, NAMES, Table, add_folder_option, tables
from benchmarks.serving.peer_environment import NotInstalled, peer_python
from benchmarks.serving.race import ROOT
from pipeline.runtime.device import resolved
from pipeline.runtime.errors import InputError, SwitchtenderError

COMMAND = "python -m benchmarks.quality --tables FOLDER"


def main() -> None:
    """Measure what is not known yet, print the tables, and write them into the page."""
    options = _parser().parse_args()
    try:
        _run(options)
    except SwitchtenderError as error:
        print(f"benchmarks.quality: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("benchmarks.quality: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    add_folder_option(parser)
    parser.add_argument("--only", default=",".join(NAMES), help="tables, with commas between them")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure, the last two on few tables"
    )
    parser.add_argument("--seeds", type=int, default=3, help="of peers, ablations and encoders the first alone")
    parser.add_argument("--out", type=Path, default=PAGE.with_suffix(""), help="folder of measurements")
    parser.add_argument("--again", nargs="+", default=(), choices=SYSTEMS, help="systems that are measured anew")
    parser.add_argument("--work", type=Path, default=ROOT / "var" / "bench", help="where the peers' environment is")
    parser.add_argument("--threads", type=int, default=2, help="of each fit")
    parser.add_argument(
        "--processes", type=int, choices=range(1, 129), metavar="N", default=1, help="fits side by side"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="where networks are trained")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--rows", type=int, help="so many rows of train and test, to try things out; no page")
    parser.add_argument("--epochs", type=int, help="so many epochs, to try things out; no page")
    return parser


def _run(options: argparse.Namespace) -> None:
    """The page shows every table at hand, also those that are not measured now."""
    only = options.only.split(",")
    found, _ = tables(only, options.tables, options.rows)
    if not found:
        raise InputError(f"nothing to measure: no folder has {', '.join(only)}; name theirs with --tables or ${FOLDER}")
    shown, missing = (found, []) if _is_trial(options) else tables(NAMES, options.tables)
    plan, known = Plan(options.epochs, options.parts), Measurements(options.out)
    absent = {f"table {name}": f"not measured, {FOLDER} names no folder that has it" for name in missing}
    fits = _planned(found, plan, options.seeds)
    known.forget([fit for fit in fits if fit.contender.system in options.again])
    if old := known.older(fits):
        print(f"{old} measurements are of other code; --again and their systems repeats them", file=sys.stderr)
    absent |= _measured([fit for fit in fits if fit not in known], known, options)
    _show(Page(known, shown, plan, options.seeds, absent), options)


def _is_trial(options: argparse.Namespace) -> bool:
    return options.rows is not None or options.epochs is not None


def _show(page: Page, options: argparse.Namespace) -> None:
    """Print the tables; write them, if they are of whole measurements."""
    for name, lines in page.sections().items():
        where = [page.known.circumstances(), ""] if name == "systems" else []
        lines = [f"    {COMMAND} --seeds {options.seeds}", "", *where, *lines]
        print("\n".join([f"## {name}", "", *lines, ""]))
        if not _is_trial(options):
            fill(options.page, name, lines)


def _planned(found: Sequence[Table], plan: Plan, seeds: int) -> list[Fit]:
    """Quick tables first, seed by seed, so that a stopped run has something of everything."""
    made = []
    for seed in range(seeds):
        for table in found:
            for part, contender in plan.contenders():
                if contender.is_measured_on(table.name) and (seed == 0 or part == "systems"):
                    made += fits_of(table, contender, seed)
    return list({fit.key: fit for fit in made}.values())


def _measured(fits: Sequence[Fit], known: Measurements, options: argparse.Namespace) -> dict[str, str]:
    """Do the fits and remember each; why some could not be done, by contender."""
    absent: dict[str, str] = {}
    peers = _peers([fit.contender for fit in fits if fit.contender.is_peer], options.work, absent)
    device, one_writes = resolved(options.device), Lock()

    def do(fit: Fit) -> None:
        python, load = peers if peers and fit.contender.is_peer else Path(sys.executable), os.getloadavg()[0]
        reply = measured(fit, python, options.threads, device=device)
        with one_writes:  # here, so that of a run that is stopped the fits under way are not lost
            known.add(fit, reply, load)

    for fit, failed in _side_by_side(
        do, [fit for fit in fits if peers or not fit.contender.is_peer], options.processes
    ):
        absent[f"{fit.contender.name} {fit.table.name}"] = str(failed)
    return absent


def _side_by_side(do: Callable[[Fit], None], fits: Sequence[Fit], processes: int) -> Iterator[tuple[Fit, Gone]]:
    """Do so many at a time, under a bar; those that could not be done, and why."""
    with ThreadPoolExecutor(processes) as pool:
        asked = {pool.submit(do, fit): fit for fit in fits}
        try:
            for done in (bar := tqdm(as_completed(asked), total=len(asked), unit="fit", disable=None)):
                fit = asked[done]
                place = f"{fit.table.name} {fit.split + 1}/{len(fit.table.splits)}"
                bar.set_postfix_str(f"{place}, {fit.contender.name}, seed {fit.seed}")
                try:
                    done.result()
                except Gone as error:
                    bar.write(f"{fit.table.name}, {fit.contender.name}: {error}", file=sys.stderr)
                    yield fit, error
        finally:
            pool.shutdown(cancel_futures=True)


def _peers(contenders: Sequence[Contender], work: Path, absent: dict[str, str]) -> Path | None:
    """The peers' interpreter, where any of them is asked for and it can be had."""
    if not contenders:
        return None
    try:
        return peer_python(work.resolve())
    except NotInstalled as error:
        absent |= {contender.name: f"not installed: {error}" for contender in contenders}
        return None


if __name__ == "__main__":
    main()
