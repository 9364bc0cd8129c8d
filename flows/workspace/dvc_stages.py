"""One DVC stage: run it, tell whether it ran, and tell a transient failure from a real one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows.workspace.processes import TIMED_OUT, Finished, run
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.track import TRACKS, Track

LOCK = "dvc.lock"
RAN, UNCHANGED = "ran", "unchanged"
# DVC's own exit code says only that a stage failed; the stage's code stands in what DVC prints.
_EXITED = re.compile(r"exited with\s+(-?\d+)")
_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h
_LOCKED = ("Unable to acquire lock", "is busy, it is being blocked", "has been locked")


@dataclass(frozen=True)
class StageDone:
    """A stage that succeeded: seconds, and whether DVC ran it or found it unchanged."""

    stage: str
    seconds: float
    how: str
    said: str


class StageFailed(SwitchtenderError):
    """A stage failed for good: its input or its code is wrong."""


class TransientFailure(SwitchtenderError):
    """A stage was cut short (time-out, killed, lock, no network): trying again may help."""


def stage_names(clone: Path, track: Track) -> list[str]:
    """A track's stages of dvc.yaml in the order written, which is the order of the night."""
    content = yaml.safe_load((clone / "dvc.yaml").read_text(encoding="utf-8"))
    return own_stages(content["stages"], track)


def own_stages(names: Iterable[str], track: Track) -> list[str]:
    """Those of the stages that belong to a track."""
    others = tuple(other.prefix for other in TRACKS.values() if other.prefix and other is not track)
    return [name for name in names if name.startswith(track.prefix) and not name.startswith(others)]


def run_stage(
    project: Project,
    clone: Path,
    stage: str,
    timeout: float,
    echo: bool,
    *,
    force: bool = False,
    log: Callable[[str], None] = lambda _: None,
) -> StageDone:
    """`dvc repro --single-item` of one stage; its whole process group has ended when this returns.

    `force` runs it although DVC finds nothing stale, as a replay wants; a night may start beside that. `log` takes all
    that it printed.

    Raises:
        TransientFailure: it was cut short.
        InputError: what the user supplied cannot be used; the message is the stage's own line.
        StageFailed: anything else.
    """
    # A replay bears no mark: the next night would take its stages for a killed night's, and end them.
    environment = project.environment() if force else project.night_environment()
    environment |= {"SWITCHTENDER_PROGRESS": "always"} if echo else {}
    # The clone's own code, whatever is installed: Python leaves the current folder out where it is told to be safe.
    environment = {name: value for name, value in environment.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(clone), os.environ.get("PYTHONPATH")]))
    done = run(
        [sys.executable, "-m", "dvc", "repro", "--single-item", *(["--force"] if force else []), stage],
        cwd=clone,
        env=environment,
        timeout=timeout,
        echo=echo,
    )
    log(done.output)
    if done.code != 0:
        raise _failure(stage, done, timeout)
    how = RAN if f"Running stage '{stage}'" in done.output else UNCHANGED
    said = [line for line in done.output.splitlines() if line.startswith(f"{stage}: ")]
    return StageDone(stage, done.seconds, how, said[-1] if said else f"{stage}: unchanged, taken from DVC's cache")


def _failure(stage: str, done: Finished, timeout: float) -> SwitchtenderError:
    """What a stage's failure is: transient, the user's input, or anything else."""
    if done.code == TIMED_OUT:
        return TransientFailure(
            f"stage {stage} took longer than {timeout / 60:g} minutes and was ended; see params.yaml: nightly"
        )
    exited = _EXITED.search(done.output)
    code = int(exited.group(1)) if exited else done.code
    own = [line for line in done.output.splitlines() if line.startswith(f"{stage}: ")]
    last = own[-1] if own else _last_line(done.output)
    # A signal shows as a negative code (subprocess) or as 128 + its number (a shell): 137 is SIGKILL, 143 SIGTERM.
    if code < 0 or code in (_TEMPORARY, 137, 143) or any(mark in done.output for mark in _LOCKED):
        return TransientFailure(f"stage {stage} was cut short (exit {code}): {last}")
    if code == InputError.exit_code and own:
        return InputError(last)
    # Its own line says what to do next; a bug's does not.
    way = "" if own else f"; run it alone with 'dvc repro --single-item {stage}'"
    return StageFailed(f"stage {stage} failed (exit {code}): {last}{way}")


def _last_line(output: str) -> str:
    """The last line of an output that says something of its own; DVC's about it where there is none."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith("ERROR: failed to repro")]
    return (own or lines or ["it said nothing"])[-1][:300]
