"""Fitting, predicting and evaluating on tables of up to a million outcomes, each verb as a process of its own.

    python -m benchmarks.outcomes                        # 1,000, 3,000 and 10,000 prompts x 100 candidates
    python -m benchmarks.outcomes --prompts 500 --candidates 20 --encoder minilm --markdown table.md

The tables are made up: words of our own in topics, candidates that are good at some of them. For each size the table
is written as Parquet and as CSV; every router is fitted on the Parquet file, and `evaluate` reads the CSV file. The
default encoder is a random one, as wide as the bundled one and of one thin layer: what is measured is the handling of
tables, not the reading of prompts, which takes its time whatever the number of candidates.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from pipeline.runtime.tables import write_table, write_text

ROOT = Path(__file__).resolve().parent.parent
ROUTERS = ("clusters", "knn", "linear")
RANDOM = "random"
_TOPICS, _WORDS, _LENGTH = 25, 60, 12


@dataclass(frozen=True)
class Step:
    """One verb on one table: wall seconds and the process's peak resident memory in MiB."""

    rows: int
    router: str
    verb: str
    seconds: float
    peak: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--routers", nargs="+", default=list(ROUTERS))
    parser.add_argument("--encoder", default=RANDOM)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        params = settings(Path(folder), asked.encoder)
        steps = [
            step
            for prompts in asked.prompts
            for step in measured(Path(folder) / str(prompts), prompts, asked.candidates, asked.routers, params)
        ]
    table = markdown(steps)
    print(table)
    if asked.markdown:
        write_text(table, asked.markdown)


def settings(folder: Path, encoder: str) -> Path:
    """A params.yaml that names the encoder, which is made where it is the random one."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["train"]["encoder"] = str(_random_encoder(folder / RANDOM)) if encoder == RANDOM else encoder
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _random_encoder(folder: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    from pipeline.encoders.sentence_encoder import locate

    tokenizer = AutoTokenizer.from_pretrained(locate("minilm")[0])
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=384, n_layers=1, n_heads=2, hidden_dim=64)
    DistilBertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def outcome_table(prompts: int, candidates: int, seed: int = 0) -> pd.DataFrame:
    """A row a prompt and candidate: prompts are words of a topic, and a candidate's chance depends on the topic."""
    random = np.random.default_rng(seed)
    syllables = np.array(["ba", "ke", "lo", "mi", "nu", "ra", "se", "ti", "vo", "zu"])
    words = np.array(["".join(random.choice(syllables, 3)) for _ in range(_TOPICS * _WORDS)]).reshape(_TOPICS, _WORDS)
    topic = random.integers(_TOPICS, size=prompts)
    texts = [f"{' '.join(random.choice(words[t], _LENGTH))} {i}?" for i, t in enumerate(topic)]
    chance = random.random((_TOPICS, candidates))
    quality = (random.random((prompts, candidates)) < chance[topic]).astype(np.float64)
    price = np.geomspace(1e-4, 1e-2, candidates)
    return pd.DataFrame(
        {
            "prompt_id": np.repeat([f"p{i}" for i in range(prompts)], candidates),
            "prompt": np.repeat(np.array(texts, dtype=object), candidates),
            "candidate": np.tile([f"model-{c}" for c in range(candidates)], prompts),
            "quality": quality.ravel(),
            "cost": (price * random.uniform(0.5, 1.5, (prompts, 1))).ravel().round(8),
        }
    )


def measured(folder: Path, prompts: int, candidates: int, routers: Sequence[str], params: Path) -> list[Step]:
    """Fit, predict and evaluate each router on a table of one size."""
    folder.mkdir()
    table, text = folder / "outcomes.parquet", folder / "outcomes.csv"
    frame = outcome_table(prompts, candidates)
    write_table(frame, table)
    write_table(frame, text)
    rows = len(frame)
    del frame
    steps = []
    for router in routers:
        made, predicted = folder / router, folder / f"{router}.parquet"
        for verb, rest in (
            ("fit", [table, "--router", router, "--params", params, "--out", made]),
            ("predict", [made, table, "--out", predicted]),
            ("evaluate", [predicted, text]),
        ):
            steps.append(Step(rows, router, verb, *_child([verb, *map(str, rest), "--json"])))
            print(f"{rows:>9,} {router:<9}{verb:<9}{steps[-1].seconds:7.1f} s {steps[-1].peak:7.0f} MiB", flush=True)
    return steps


def _child(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak MiB of the command as a whole process.

    Raises:
        CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", "switchtender", *arguments]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - started, _mebibytes(usage)


def _mebibytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def markdown(steps: Sequence[Step]) -> str:
    """A row a router and verb: seconds and peak memory by size, and the largest size's time over the smallest's."""
    sizes = sorted({step.rows for step in steps})
    found = {(step.router, step.verb, step.rows): step for step in steps}
    kinds = dict.fromkeys((step.router, step.verb) for step in steps)
    times = sizes[-1] / sizes[0]
    head = [f"{size:,} rows" for size in sizes]
    lines = [
        f"| router | verb | {' | '.join(head)} | time x, for rows x {times:g} |",
        "|---|---|" + "---:|" * (len(sizes) + 1),
    ]
    for kind in kinds:
        steps_of = [found[(*kind, size)] for size in sizes]
        cells = [f"{step.seconds:.1f} s, {step.peak / 1024:.2f} GiB" for step in steps_of]
        ratio = steps_of[-1].seconds / steps_of[0].seconds
        lines.append(f"| {' | '.join([*kind, *cells, f'{ratio:.1f}'])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
