"""Load on a real service that changes its version, and is given a bad one, while 64 connections ask.

    python -m benchmarks.serving.load                       # this project's version in service; 60 s
    python -m benchmarks.serving.load --seconds 20 --model FOLDER --markdown FILE

The service runs on a private copy of the project, with two more versions whose answers can be told apart. After a
quarter of the time the second one is promoted. At half time the bytes of the first are changed; `promote` must refuse
it, the promotion log is made to name it all the same, and the service must refuse it too. At three quarters that is
rolled back. More connections than the service takes join for a moment: it must say 429 to some, and fail none.
Exit code 1 if anything does not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.serving.client import Asked, Order
from benchmarks.serving.load_report import Happened, Load, Marks, Sample, checks, markdown
from benchmarks.serving.machine import described
from benchmarks.serving.private_store import TAMPERED_COST, Marked, add_versions, copied, folder_of, point_at, set_costs
from benchmarks.serving.prompts import read_rows
from benchmarks.serving.race import ROOT
from benchmarks.serving.startup import COMMAND, Server, environment, serving
from flows.registry.versions import PROVENANCE_TAG
from flows.workspace.project import Project, find_project
from pipeline.runtime.errors import SwitchtenderError
from pipeline.serving.engine.decision_journal import DECISIONS

CACHE_BYTES = 4_000_000
PATIENCE = 30.0


def main() -> None:
    """Make the copy, run, print the tables and what holds."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="switchtender-load-") as place:
            load = _run(options, Path(place))
    except SwitchtenderError as error:
        print(f"benchmarks.serving.load: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    text = markdown(load)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    sys.exit(0 if all(check.holds for check in checks(load)) else 1)


def _parser() -> argparse.ArgumentParser:
    summary = str(__doc__).splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.load", description=summary)
    parser.add_argument("--project", type=Path, help="a project with a version in service; else this one")
    parser.add_argument("--model", type=Path, help="let both versions answer by this model folder")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--more", type=int, default=32, help="connections that join for a moment")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    return parser


def _run(options: argparse.Namespace, place: Path) -> Load:
    machine = described()
    project = copied(find_project(options.project), place / "project")
    _set_cache(project)
    first, second = add_versions(project, options.model.resolve() if options.model else None)
    _promote(project, first)
    prompts = place / "prompts.json"
    prompts.write_text(json.dumps([row.prompt for row in read_rows(ROOT / "data" / "prompts.csv")]), encoding="utf-8")
    with serving(["--no-page"], project.root, place / "serve.log") as server:
        burst = (0.6 * options.seconds, 0.6 * options.seconds + min(2.0, options.seconds / 10))
        order = Order(server.host, server.port, options.connections, options.seconds, options.more, burst, str(prompts))
        act = Act(project, server, first, second, time.time(), options.seconds)
        with _sampled(server) as samples:
            asked, happened, client_cpu = _asked(order, act, place)
    written = (project.root / project.track.journal / DECISIONS).read_bytes().count(b"\n")
    marks = {one.version.version: (one.cost, one.version.tags[PROVENANCE_TAG]) for one in (first, second)}
    return Load(machine, order, Marks(marks, TAMPERED_COST), asked, happened, samples, client_cpu, written,
                server.ready_after)  # fmt: skip


def _set_cache(project: Project) -> None:
    """A small cache is full long before memory is judged."""
    path = project.root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["serve"] = {**(params.get("serve") or {}), "cache_bytes": CACHE_BYTES, "keys": "", "upstreams": ""}
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def _command(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=project.root, env=environment(), capture_output=True, text=True, check=False
    )


def _promote(project: Project, marked: Marked) -> None:
    """With --force, since a gate may not like that the two are alike.

    Raises:
        SwitchtenderError: it is refused.
    """
    number = marked.version.version
    _require(_command(project, "promote", number, "--force", "--reason", "load test"), f"the promotion of {number}")


def _require(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode:
        raise SwitchtenderError(f"{what} ended with {done.returncode}: {done.stderr.strip()[-300:]}")


@dataclass(frozen=True)
class Act:
    """What is done to the service while it answers. `begun` is epoch seconds."""

    project: Project
    server: Server
    first: Marked
    second: Marked
    begun: float
    seconds: float

    def play(self) -> Happened:
        """Promote the second version, tamper with the first and point at it, roll back. Takes most of the time."""
        self._wait(0.25)
        promoting = time.time()
        _promote(self.project, self.second)
        promoted = time.time()
        swapped = self._until(lambda state: state["version"] == self.second.version.version)
        self._wait(0.5)
        set_costs(folder_of(self.first.version), TAMPERED_COST)
        number = self.first.version.version
        refusal = _command(self.project, "promote", number, "--force", "--reason", "bad")
        pointed = time.time()
        point_at(self.project, self.first)
        refused = self._until(lambda state: bool(state["degraded"]))
        reason = str(self._state()["reason"] or "")
        self._wait(0.75)
        rolled_back = time.time()
        _require(_command(self.project, "rollback", "--force", "--reason", "load test"), "the rollback")
        well = self._until(lambda state: not state["degraded"])
        return Happened(promoting, promoted, swapped, refusal.returncode, pointed, refused, reason, rolled_back, well)

    def _wait(self, share: float) -> None:
        time.sleep(max(0.0, self.begun + share * self.seconds - time.time()))

    def _until(self, holds: Callable[[dict[str, Any]], bool]) -> float | None:
        """When the service's state was first so; None where it never was."""
        deadline = time.time() + PATIENCE
        while time.time() < deadline:
            if holds(self._state()):
                return time.time()
            time.sleep(0.1)
        return None

    def _state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self.server.host}:{self.server.port}/readyz", timeout=PATIENCE) as answer:
            value: dict[str, Any] = json.load(answer)
            return value


def _asked(order: Order, act: Act, place: Path) -> tuple[list[Asked], Happened, float]:
    """Everything that the client got, what was done meanwhile, and the client's CPU seconds."""
    output = place / "asked.jsonl"
    with output.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-P", "-m", "benchmarks.serving.client", order.to_json()]
        client = subprocess.Popen(command, cwd=place, env=environment(), stdout=file)
        try:
            happened = act.play()
            code = client.wait(timeout=order.seconds + 2 * PATIENCE)
        finally:
            client.kill()
            client.wait()
    if code:
        raise SwitchtenderError(f"the client ended with {code}")
    *lines, last = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    return [Asked(**line) for line in lines], happened, float(last["cpu_seconds"])


@contextmanager
def _sampled(server: Server) -> Iterator[list[Sample]]:
    """The server's memory and CPU time, twice a second, until the block ends."""
    process, ended = psutil.Process(server.process.pid), threading.Event()
    samples: list[Sample] = []

    def sample() -> None:
        while not ended.wait(0.5):
            times = process.cpu_times()
            samples.append(Sample(time.time(), process.memory_info().rss / 1e6, times.user + times.system))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
