"""Nights that are struck by a fault at a moment of their course, and what came of each: the table of `make faults`."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from sandbox import Sandbox

from flows.records.registration_log import registrations
from flows.workspace.project import Project

LONGEST = 400
OF_LIBRARIES = (".", "pymp-", "matplotlib-", "torchinductor_")
"""How the caches begin that libraries keep among temporary files."""
EXIT_CODES = {1, 2, 3, 4, 5}
STAGES = ("validate", "split", "label_noise", "augment", "train", "suspects", "optimize", "evaluate", "gate", "lineage")


@dataclass
class Cell:
    """A fault at a moment: with which exit code the night ended (0: it outlived the fault), and what it said.

    `sound` where it ended as it should; `kept` once nothing was found lost after it.
    """

    fault: str
    moment: str
    code: int
    said: str
    sound: bool
    kept: bool = False


TABLE: list[Cell] = []
"""What was tried; `summary` tells it."""


def alive(parent: psutil.Process) -> list[psutil.Process]:
    """The living descendants of a process, none where it has ended."""
    try:
        return [child for child in parent.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def process_of(stage: str, night: subprocess.Popen[str]) -> psutil.Process | None:
    """The process in which a night runs a stage at this moment; not the shell that DVC starts it with."""
    for child in alive(psutil.Process(night.pid)):
        try:
            if child.cmdline()[-2:] == ["-m", f"pipeline.stages.{stage}"]:
                return child
        except psutil.Error:
            continue
    return None


def has_come(moment: str, project: Sandbox, night: subprocess.Popen[str]) -> bool:
    """Whether a night has come to a stage, or to the step of the night that follows them."""
    if moment == "push":
        return any("push" in child.cmdline() for child in alive(psutil.Process(night.pid)) if child.is_running())
    if moment == "register":
        key = latest_key(project)
        record = project.root / "var" / "runs" / key / "run.json"
        begun = record.is_file() and json.loads(record.read_text())["state"] == "unfinished"
        return begun and (project.root / ".git" / "refs" / "switchtender" / "runs" / key).exists()
    return process_of(moment, night) is not None


def latest_key(project: Sandbox) -> str:
    """The run of the highest sequence number."""
    keys = [path.parent.name for path in project.root.glob("var/runs/*/run.json")]
    return max(keys, key=lambda key: key[-4:], default="none yet")


def struck(project: Sandbox, fault: str, moment: str, strike: Callable[[], AbstractContextManager[None]]) -> Cell:
    """Start a night, let a fault last from that moment to the night's end, and hold what it says against our word."""
    if moment == "start":
        with strike():
            night = project.start("nightly", "--json")
            out, err = night.communicate(timeout=LONGEST)
    else:
        night = project.start("nightly", "--json")
        wait_for(moment, project, night)
        with strike():
            out, err = night.communicate(timeout=LONGEST)
    return judged(project, fault, moment, night.returncode, out, err)


def judged(project: Sandbox, fault: str, moment: str, code: int, out: str, err: str) -> Cell:
    """Note how a night under a fault ended.

    It has to end in one line and a documented exit code, with no half-written or temporary file left behind.
    """
    lines = err.splitlines()
    said = [line for line in lines if line.startswith("switchtender: ")]
    in_one_line = said == [] if code == 0 else code in EXIT_CODES and said == lines[-1:]
    left = [*project.root.rglob("*.partial*"), *temporary(project)]
    sound = in_one_line and "Traceback" not in out + err and not left
    TABLE.append(Cell(fault, moment, code, said[0] if said else "", sound))
    assert sound, (fault, moment, code, left, err[-3000:])
    return TABLE[-1]


def temporary(project: Sandbox) -> list[Path]:
    """What lies in the folder for temporary files of a project that has its own."""
    folder = project.root.parent / "tmp"
    return [path for path in folder.glob("*") if not path.name.startswith(OF_LIBRARIES)]


def wait_for(moment: str, project: Sandbox, night: subprocess.Popen[str]) -> None:
    """Wait until a night has come to a stage or step.

    Raises:
        AssertionError: it ended before.
    """
    deadline = time.monotonic() + LONGEST
    while not has_come(moment, project, night):
        if night.poll() is not None or time.monotonic() > deadline:
            night.kill()
            raise AssertionError(f"the night did not come to {moment}: {night.communicate()}")
        time.sleep(0.05)


def nothing_lost(project: Sandbox, versions: int) -> None:
    """The next night comes to its end, no version is there twice, and all that is recorded is proved."""
    ended = project.night()
    assert ended["version"] == str(versions), ended
    state = [json.loads(path.read_text()) for path in project.root.glob("var/runs/*/run.json")]
    assert len({run["sequence"] for run in state}) == len(state)
    assert all(run["state"] == "finished" for run in state), state
    found = project.versions()
    assert len(found) == versions
    assert len({version.run_key for version in found}) == versions
    assert len(registrations(Project(project.root))) == versions
    done = project.run("verify", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    mark_kept(*(cell.fault for cell in TABLE))


def mark_kept(*faults: str) -> None:
    """Note that nothing was lost under these faults, of what has been tried so far."""
    for cell in TABLE:
        cell.kept = cell.kept or (cell.sound and cell.fault in faults)


def summary() -> list[str]:
    """What was tried as a table of 80 columns: faults by moments, the exit code of each night under its fault."""
    columns = ("start", *STAGES, "push", "register")
    found = {(cell.fault, cell.moment): cell for cell in TABLE}
    lines = [" " * 20 + "".join(f"{moment[:4]:>5}" for moment in columns)]
    for fault in dict.fromkeys(cell.fault for cell in TABLE):
        row = [found.get((fault, moment)) for moment in columns]
        if any(row):
            lines.append(f"{fault[:20]:20}" + "".join(f"{_told(cell):>5}" for cell in row))
        others = [cell for cell in TABLE if cell.fault == fault and cell.moment not in columns]
        if others:
            lines.append(f"{fault[:20]:20}  " + ", ".join(f"{cell.moment} {_told(cell)}" for cell in others))
    outlived, kept = (sum(of(cell) for cell in TABLE) for of in (lambda c: c.code == 0, lambda c: c.kept))
    stopped = sum(cell.sound and cell.code != 0 for cell in TABLE)
    return [
        *lines,
        "0: went on to its end; 1-5: stopped with one line and this exit code, and was",
        "resumed; ?: neither, or something was lost; .: not tried",
        f"tried {len(TABLE)}, outlived {outlived}, stopped in one line {stopped}, nothing lost {kept}",
    ]


def _told(cell: Cell | None) -> str:
    if cell is None:
        return "."
    return str(cell.code) if cell.kept else "?"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own at a folder."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill a disk to its last byte, and free it again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write into a folder, not even root."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
