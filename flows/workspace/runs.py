"""Run keys and run records: which nights there were, what they trained from, how they ended.

A key is flow + date (in the zone of params.yaml) + sequence number, allotted under the lock. Order is the
sequence number, never the clock. An unfinished key is resumed while its inputs are unchanged; a finished one is
never used again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError, one_line
from pipeline.runtime.tables import write_json
from pipeline.runtime.text import parse_json

UNFINISHED, FINISHED, ABANDONED = "unfinished", "finished", "abandoned"
LOG = "night.log"
_FILE = "run.json"


@dataclass(frozen=True)
class Run:
    """One night. `verdict` is empty until the gates have spoken; `version` is empty where none was registered.

    `head` is the signed head of the project's logs as the night left it, `stage` is the stage that is under way.
    """

    key: str
    sequence: int
    state: str
    identity: str
    started: str
    ended: str = ""
    commit: str = ""
    verdict: str = ""
    version: str = ""
    mlflow_run: str = ""
    report: str = ""
    head: str = ""
    stage: str = ""
    uncommitted: tuple[str, ...] = ()
    data: dict[str, str] = field(default_factory=dict)
    timings: tuple[tuple[str, float, str], ...] = ()


def folder_of(project: Project, key: str) -> Path:
    """The folder of a run; its clone lies in it."""
    return project.runs / key


def clone_of(project: Project, key: str) -> Path:
    """The working copy of a run."""
    return folder_of(project, key) / "clone"


def log_of(project: Project, key: str) -> Path:
    """What a run's night said, and what its stages printed."""
    return folder_of(project, key) / LOG


def log(project: Project, key: str, text: str) -> None:
    """Add to a run's log, each line with the time; what a full disk does not take is lost, and stops no night."""
    lines = "".join(f"{now()} {line}\n" for line in text.splitlines() if line.strip())
    with suppress(OSError), log_of(project, key).open("a", encoding="utf-8") as file:
        file.write(lines)


def now() -> str:
    """This moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def save(project: Project, run: Run) -> Run:
    """Write a run's record, whole or not at all."""
    write_json(asdict(run), folder_of(project, run.key) / _FILE)
    return run


def keys_of(project: Project) -> list[str]:
    """The keys of the project's track that have a record, in no order; the records are not opened."""
    return [path.parent.name for path in project.runs.glob(f"{project.track.flow}-*/{_FILE}")]


def run_of(project: Project, key: str) -> Run:
    """The run of a key.

    Raises:
        SwitchtenderError: there is no record of it, or it cannot be read.
    """
    return _load(folder_of(project, key) / _FILE)


def all_runs(project: Project) -> list[Run]:
    """Every run of the project's track, oldest first.

    Raises:
        SwitchtenderError: a record cannot be read.
    """
    return sorted((run_of(project, key) for key in keys_of(project)), key=lambda run: run.sequence)


def _load(path: Path) -> Run:
    """A run's record, its JSON lists as the tuples that they were."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        content["uncommitted"] = tuple(content["uncommitted"])
        content["timings"] = tuple(tuple(row) for row in content["timings"])
        return Run(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SwitchtenderError(
            f"{path} cannot be read ({one_line(error, 100)}); put it back, or let 'switchtender doctor "
            "--mend' set it aside"
        ) from error


def latest_finished(project: Project) -> Run | None:
    """The finished run of highest sequence number."""
    finished = [run for run in all_runs(project) if run.state == FINISHED]
    return finished[-1] if finished else None


def open_run(project: Project, identity: str, zone: str, taken: Iterable[str]) -> tuple[Run, bool]:
    """The run to work on, and whether it is resumed. Call under the lock.

    An unfinished run of the same identity goes on; one of another identity is abandoned. `taken` are keys that git or
    the registry knows: one of them is never allotted again, whatever lies in `var`.
    """
    for run in all_runs(project):
        if run.state == UNFINISHED and run.identity == identity:
            return run, True
        if run.state == UNFINISHED:
            save(project, replace(run, state=ABANDONED, ended=now()))
    folders = [path.name for path in project.runs.glob(f"{project.track.flow}-*")]
    sequence = max((_sequence(project, key) for key in (*folders, *taken)), default=0) + 1
    date = datetime.now(ZoneInfo(zone)).date().isoformat()
    run = Run(f"{project.track.flow}-{date}-{sequence:04d}", sequence, UNFINISHED, identity, now())
    return save(project, run), False


def _sequence(project: Project, key: str) -> int:
    """The number that a key of the project's track ends with; 0 for any other."""
    number = key.rsplit("-", 1)[-1]
    return int(number) if key.startswith(f"{project.track.flow}-") and number.isdecimal() else 0


def set_aside(project: Project) -> list[str]:
    """Put run records that cannot be read beside themselves, as `.damaged`; returns their keys, which stay taken."""
    damaged = []
    for path in sorted(project.runs.glob(f"{project.track.flow}-*/{_FILE}")):
        try:
            _load(path)
        except SwitchtenderError:
            path.replace(path.with_suffix(".json.damaged"))
            damaged.append(path.parent.name)
    return damaged
