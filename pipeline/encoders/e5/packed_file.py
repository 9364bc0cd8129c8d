"""Reading the one-file form of a small E5 encoder: a BERT in 4-bit blocks and its Unigram tokenizer.

    "E5S1", version u32
    width, layers, heads, intermediate, vocabulary, positions, token types i32; epsilon f32; block i32
    pieces, <s>, </s>, <pad>, <unk> i32; bytes of all pieces u64
    pieces + 1 offsets u32; a score f32 each; the pieces in UTF-8
    characters i32, bytes u32; each character u32, how many stand in its place u8, those u32
    tensors i32; each: length of its name u16, name, type u8, values u32, offset u64, bytes u64

All little-endian, without padding. A tensor's type is 0 for float32 and 1 for Q4_0: blocks of 32 weights, a scale as
float16 and 16 bytes; the low halves are the first 16 weights, the high halves the others, each less 8, by the scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.errors import InputError

_MAGIC, _BLOCK, _BLOCK_BYTES = b"E5S1", 32, 18
_FLOAT32, _Q4_0 = 0, 1
_ROWS = 1 << 17
"""Blocks that are unpacked at once: a whole vocabulary would take several times its size."""


@dataclass(frozen=True)
class E5Shape:
    """The sizes of a BERT encoder."""

    width: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float


@dataclass(frozen=True)
class E5Pieces:
    """A Unigram vocabulary: pieces by id, their log probabilities, and the ids of the special ones."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    start: int
    end: int
    padding: int
    unknown: int
    replaced: dict[str, str]
    """What each character is read as before it is cut into pieces, where that is not itself."""


@dataclass(frozen=True)
class _Entry:
    type: int
    values: int
    offset: int


class E5File:
    """A file of this form, whose tensors are unpacked when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Read all but the tensors.

        Raises:
            InputError: the file cannot be read, is cut short or is of another form.
        """
        self.path = path
        try:
            self._content = path.read_bytes()
            self._at = 0
            self._read()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); install its package anew") from error
        except (struct.error, ValueError, OverflowError) as error:  # ValueError: also bytes that are no UTF-8
            raise self._refused(str(error)) from error

    def _refused(self, reason: str) -> InputError:
        return InputError(f"{self.path} is no whole encoder file ({reason}); install its package anew")

    def _read(self) -> None:
        if self._content[:4] != _MAGIC:
            raise ValueError(f"it does not begin with {_MAGIC.decode()}")
        self._at = 8
        sizes, (block,) = self._values("7if"), self._values("i")
        self.shape = shape = E5Shape(*sizes)
        blocks = shape.width % _BLOCK == shape.intermediate % _BLOCK == 0 and block == _BLOCK
        if not (min(sizes) > 0 and shape.epsilon < 1 and blocks and shape.width % shape.heads == 0):
            raise ValueError(f"sizes {sizes} in blocks of {block}")
        self.tokenizer = self._tokenizer()
        (count,) = self._values("i")
        self._entries = dict(self._entry() for _ in range(count))

    def _values(self, kinds: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + kinds, self._content, self._at)
        self._at += struct.calcsize("<" + kinds)
        return found

    def _array(self, kind: str, count: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self._content, np.dtype(kind).newbyteorder("<"), count, self._at)
        self._at += found.nbytes
        return found

    def _tokenizer(self) -> E5Pieces:
        count, start, end, padding, unknown, size = self._values("5iQ")
        if not 0 < count <= self.shape.vocabulary or not all(0 <= i < count for i in (start, end, padding, unknown)):
            raise ValueError(f"{count} pieces, special ones {start}, {end}, {padding}, {unknown}")
        offsets = self._array("u4", count + 1)
        scores = self._array("f4", count)
        text = self._array("u1", size).tobytes()
        if (
            not np.isfinite(scores).all()
            or offsets[0] != 0
            or offsets[-1] != size
            or (np.diff(offsets.astype(np.int64)) < 0).any()
        ):
            raise ValueError("the places or scores of its pieces")
        pieces = tuple(text[a:b].decode() for a, b in pairwise(offsets))
        return E5Pieces(pieces, tuple(map(float, scores)), start, end, padding, unknown, self._replaced())

    def _replaced(self) -> dict[str, str]:
        count, size = self._values("iI")
        end, found = self._at + size, {}
        for _ in range(count):
            character, length = self._values("IB")
            found[chr(character)] = "".join(map(chr, self._values(f"{length}I")))
        if self._at != end:
            raise ValueError("its table of characters")
        return found

    def _entry(self) -> tuple[str, _Entry]:
        (length,) = self._values("H")
        name = self._array("u1", length).tobytes().decode()
        kind, values, offset, _ = self._values("BIQQ")
        return name, _Entry(kind, values, offset)

    def tensor(self, name: str, *shape: int) -> npt.NDArray[Any]:
        """A tensor of this shape: float32 where the file has it so, float16 where it has it in 4 bits.

        Raises:
            InputError: there is none, it has another number of values, or the file ends before it does.
        """
        entry = self._entries.get(name)
        if entry is None or entry.type not in (_FLOAT32, _Q4_0) or entry.values != int(np.prod(shape)):
            raise self._refused(f"tensor {name}")
        self._at = entry.offset
        try:
            flat = self._array("f4", entry.values) if entry.type == _FLOAT32 else self._unpacked(entry.values)
        except ValueError as error:
            raise self._refused(f"it ends within tensor {name}") from error
        return flat.reshape(shape)

    def _unpacked(self, values: int) -> npt.NDArray[np.float16]:
        blocks = self._array("u1", values // _BLOCK * _BLOCK_BYTES).reshape(-1, _BLOCK_BYTES)
        flat = np.empty((len(blocks), _BLOCK), dtype=np.float16)
        for first in range(0, len(blocks), _ROWS):
            some = blocks[first : first + _ROWS]
            scale = np.ascontiguousarray(some[:, :2]).view("<f2").astype(np.float32)
            halves = some[:, 2:]
            weights = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8
            flat[first : first + _ROWS] = weights * scale
        return flat.reshape(-1)
