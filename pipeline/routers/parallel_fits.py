"""Several fits at once, each on one thread: the same bytes however many run beside each other.

On batches as small as these a second thread mostly waits for the first, and two threads that share a busy core stall
each other at every step; two processes do neither.
"""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from threadpoolctl import threadpool_limits

from pipeline.runtime.device import device
from pipeline.runtime.errors import SwitchtenderError, one_line
from pipeline.runtime.progress import Progress

T = TypeVar("T", covariant=True)
_WORTH_IT_STEPS = 400
"""A process needs some seconds to import torch; fewer steps than this are done before."""
_LOOK_SECONDS = 0.5


class Fit(Protocol[T]):
    """One piece of work that can be sent to another process."""

    def __call__(self, progress: Progress | None) -> T: ...


def fit_all(fits: Sequence[Fit[T]], names: Sequence[str], steps: int, progress: Progress | None = None) -> list[T]:
    """The fits' results in order. As many run beside each other as torch has threads, where `steps` are worth it.

    Raises:
        SwitchtenderError: memory ran out, or a process was killed.
    """
    try:
        return _fitted(fits, names, steps, progress)
    except (MemoryError, torch.OutOfMemoryError, BrokenProcessPool) as error:
        raise SwitchtenderError(
            f"training was cut short, mostly for want of memory ({one_line(error, 100)}); lower batch_size, max_tokens "
            "or threads, or name a smaller encoder"
        ) from error


def _fitted(fits: Sequence[Fit[T]], names: Sequence[str], steps: int, progress: Progress | None) -> list[T]:
    workers = min(torch.get_num_threads(), len(fits))
    if workers < 2 or steps < _WORTH_IT_STEPS or device() != "cpu":
        with one_thread():
            return [fit(_named(name, progress)) for fit, name in zip(fits, names, strict=True)]
    import joblib

    with tempfile.TemporaryDirectory() as place, _told(Path(place), names, progress):
        work = (joblib.delayed(_alone)(fit, Path(place) / str(n)) for n, fit in enumerate(fits))
        with joblib.parallel_config("loky", inner_max_num_threads=1), warnings.catch_warnings():
            # Said where joblib renews a worker that has grown; the work goes on.
            warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
            return list(joblib.Parallel(n_jobs=workers)(work))


def _alone(fit: Fit[T], steps: Path) -> T:
    """In a worker: one thread, a byte a step in a file, and an end when the process that asked is gone."""
    torch.set_num_threads(1)
    parent = os.getppid()
    with steps.open("ab", buffering=0) as file:

        def progress(_: str) -> None:
            file.write(b".")
            if os.getppid() != parent:
                os._exit(1)

        return fit(progress)


@contextmanager
def one_thread() -> Iterator[None]:
    """For torch and for linear algebra, as a worker has it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _named(name: str, progress: Progress | None) -> Progress | None:
    return (lambda where: progress(f"{name}, {where}")) if progress else None


@contextmanager
def _told(place: Path, names: Sequence[str], progress: Progress | None) -> Iterator[None]:
    """While the block runs, each step of a worker is told to whoever watches this process."""
    over = threading.Event()
    seen = [0] * len(names)

    def look() -> None:
        for number, name in enumerate(names):
            path = place / str(number)
            now = path.stat().st_size if path.exists() else 0
            for _ in range(now - seen[number]):
                if progress:
                    progress(name)
            seen[number] = now

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        look()
