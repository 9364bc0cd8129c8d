"""The encoder that answers: ONNX Runtime and the `tokenizers` library; neither torch nor transformers is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoders.engine_files import DESCRIPTION, GRAPH, TOKENIZER
from pipeline.encoders.windows import ContextWindow, TextEncoder, Tokens
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.tables import read_json

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

FORMAT = 1
INT8, FP32 = "int8", "fp32"
_BATCH = 32


def runtime() -> Any:
    """The library, told before it is imported to report nothing to anybody; later it no longer listens."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


class OnnxEncoder(TextEncoder):
    """Unit vectors of an exported encoder. Several threads may ask at once.

    Law: a prompt's vector does not depend on its neighbours. Dynamic int8 takes one scale for all that is in a
    call, so int8 reads one prompt a call and uses its threads side by side; fp32 reads batches of like length.
    """

    def __init__(self, session: InferenceSession, tokenizer: Tokenizer, max_tokens: int, precision: str) -> None:
        self.session = session
        self.tokenizer = tokenizer
        self.precision = precision
        self.batch_size = _BATCH
        self.width = int(session.get_outputs()[0].shape[-1])
        self.room = ContextWindow.measured(max_tokens, *self.ids(["", "a"]))
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> OnnxEncoder:
        """Load an `engine` folder; `threads` are CPU threads.

        Raises:
            VerificationFailed: a file is missing or damaged, or of a format that this release does not read.
        """
        from tokenizers import Tokenizer

        facts = read_json(folder / DESCRIPTION)
        if facts.get("format") != FORMAT:
            raise VerificationFailed(
                f"{folder}: engine format {facts.get('format')}, this release reads {FORMAT}; use a matching release"
            )
        precision = str(facts["precision"])
        onnxruntime = runtime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1 if precision == INT8 else threads
        try:
            session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # both libraries raise their own and plain exceptions
            reason = " ".join(str(error).split())[:160]
            raise VerificationFailed(f"{folder} holds a damaged encoder ({reason}); restore it") from error
        encoder = cls(session, tokenizer, int(facts["max_tokens"]), precision)
        if precision == INT8 and threads > 1:
            encoder._pool = ThreadPoolExecutor(threads, thread_name_prefix="encoder")
        return encoder

    def ids(self, prompts: Sequence[str]) -> list[Tokens]:
        if len(prompts) == 1:
            return [self.tokenizer.encode(prompts[0]).ids]
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(prompts))]

    def vectors(self, tokens: Sequence[Tokens]) -> FloatMatrix:
        if self.precision == INT8:
            return self._one_by_one(tokens)
        vectors = np.zeros((len(tokens), self.width), dtype=np.float32)
        order = sorted(range(len(tokens)), key=lambda row: (len(tokens[row]), row))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            vectors[batch] = self._run(*padded([tokens[row] for row in batch]))
        return vectors

    def _one_by_one(self, tokens: Sequence[Tokens]) -> FloatMatrix:
        """A call a prompt: in a batch, dynamic int8 would scale a prompt's activations by its neighbours'."""
        asked = [np.array([ids], dtype=np.int64) for ids in tokens]
        if self._pool is None or len(asked) == 1:
            found = [self._run(ids) for ids in asked]
        else:
            found = list(self._pool.map(self._run, asked))
        return np.concatenate(found) if found else np.zeros((0, self.width), dtype=np.float32)

    def _run(self, ids: Any, mask: Any = None) -> FloatMatrix:
        feed = {"input_ids": ids} if mask is None else {"input_ids": ids, "attention_mask": mask}
        vectors: FloatMatrix = self.session.run(None, feed)[0]
        return vectors


def padded(tokens: Sequence[Tokens]) -> tuple[Any, Any]:
    """Right-padded to the batch's longest: token ids and mask, int64 [n, longest]."""
    longest = max(map(len, tokens))
    ids = np.zeros((len(tokens), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(tokens):
        ids[row, : len(prompt)] = prompt
        mask[row, : len(prompt)] = 1
    return ids, mask
