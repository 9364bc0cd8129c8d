"""One contender in a process of its own: reads jobs as lines of JSON, and answers with what it measured.

python -m benchmarks.serving.worker SETUP      # SETUP: a `Setup` as JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.serving.contender import PEERS, Contender, Setup

LIBRARIES = ("onnxruntime", "tokenizers", "torch", "transformers", "sentence-transformers", "setfit", "semantic-router")
WARM_UP = ("Please warm up.", "Read this one as well, and then another of some length, so that nothing is new later.")


def main() -> None:
    """Load the contender, say so, and work until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be taken for a reply
    contender = _loaded(Setup.from_json(sys.argv[1]))
    for _ in range(3):
        contender.answer(contender.prepare(WARM_UP))
    print(json.dumps({"versions": _versions()}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(_done(contender, json.loads(line))), file=replies, flush=True)


def _loaded(setup: Setup) -> Contender:
    if setup.contender in PEERS:
        from benchmarks.serving.peers import load
    else:
        from benchmarks.serving.own import load
    return load(setup)


def _done(contender: Contender, job: dict[str, Any]) -> dict[str, Any]:
    prompts: list[str] = job["prompts"]
    if job["job"] == "calls":
        return _calls(contender, prompts, job["warm"])
    if job["job"] == "batch":
        return _batch(contender, prompts)
    return {"vectors": [contender.vector(text) for text in prompts]}


def _calls(contender: Contender, prompts: Sequence[str], warm: int) -> dict[str, Any]:
    """Seconds of one call a prompt, and CPU seconds of all; the first `warm` ones only bring the caches back."""
    timed = [_batch(contender, [prompt]) for prompt in prompts][warm:]
    return {"seconds": [one["seconds"] for one in timed], "cpu_seconds": sum(one["cpu_seconds"] for one in timed)}


def _batch(contender: Contender, prompts: Sequence[str]) -> dict[str, float]:
    prepared = contender.prepare(prompts)
    cpu = time.process_time()
    started = time.perf_counter()
    contender.answer(prepared)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu_seconds": time.process_time() - cpu}


def _versions() -> dict[str, str]:
    """Of the libraries that it loaded."""
    return {name: version(name) for name in LIBRARIES if name.replace("-", "_") in sys.modules}


if __name__ == "__main__":
    main()
