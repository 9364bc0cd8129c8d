"""Running a command in a process group of its own, and ending the whole group."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.runtime.terminal import for_terminal

if TYPE_CHECKING:
    import psutil

TIMED_OUT = -1
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code (TIMED_OUT where it was ended by us), seconds, and what it wrote.

    `output` is all of stdout, then all of stderr: mixed as they came, the two would break each other's lines.
    """

    code: int
    output: str
    seconds: float


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float | None = None, echo: bool = False
) -> Finished:
    """Run a command to its end; nothing of its group is alive on return, whatever happens.

    With `echo`, what it writes to stderr is passed on as it comes (a progress bar, say), fit for a terminal.
    """
    started = time.monotonic()
    # A session of its own makes a process group: killing that reaches what the command has started in turn.
    process = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    out: list[bytes] = []
    err: list[bytes] = []
    readers = [_reader(process.stdout, out, echo=False), _reader(process.stderr, err, echo=echo)]
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        code = TIMED_OUT
    finally:
        # Also after a good end, since a command may leave children behind.
        end_group(process)
        # For a while only: a child that made a session of its own keeps the pipes open as long as it lives.
        for reader in readers:
            reader.join(_GRACE_SECONDS)
    output = b"".join([*out, b"\n", *err]).decode("utf-8", errors="replace")
    return Finished(code, output, time.monotonic() - started)


def _reader(stream: IO[bytes] | None, into: list[bytes], *, echo: bool) -> threading.Thread:
    """Start reading a pipe to its end. Each pipe has a thread, since one that is full would stop the command."""

    def read() -> None:
        if stream is None:
            return
        # os.read gives what is there; a buffered read would hold a progress bar back until the buffer is full.
        text = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := os.read(stream.fileno(), 4096):
            into.append(chunk)
            if echo:
                sys.stderr.write(for_terminal(text.decode(chunk), kept="\n\t\r"))
                sys.stderr.flush()
        stream.close()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End every process of the command's group: first asked, then killed; returns when none is left."""
    deadline = time.monotonic() + _GRACE_SECONDS
    wanted = signal.SIGTERM
    while _group_alive(process.pid):
        try:
            os.killpg(process.pid, wanted)
        except ProcessLookupError:
            break
        if time.monotonic() > deadline:
            wanted = signal.SIGKILL
        process.poll()
        time.sleep(0.05)
    process.wait()


def end_marked(name: str, value: str) -> int:
    """End every process in whose environment `name` is `value`; returns how many there were.

    They are what a killed night left behind: they would go on writing into its clone. What this process itself started
    is spared: a server that its next night uses too.
    """
    import psutil

    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    left = []
    for process, found in _environments(name):
        with suppress(psutil.Error, OSError):
            if process.pid not in own and found == value:
                process.terminate()
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)
    return len(left)


def values_of(name: str) -> set[str]:
    """What `name` is in the environments of the processes that run."""
    return {value for _, value in _environments(name)}


def _environments(name: str) -> Iterator[tuple[psutil.Process, str]]:
    """The running processes that have `name` in their environment, as far as it may be read, with its value."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if (value := process.environ().get(name)) is not None and process.status() != psutil.STATUS_ZOMBIE:
                yield process, value


def _group_alive(group: int) -> bool:
    """Whether a group has a process that still runs. Zombies do not count: some containers never reap orphans."""
    import psutil

    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return False
