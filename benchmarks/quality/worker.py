"""Does one job in a process of its own: `python -m benchmarks.quality.worker FOLDER`, in either environment."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.quality.job import Job, Reply, versions

PEERS = {"setfit": "peer_setfit", "semantic-router": "peer_semantic_router", "trainer": "peer_trainer"}


def main() -> None:
    """Read the folder's job, do it, and write the reply beside it."""
    folder = Path(sys.argv[1])
    job = Job.read(folder)
    module = importlib.import_module(f"benchmarks.quality.{PEERS.get(job.system, 'own')}")
    if job.system in PEERS:
        importlib.import_module("torch").set_num_threads(job.threads)
    answer, gpu = module.answer(job), _gpu_in_use()
    Reply(replace(answer, cpu_seconds=None) if gpu else answer, versions(), gpu).write(folder)


def _gpu_in_use() -> str:
    """Its name; empty where this process used none."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return str(cuda.get_device_name()) if cuda and cuda.is_initialized() else ""


if __name__ == "__main__":
    main()
