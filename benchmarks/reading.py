"""Reading prompts of a table of one's own: `python -m benchmarks.reading TABLE [--prompts N] [--markdown FILE]`.

Torch, ONNX Runtime in fp32 and in int8, and once more what was read already; CPU seconds of one process. To have long
ones too, prompts of the table are joined: a fifth each of about 20, 60, 150, 400 and 900 tokens.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.data.outcomes import read_prompts
from pipeline.encoders.encoder_files import BUNDLED
from pipeline.encoders.fast_reading import FastReading, Precision
from pipeline.encoders.frozen import FrozenEmbedding, reading_by
from pipeline.encoders.vector_cache import PLACE
from pipeline.encoders.windows import EncodedPrompts
from pipeline.runtime.reproducibility import pin
from pipeline.runtime.tables import write_text

SEED, THREADS, MAX_TOKENS = 7, 2, 256
LENGTHS = (20, 60, 150, 400, 900)
WORDS_A_TOKEN = 0.75


def long_prompts(table: Path, count: int) -> list[str]:
    """Prompts of mixed lengths, made of those of a table."""
    random, known = np.random.default_rng(SEED), read_prompts(table)[1]
    made = []
    for number in range(count):
        wanted, words = int(LENGTHS[number % len(LENGTHS)] * WORDS_A_TOKEN), list[str]()
        while len(words) < wanted:
            words += known[int(random.integers(len(known)))].split()
        made.append(" ".join([*words[:wanted], str(number)]))
    return made


@contextmanager
def _reading(precision: Precision | None) -> Iterator[None]:
    if precision is None:
        yield
        return
    with reading_by(FastReading(precision, THREADS, lambda chunks: chunks, print).reader):
        yield


def measured(way: Callable[[], EncodedPrompts]) -> tuple[float, EncodedPrompts]:
    """CPU seconds of this process, and what was read."""
    start = time.process_time()
    found = way()
    return time.process_time() - start, found


def main(table: Path, count: int, markdown: Path | None) -> None:
    pin(SEED, THREADS)
    prompts = long_prompts(table, count)
    rows, exact = [], None
    ways: tuple[tuple[str, Precision | None], ...] = (
        ("torch", None), ("ONNX Runtime, fp32", "fp32"), ("fp32, a second router", "fp32"),
        ("ONNX Runtime, int8", "int8"), ("int8, a second router", "int8"),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        os.environ[PLACE] = place
        for name, precision in ways:
            with _reading(precision):
                embedding = FrozenEmbedding(BUNDLED, MAX_TOKENS)
                embedding.read(["warm"])  # an encoder is loaded, and exported, once
                seconds, found = measured(lambda embedding=embedding: embedding.read(prompts))  # type: ignore[misc]
            exact = exact or (seconds, found)
            cosine = float((found.vectors * exact[1].vectors).sum(axis=1).min())
            rows.append(f"| {name} | {seconds:.1f} | {exact[0] / seconds:.1f} | {cosine:.4f} |")
            print(rows[-1], flush=True)
    size = f"{count} prompts, {len(exact[1].vectors) if exact else 0} windows, {MAX_TOKENS} tokens at once"
    text = (
        f"| {size} | CPU s | times torch | least cosine with torch |\n|---|---:|---:|---:|\n" + "\n".join(rows) + "\n"
    )
    print(text)
    if markdown:
        write_text(text, markdown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    main(asked.table, asked.prompts, asked.markdown)
