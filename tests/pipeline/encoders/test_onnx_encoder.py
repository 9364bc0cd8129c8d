"""The exported encoder: the same as torch, the same alone and in company, refused where it is damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sandbox import ROOT

from pipeline.encoders.onnx_encoder import FP32, INT8, OnnxEncoder
from pipeline.encoders.onnx_export import export, require_parity
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.runtime.checksums import sha256_folder
from pipeline.runtime.errors import SwitchtenderError, VerificationFailed

PROMPTS = [
    "fix my loop",
    "Translate the contract into German and mail it to Ana before the ferry leaves at nine",
    "?",
    "The minutes of the meeting were long. " * 40 + "Plan a trip to Ostend.",
    "naïve façade 東京 😀",
]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> SentenceEncoder:
    return SentenceEncoder.load(str(tiny_encoder), 32)


@pytest.fixture(scope="module", params=[FP32, INT8])
def engine(request: pytest.FixtureRequest, encoder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / request.param
    export(encoder, folder, request.param)
    return folder


@pytest.mark.parametrize("threads", [1, 2])
def test_an_answer_does_not_depend_on_its_neighbours(engine: Path, threads: int) -> None:
    exported = OnnxEncoder.load(engine, threads)
    bound = 0.0 if exported.precision == INT8 else 1e-6
    together = exported.read(PROMPTS).vectors
    alone = np.concatenate([exported.read([prompt]).vectors for prompt in PROMPTS])
    assert np.abs(together - alone).max() <= bound
    padded = exported.read([PROMPTS[0], PROMPTS[3]]).vectors[0]
    assert np.abs(padded - exported.embed([PROMPTS[0]])[0]).max() <= bound


def test_dynamic_int8_would_depend_on_its_neighbours_in_one_call(encoder: SentenceEncoder, tmp_path: Path) -> None:
    """Why int8 reads one prompt a call: two of like length in one call change each other."""
    export(encoder, tmp_path / "int8", INT8)
    exported = OnnxEncoder.load(tmp_path / "int8")
    first, second = exported.ids(["fix my loop", "mail the invoice"])
    both = exported._run(np.array([first[:5], second[:5]], dtype=np.int64))
    alone = exported._run(np.array([first[:5]], dtype=np.int64))
    assert np.abs(both[:1] - alone).max() > 1e-5


def test_fp32_says_what_torch_says_and_int8_nearly(encoder: SentenceEncoder, engine: Path) -> None:
    exported = OnnxEncoder.load(engine)
    cosine = (exported.embed(PROMPTS) * encoder.embed(PROMPTS)).sum(axis=1)
    assert cosine.min() > (0.999999 if exported.precision == FP32 else 0.97)
    assert [list(ids) for ids in exported.ids(PROMPTS)] == encoder.ids(PROMPTS)


def test_another_encoder_is_not_at_parity(encoder: SentenceEncoder, tmp_path: Path) -> None:
    import torch

    export(encoder, tmp_path, FP32)
    changed = SentenceEncoder(encoder.model, encoder.tokenizer, 32)
    layer = next(module for module in encoder.model.modules() if isinstance(module, torch.nn.Linear))
    before = layer.weight.data.clone()
    torch.nn.init.normal_(layer.weight)
    try:
        with pytest.raises(SwitchtenderError, match="differs from torch by"):
            require_parity(changed, OnnxEncoder.load(tmp_path), PROMPTS)
    finally:
        layer.weight.data = before


def test_an_export_gives_the_same_bytes_again(encoder: SentenceEncoder, engine: Path, tmp_path: Path) -> None:
    export(encoder, tmp_path / "again", OnnxEncoder.load(engine).precision)
    assert sha256_folder(tmp_path / "again") == sha256_folder(engine)


@pytest.mark.parametrize("name", ["encoder.onnx", "tokenizer.json", "engine.json"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_engine_is_refused(encoder: SentenceEncoder, tmp_path: Path, name: str, damage: str) -> None:
    export(encoder, tmp_path, FP32)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink() if damage == "gone" else (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(VerificationFailed, match=r"engine|damaged|json"):
        OnnxEncoder.load(tmp_path)


def test_an_engine_of_another_format_is_refused(encoder: SentenceEncoder, tmp_path: Path) -> None:
    export(encoder, tmp_path, FP32)
    facts = json.loads((tmp_path / "engine.json").read_text())
    (tmp_path / "engine.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(VerificationFailed, match="format 99, this release reads 1"):
        OnnxEncoder.load(tmp_path)


def test_answering_imports_neither_torch_nor_transformers(engine: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.encoders.onnx_encoder import OnnxEncoder\n"
        f"OnnxEncoder.load(Path({str(engine)!r}), 2).read(['mail Ana'])\n"
        "from pipeline.serving.engine.engine import Engine; import pipeline.routers.systems\n"
        "sys.exit(' '.join({'torch', 'transformers', 'mlflow', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == ""
