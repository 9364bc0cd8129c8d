"""The device of encoders and language models: chosen once, named in the fingerprint, and everything is put there.

There is no GPU here; torch's device `meta`, which computes shapes alone and refuses to mix with the CPU, stands in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import save_tiny

from pipeline.encoders import pretrained
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.routers.aptitude.language_model import network
from pipeline.routers.aptitude.language_model.training import loss_of
from pipeline.routers.base.settings import AptitudeParams, FinetuningParams
from pipeline.routers.finetuning import _optimizer, new_network
from pipeline.routers.tags.generator import TagGenerator
from pipeline.runtime import device, reproducibility
from pipeline.runtime.errors import InputError, ParamsError
from pipeline.runtime.params import parse
from pipeline.runtime.reproducibility import RunParams, fingerprint, pin

META = torch.device("meta")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that says it has a GPU."""
    monkeypatch.setattr(device, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(device, "_torch_finds_gpu", lambda: True)
    monkeypatch.setattr(reproducibility, "gpu_name", lambda: "NVIDIA Some GPU")
    yield
    device.use_device("cpu")


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused() -> None:
    assert device.resolved("auto") == device.resolved("cpu") == device.device() == "cpu"
    for asked in (lambda: pin(7, 1, "cuda"), lambda: fingerprint(1, "cuda")):
        with pytest.raises(InputError, match=r"torch finds no GPU here; set run\.device \(--device\) to auto or cpu"):
            asked()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_gpu_is_used_where_there_is_one_and_repeats_itself(gpu: None) -> None:
    device.use_device("cpu")
    assert device.device() == "cpu"
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    device.use_device("auto")
    assert device.device() == "cuda"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_fingerprint_names_a_gpu_and_else_stays_as_it_was(gpu: None) -> None:
    before = fingerprint(2, "cpu")
    assert list(before) == ["python", "system", "cpu", "threads", "packages_sha256"]
    assert fingerprint(2, "auto") == fingerprint(2, "cuda") == {**before, "device": "cuda", "gpu": "NVIDIA Some GPU"}


def test_the_setting_may_be_left_out_and_a_slip_in_it_is_told() -> None:
    assert parse("run", RunParams, {"seed": 7, "threads": 2}).device == "auto"
    with pytest.raises(ParamsError, match=r"run\.device: input should be 'auto', 'cpu' or 'cuda' \(found 'gpu'\)"):
        parse("run", RunParams, {"seed": 7, "threads": 2, "device": "gpu"})


def test_whether_there_is_a_gpu_needs_no_torch_where_there_can_be_none() -> None:
    if any(Path("/dev").glob("nvidia*")):
        pytest.skip("this machine may have a GPU")
    code = "import sys; import pipeline.runtime.reproducibility as r; r.fingerprint(2); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_bf16_is_the_gpus_alone() -> None:
    assert isinstance(device.bf16_on_gpu(torch.device("cpu")), nullcontext)
    assert isinstance(device.bf16_on_gpu(torch.device("cuda"), False), nullcontext)
    with warnings.catch_warnings(action="ignore"):  # torch says that there is no GPU
        found = device.bf16_on_gpu(torch.device("cuda"))
    assert isinstance(found, torch.autocast)
    assert (found.device, found.fast_dtype) == ("cuda", torch.bfloat16)


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "deberta-v3"])
def test_an_encoder_and_its_head_are_trained_where_they_are_put(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "device", lambda: "meta")
    # It looks at the mask's numbers, of which `meta` has none.
    monkeypatch.setattr("transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *_: False)
    params = FinetuningParams(encoder=str(save_tiny(name, tmp_path / name)), max_tokens=24)
    made = new_network(params, outputs=2)
    assert {part.device for part in made.parameters()} == {META}
    optimizer, _ = _optimizer(made, params, 3)
    logits = made(made.encoder.tokenize(["mend the loop", "a ferry"]))
    assert (logits.device, logits.shape, logits.dtype) == (META, (2, 2), torch.float32)
    logits.sum().backward()
    assert {part.grad.device for group in optimizer.param_groups for part in group["params"]} == {META}


def test_a_language_model_reads_a_capability_where_it_is_put(
    tiny_causal: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = AptitudeParams(variant="full", language_model=str(tiny_causal), capability_encoder=str(tiny_encoder))
    reading = network.ReaderNetwork(params).to(META)
    reading.model.set_attn_implementation("eager")
    given: set[torch.device] = set()
    for module in (reading.model, reading.embeddings):
        module.register_forward_pre_hook(
            lambda _, told, named: given.update(
                part.device for part in (*told, *named.values()) if isinstance(part, torch.Tensor)
            ),
            with_kwargs=True,
        )
    # Numbers cannot come back from `meta`, so that the lines' vectors are made here.
    monkeypatch.setattr(SentenceEncoder, "embed", lambda self, lines: np.zeros((len(lines), self.width), np.float32))
    scores = reading(reading.prefix(["a line", "another"]), reading.tokenize(["mend the loop", "a"]))
    assert (scores.device, scores.shape) == (META, (2,))
    assert given == {META}
    for kind in ("pointwise", "group"):
        assert loss_of(scores, torch.zeros(2, device=META), kind).device == META


def test_tags_are_written_where_the_model_is(tiny_causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = TagGenerator(str(tiny_causal))
    _, model = generator.writer.loaded()
    model.to("meta")
    seen = []

    def generate(input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: object) -> torch.Tensor:
        """Stands in for the model, whose choices cannot be had without numbers."""
        seen.extend([input_ids.device, attention_mask.device])
        return torch.zeros(input_ids.shape, dtype=torch.int64)

    monkeypatch.setattr(model, "generate", generate)
    generator.tags(["mend the loop"])
    assert seen == [META, META]
