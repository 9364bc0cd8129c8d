"""Seconds of training on one table in one run: plain fine-tuning, SetFit, and this project's whole training.

    python -m benchmarks.training                             # the shipped prompts
    python -m benchmarks.training --tables FOLDER --only clinc --rounds 3

Plain fine-tuning is one fit of 12 epochs by transformers.Trainer, SetFit trains for 300 steps, and this project's
training is a night's: a fit a fold, one without augmentation, then the networks on all rows, with calibration and
thresholds. Then the same with one busy process a core beside it. A night sets OMP_WAIT_POLICY=PASSIVE; plain
fine-tuning is timed without and with it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from benchmarks.figures import table
from benchmarks.page import fill
from benchmarks.quality.contenders import Contender, Plan
from benchmarks.quality.measurements import PASSIVE_WAIT, Fit, Gone, measured
from benchmarks.quality.report import PAGE
from benchmarks.quality.tables import NAMES, Table, add_folder_option, every_table
from benchmarks.serving.figures import Aim, Spread
from benchmarks.serving.machine import described
from benchmarks.serving.peer_environment import NotInstalled, peer_python
from benchmarks.serving.race import ROOT
from pipeline.runtime.errors import SwitchtenderError

TRAINER, PASSIVE, SETFIT, OURS = "transformers.Trainer", "transformers.Trainer, passive", "SetFit", "this project's"
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(1_000_000))"
MOST_TIMES_PLAIN, MOST_TIMES_IDLE = 2.2, 2.5


@dataclass
class Times:
    """Wall seconds of each round, idle and beside busy processes; `missing` says why there are none."""

    idle: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    missing: str = ""


def contenders(epochs: int | None) -> dict[str, tuple[Contender, dict[str, str]]]:
    """Each with what stands in its environment besides."""
    plan = Plan(epochs)
    plain, setfit = (next(each for each in plan.peers() if each.system == name) for name in ("trainer", "setfit"))
    return {OURS: (next(plan.own()), {}), TRAINER: (plain, {}), PASSIVE: (plain, PASSIVE_WAIT), SETFIT: (setfit, {})}


@contextmanager
def busy_cores() -> Iterator[None]:
    """While the block runs, one process a core that never waits; each ends with this process, however that ends."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    running = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def timed(prompts: Table, rounds: int, threads: int, epochs: int | None, work: Path) -> dict[str, Times]:
    """All contenders, round by round, idle and busy."""
    asked = contenders(epochs)
    found = {name: Times() for name in asked}
    try:
        peers = peer_python(work)
    except NotInstalled as error:
        for name in (TRAINER, PASSIVE, SETFIT):
            found[name].missing = f"not installed: {error}"
    for name, (contender, more) in (bar := tqdm(list(asked.items()) * rounds, unit="training", disable=None)):
        if found[name].missing:
            continue
        bar.set_postfix_str(name)
        python = peers if contender.is_peer else Path(sys.executable)
        fit = Fit(prompts, 0, contender, seed=1)
        try:
            idle = _seconds(fit, python, threads, more)
            with busy_cores():
                busy = _seconds(fit, python, threads, more)
        except Gone as error:  # the seconds of the others stay
            found[name].missing = str(error)
            continue
        found[name].idle.append(idle)
        found[name].busy.append(busy)
    return found


def _seconds(fit: Fit, python: Path, threads: int, more: dict[str, str]) -> float:
    return measured(fit, python, threads, more).answer.wall_seconds


def ratio(above: list[float], below: list[float]) -> Spread | None:
    """Round by round."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)]) if above and below else None


def lines(found: dict[str, Times]) -> Iterator[str]:
    """Seconds and ratios, then the aims."""
    rows = []
    for name, times in found.items():
        if times.missing:
            rows.append([name, times.missing, "", "", ""])
            continue
        idle, busy = (Spread.of(each) for each in (times.idle, times.busy))
        to_plain, to_idle = ratio(times.idle, found[TRAINER].idle), ratio(times.busy, times.idle)
        rows.append(
            [name, *(_spread(each, 0) for each in (idle, busy)), *(_spread(each, 2) for each in (to_plain, to_idle))]
        )
    head = ("training", "idle, s", "one busy process a core, s", f"idle, times {TRAINER}", "busy, times idle")
    yield from table(head, rows)
    yield ""
    aims = (
        Aim(f"all training, times one plain fit by {TRAINER}", ratio(found[OURS].idle, found[TRAINER].idle),
            MOST_TIMES_PLAIN, at_most=True),
        Aim("beside busy cores, times its idle time", ratio(found[OURS].busy, found[OURS].idle), MOST_TIMES_IDLE,
            at_most=True),
    )  # fmt: skip
    told = ([aim.what, f"at most {aim.limit:g}", _spread(aim.figure, 2), aim.verdict] for aim in aims)
    yield from table(("aim", "limit", "found", "verdict"), told)


def _spread(found: Spread | None, digits: int) -> str:
    """The median, and the least and most where there are several rounds."""
    if found is None:
        return "–"
    least, most = f"{found.low:.{digits}f}", f"{found.high:.{digits}f}"
    return f"{found.median:.{digits}f}" + (f" ({least} to {most})" if least != most else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.splitlines()[0])
    add_folder_option(parser)
    parser.add_argument("--only", choices=NAMES, default="shipped", help="the table")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "var" / "bench", help="where the peers' environment is")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--rows", type=int, help="so many rows of train and test, to try things out; no page")
    parser.add_argument("--epochs", type=int, help="so many epochs, to try things out; no page")
    return parser


def main() -> None:
    """Train, print the table, and write it into the page."""
    options = _parser().parse_args()
    try:
        found, machine = every_table([options.only], options.tables, options.rows)[0], described()
        prompts = Table(found.name, ((found.everything, found.splits[0][1]),))
        times = timed(prompts, options.rounds, options.threads, options.epochs, options.work.resolve())
        train = (
            f"{prompts.name}: {len(prompts.splits[0][0])} prompts, {options.threads} threads, {options.rounds} rounds."
        )
        command = f"    python -m benchmarks.training --tables FOLDER --only {options.only} --rounds {options.rounds}"
        text = [command, "", machine, train, "", *lines(times)]
        print("\n".join(text))
        if options.rows is None and options.epochs is None:
            fill(options.page, "training", text)
    except SwitchtenderError as error:
        print(f"benchmarks.training: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
