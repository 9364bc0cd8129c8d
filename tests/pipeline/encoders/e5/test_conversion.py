"""An encoder in one file becomes a folder with the same weights and pieces, or is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from packed_e5 import WIDTH, weights, write_packed

from pipeline.encoders.e5.conversion import write_e5
from pipeline.encoders.e5.packed_file import E5File
from pipeline.encoders.onnx_encoder import FP32, OnnxEncoder
from pipeline.encoders.onnx_export import export, require_parity
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.runtime.errors import InputError

LONG = "mail the " * 30
PREFIX = ["<s>", "\u2581qu", "ery", ":"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    folder = tmp_path_factory.mktemp("e5")
    write_e5(write_packed(folder / "packed.bin"), folder / "model")
    return SentenceEncoder.load(str(folder / "model"), 24)


def pieces(encoder: SentenceEncoder, ids: list[int]) -> list[str]:
    found: list[str] = encoder.tokenizer.convert_ids_to_tokens(ids)
    return found


def test_every_weight_is_where_the_model_reads_it(encoder: SentenceEncoder) -> None:
    held, written = {name: value.numpy() for name, value in encoder.model.state_dict().items()}, weights()
    places = {
        "emb.word": "embeddings.word_embeddings",
        "emb.pos": "embeddings.position_embeddings",
        "emb.type": "embeddings.token_type_embeddings",
        "emb.ln.w": "embeddings.LayerNorm",
        "l1.q.w": "encoder.layer.1.attention.self.query",
        "l0.k.w": "encoder.layer.0.attention.self.key",
        "l1.v.w": "encoder.layer.1.attention.self.value",
        "l0.ao.w": "encoder.layer.0.attention.output.dense",
        "l1.aln.w": "encoder.layer.1.attention.output.LayerNorm",
        "l0.fi.w": "encoder.layer.0.intermediate.dense",
        "l1.fo.w": "encoder.layer.1.output.dense",
        "l0.oln.w": "encoder.layer.0.output.LayerNorm",
    }
    for name, place in places.items():
        np.testing.assert_array_equal(held[f"{place}.weight"], written[name], err_msg=name)
        if name.endswith(".w"):
            np.testing.assert_array_equal(held[f"{place}.bias"], written[f"{name[:-2]}.b"], err_msg=name)
    assert not held["pooler.dense.weight"].any()
    assert encoder.model.config.layer_norm_eps == 1e-12


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("mail the", ["\u2581mail", "\u2581the"]),
        ("  mail\t\u200bthe\x07 ", ["\u2581mail", "\u2581the"]),
        ("e\u0301", ["\u2581", "é"]),
        ("你好Ω", ["\u2581", "你", "好", "Ω"]),
        ("mail Ж", ["\u2581mail", "\u2581", "<unk>"]),
        ("", []),
    ],
)
def test_text_is_cut_as_the_file_says_behind_the_prefix(encoder: SentenceEncoder, text: str, read: list[str]) -> None:
    assert pieces(encoder, encoder.ids([text])[0]) == [*PREFIX, *read, "</s>"]


def test_every_window_of_a_long_prompt_begins_with_the_prefix_also_in_the_engine(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    export(encoder, tmp_path / "engine", FP32)
    engine = OnnxEncoder.load(tmp_path / "engine")
    [ids] = encoder.ids([LONG])
    assert engine.ids([LONG]) == [ids]
    assert (engine.room, encoder.room.before, encoder.room.after) == (encoder.room, len(PREFIX), 1)
    views = list(encoder.room.views(ids))
    assert len(views) > 3
    assert all(pieces(encoder, view[:4]) == PREFIX and len(view) <= 24 for view in views)
    assert require_parity(encoder, engine, ["mail the", LONG, ""]) < 1e-5


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write_packed(tmp_path / "packed.bin")
    for name in ("a", "b"):
        write_e5(source, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.0003, 0.003, 0.02, 0.1, 0.5, 0.9999])
def test_a_file_that_is_cut_short_is_refused_in_one_line(tmp_path: Path, share: float) -> None:
    source = write_packed(tmp_path / "packed.bin")
    source.write_bytes(source.read_bytes()[: int(share * source.stat().st_size)])
    with pytest.raises(
        InputError, match=r"packed\.bin is no whole encoder file .*; install its package anew"
    ) as caught:
        write_e5(source, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("at", [8, 12, 16, 20, 24, 28, 32, 40, 44, 64])
@pytest.mark.parametrize("value", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"])
def test_sizes_that_cannot_be_are_refused_in_one_line(tmp_path: Path, at: int, value: bytes) -> None:
    source = write_packed(tmp_path / "packed.bin")
    content = bytearray(source.read_bytes())
    content[at : at + 4] = value
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"^[^\n]*install its package anew$"):
        write_e5(source, tmp_path / "model")


def test_a_foreign_file_and_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gguf").write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(InputError, match="does not begin with E5S1"):
        E5File(tmp_path / "gguf")
    with pytest.raises(InputError, match="cannot be read"):
        E5File(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"tensor emb\.word"):
        E5File(write_packed(tmp_path / "packed.bin")).tensor("emb.word", 1, WIDTH)
