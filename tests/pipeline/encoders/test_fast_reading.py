"""Reading through ONNX Runtime with what was read before: torch's vectors, and each prompt once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.encoders import fast_reading
from pipeline.encoders.fast_reading import FastReading, Precision
from pipeline.encoders.frozen import FrozenEmbedding, reading_by
from pipeline.encoders.onnx_encoder import OnnxEncoder

ROOM = 32
PROMPTS = ["short", "a somewhat longer prompt about invoices", "word " * 100, "short", "select * from t " * 30]


class Watched:
    """A reading whose chunks and warnings are written down."""

    def __init__(self, precision: Precision = "fp32") -> None:
        self.read: list[str] = []
        self.told: list[str] = []
        self.reading = FastReading(precision, 1, self._shown, self.told.append)

    def _shown(self, chunks: Sequence[list[str]]) -> Iterable[list[str]]:
        for chunk in chunks:
            self.read += chunk
            yield chunk


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWITCHTENDER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def frozen(tiny_encoder: Path) -> FrozenEmbedding:
    return FrozenEmbedding(str(tiny_encoder), ROOM)


def test_vectors_and_windows_are_those_of_torch(frozen: FrozenEmbedding) -> None:
    expected, whole = frozen.loaded().embed(PROMPTS), frozen.loaded().read(PROMPTS)
    with reading_by(Watched().reading.reader):
        np.testing.assert_allclose(frozen.embed(PROMPTS), expected, atol=1e-5)
        found = frozen.read(PROMPTS)
    np.testing.assert_allclose(found.vectors, whole.vectors, atol=1e-5)
    np.testing.assert_array_equal(found.first, whole.first)
    np.testing.assert_array_equal(found.tokens, whole.tokens)


def test_on_a_gpu_torch_reads_fp32_and_what_it_read_is_kept_apart(
    frozen: FrozenEmbedding, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is only said to be one: the encoder stays on the CPU."""
    monkeypatch.setattr(fast_reading, "device", lambda: "cuda")
    for precision, through_onnx in (("fp32", False), ("int8", True)):
        with reading_by(Watched(precision).reading.reader):  # type: ignore[arg-type]
            FrozenEmbedding(frozen.encoder, ROOM).embed(PROMPTS)
        assert (cache / "engines").exists() == through_onnx
    monkeypatch.setattr(fast_reading, "device", lambda: "cpu")
    watched = Watched()
    with reading_by(watched.reading.reader):
        frozen.embed(PROMPTS)
    assert set(watched.read) == set(PROMPTS)


def test_one_that_was_loaded_with_a_router_remembers_no_prompt(frozen: FrozenEmbedding, tmp_path: Path) -> None:
    fitted = frozen.embed(PROMPTS)
    assert set(frozen._known) == set(PROMPTS)
    (tmp_path / "saved").mkdir()
    frozen.save(tmp_path / "saved")
    loaded = FrozenEmbedding.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.embed(PROMPTS), fitted, atol=1e-6)
    assert not loaded._known


def test_a_second_router_reads_nothing_and_loads_no_encoder(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading_by(Watched().reading.reader):
        first = FrozenEmbedding(str(tiny_encoder), ROOM).read(PROMPTS)
    monkeypatch.setattr(FastReading, "_load", None)
    again = Watched()
    with reading_by(again.reading.reader):
        second = FrozenEmbedding(str(tiny_encoder), ROOM).read(PROMPTS)
    assert again.read == []
    assert second.vectors.tobytes() == first.vectors.tobytes()


def test_only_what_is_new_or_was_not_read_whole_is_read(frozen: FrozenEmbedding) -> None:
    watched = Watched()
    with reading_by(watched.reading.reader):
        frozen.embed(PROMPTS)
        assert sorted(watched.read) == sorted(set(PROMPTS))
        watched.read.clear()
        frozen.read([*PROMPTS, "new"])
    assert sorted(watched.read) == sorted({"new", PROMPTS[2], PROMPTS[4]})


def test_int8_is_near_and_is_kept_apart(frozen: FrozenEmbedding) -> None:
    exact, coarse = Watched(), Watched("int8")
    with reading_by(exact.reading.reader):
        expected = frozen.read(PROMPTS).vectors
    with reading_by(coarse.reading.reader):
        found = frozen.read(PROMPTS).vectors
    assert len(coarse.read) == len(set(PROMPTS))
    assert 0.9 < float((found * expected).sum(axis=1).min()) < 1 - 1e-7


def test_an_encoder_that_cannot_be_exported_is_read_in_torch_and_not_kept_as_int8(
    frozen: FrozenEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Exporting the operator 'aten::frobnicate' to ONNX is not supported")

    with monkeypatch.context() as patch:
        patch.setattr("torch.onnx.export", refuse)
        watched = Watched("int8")
        with reading_by(watched.reading.reader):
            np.testing.assert_allclose(frozen.embed(PROMPTS), frozen.loaded().embed(PROMPTS), atol=1e-6)
    (told,) = watched.told
    assert "is read in torch, which is slower (the encoder cannot be exported to ONNX (Exporting the operator" in told
    again = Watched("int8")
    with reading_by(again.reading.reader):
        FrozenEmbedding(frozen.encoder, ROOM).embed(PROMPTS[:1])
    assert again.read == PROMPTS[:1]


def test_of_a_hubs_name_without_a_commit_nothing_is_kept(
    tiny_encoder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for identity, kept in (("hub:some/model@main", False), (f"hub:some/model@{'4f2c' * 10}", True)):
        monkeypatch.setattr(fast_reading, "encoder_identity", lambda _, told=identity: told)
        with reading_by(Watched().reading.reader):
            FrozenEmbedding(str(tiny_encoder), ROOM).embed(PROMPTS[:1])
        assert (cache / "vectors.sqlite").exists() is kept


def test_another_encoder_has_vectors_of_its_own(frozen: FrozenEmbedding, tiny_encoder: Path) -> None:
    watched = Watched()
    with reading_by(watched.reading.reader):
        frozen.embed(PROMPTS[:1])
        FrozenEmbedding(str(tiny_encoder), ROOM // 2).embed(PROMPTS[:1])
    assert watched.read == [PROMPTS[0], PROMPTS[0]]


def test_without_a_cache_prompts_are_read_all_the_same(
    frozen: FrozenEmbedding, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("SWITCHTENDER_CACHE", "off")
    with reading_by(Watched().reading.reader):
        np.testing.assert_allclose(frozen.embed(PROMPTS), frozen.loaded().embed(PROMPTS), atol=1e-5)
    assert not cache.exists()


def test_a_damaged_cache_is_told_once_and_left_aside(frozen: FrozenEmbedding, cache: Path) -> None:
    cache.mkdir()
    (cache / "vectors.sqlite").write_bytes(b"no database" * 100)
    watched = Watched()
    with reading_by(watched.reading.reader):
        np.testing.assert_allclose(frozen.read(PROMPTS).vectors, frozen.loaded().read(PROMPTS).vectors, atol=1e-5)
    assert len(watched.told) == 1
    assert "switchtender cache --clear" in watched.told[0]


def test_a_damaged_export_is_made_anew(frozen: FrozenEmbedding, cache: Path) -> None:
    with reading_by(Watched().reading.reader):
        frozen.embed(PROMPTS[:1])
    graph = next(cache.glob("engines/*/encoder.onnx"))
    graph.write_bytes(b"damaged")
    with reading_by(Watched().reading.reader):
        frozen.embed(["something new"])
    assert OnnxEncoder.load(graph.parent).width == frozen.loaded().width


def test_outside_the_block_torch_reads(frozen: FrozenEmbedding) -> None:
    watched = Watched()
    with reading_by(watched.reading.reader):
        pass
    frozen.read(PROMPTS)
    assert watched.read == []
