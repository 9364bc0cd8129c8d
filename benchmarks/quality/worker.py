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
    answers = module.answers(job)
    if job.device == "cpu":
        Reply(answers, versions()).write(folder)
        return
    untimed = {name: replace(answer, cpu_seconds=None) for name, answer in answers.items()}
    Reply(untimed, versions(), importlib.import_module("torch").cuda.get_device_name()).write(folder)


if __name__ == "__main__":
    main()
