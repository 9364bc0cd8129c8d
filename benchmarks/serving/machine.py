"""On what was measured: cores and instruction sets, never whose machine it is."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_TELLING = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm", "sve",
)  # fmt: skip


def described() -> str:
    """One sentence, and whether other work ran when it was asked for."""
    load = os.getloadavg()[0]
    busy = f"; not idle: when it began, {load:.1f} other processes ran on average" if load > 0.5 else ""
    return f"{hardware()}{busy}."


def hardware() -> str:
    """The processor and what runs on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    sets = ", ".join(_instruction_sets()) or "unknown"
    return (
        f"{platform.machine()}, {cores} cores, instruction sets {sets}; {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _instruction_sets() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    line = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    has = set(line.partition(":")[2].split())
    return [name for name in _TELLING if name in has]
