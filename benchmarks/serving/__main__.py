"""The engine beside the bare call, torch by hand, setfit and semantic-router: same weights, same prompts, one run.

    python -m benchmarks.serving                        # of the version in service; about four minutes
    python -m benchmarks.serving --model FOLDER --rounds 2 --calls 20 --prompts 100 --markdown FILE

setfit and semantic-router run in an environment of their own, made once under --work (1.8 GB); where that cannot be
made, their rows say why and the others are measured all the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.serving.contender import (
    BARE,
    ENGINE_FP32,
    ENGINE_INT8,
    PEERS,
    SEMANTIC_ROUTER,
    SETFIT,
    TORCH,
    TORCH_SORTED,
)
from benchmarks.serving.kept_connection import measure_kept_connection
from benchmarks.serving.machine import described
from benchmarks.serving.peer_environment import NotInstalled, peer_python
from benchmarks.serving.prompts import Asking, read_rows
from benchmarks.serving.race import ROOT, Measured, Plan, race
from benchmarks.serving.report import Results, markdown
from benchmarks.serving.startup import measure_startup
from benchmarks.serving.weights import Weights, model_in_service, share
from flows.workspace.project import find_project
from pipeline.runtime.errors import SwitchtenderError

CONTENDERS = (ENGINE_INT8, BARE, ENGINE_FP32, TORCH, TORCH_SORTED, SETFIT, SEMANTIC_ROUTER)


def main() -> None:
    """Measure, print the tables, and write them where asked."""
    options = _parser().parse_args()
    try:
        with ExitStack() as stack:
            text = markdown(_measured(options, stack))
    except SwitchtenderError as error:
        print(f"benchmarks.serving: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a version's model folder; else that of the version in service")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "var" / "bench", help="where the peers' environment is made"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=60, help="single calls a round")
    parser.add_argument("--prompts", type=int, default=500, help="prompts of all batches together")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--starts", type=int, default=5, help="starts of the service; 0: none, and nothing over HTTP")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    return parser


def _measured(options: argparse.Namespace, stack: ExitStack) -> Results:
    from tokenizers import Tokenizer

    machine = described()
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchtender-bench-")))
    model = options.model.resolve() if options.model else model_in_service(stack)
    rows = read_rows(ROOT / "data" / "prompts.csv")
    weights = share(model, rows, place)
    plan = Plan(options.rounds, options.calls, options.prompts)
    asking = Asking(rows, Tokenizer.from_file(str(weights.tokenizer)))
    lengths = asking.tokens([text for batch in asking.batches(plan.prompts, 1) for text in batch])
    long = sum(length > weights.max_tokens for length in lengths) / len(lengths)
    found = _raced(options, weights, asking, plan, place)
    startup = measure_startup(model, place, options.starts) if options.starts else None
    project = None if options.model else find_project().root
    kept = measure_kept_connection(model, project, place, asking, plan) if options.starts else None
    return Results(machine, weights.served, plan, (sum(lengths) / len(lengths), long), found, startup, kept)


def _raced(options: argparse.Namespace, weights: Weights, asking: Asking, plan: Plan, place: Path) -> list[Measured]:
    pythons = {name: Path(sys.executable) for name in CONTENDERS if name not in PEERS}
    reason = ""
    try:
        pythons |= dict.fromkeys(PEERS, peer_python(options.work.resolve()))
    except NotInstalled as error:
        reason = f"not installed: {error}"
    found = []
    for threads in options.threads:
        print(f"threads: {threads}", file=sys.stderr)
        found += race([weights.setup(name, threads) for name in CONTENDERS], asking, plan, pythons, place)
    for one in found:
        one.missing = reason if one.contender not in pythons else one.missing
    return found


if __name__ == "__main__":
    main()
