"""Pinning what makes two runs differ: seeds, threads and algorithms; and naming the machine they ran on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import random
from pathlib import Path

import numpy as np
from pydantic import Field

from pipeline.runtime.device import Wanted, gpu_name, resolved, use_device
from pipeline.runtime.params import Section


class RunParams(Section):
    """What every stage shares."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    device: Wanted = "auto"


def pin(seed: int, threads: int, wanted: Wanted = "auto") -> None:
    """Seed every generator, fix the device and the threads: torch's as asked (another number gives other bytes),
    BLAS's to one.

    Raises:
        InputError: a GPU is wanted and there is none.
    """
    import threadpoolctl
    import torch

    use_device(wanted)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # As use_deterministic_algorithms(True), which for torch.compile's sake imports for seconds what nothing here uses.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it costs time
    # NumPy's small products are several times slower on two threads than on one.
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")


def fingerprint(threads: int, wanted: Wanted = "auto") -> dict[str, str | int]:
    """The environment within which equal inputs give equal bytes: Python, packages, CPU, threads and any GPU.

    Raises:
        InputError: a GPU is wanted and there is none.
    """
    packages = sorted(f"{d.name.lower()}=={d.version}" for d in importlib.metadata.distributions() if d.name)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "threads": threads,
        "packages_sha256": hashlib.sha256("\n".join(dict.fromkeys(packages)).encode()).hexdigest(),
        **({"device": "cuda", "gpu": gpu_name()} if resolved(wanted) == "cuda" else {}),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
