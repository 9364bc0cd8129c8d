"""Fine-tuning: the same bytes twice, several architectures, and the epoch that held-out folds choose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planted_subjects import two_agents
from sandbox import ROOT
from tiny_encoders import ARCHITECTURES, save_tiny

from pipeline.data.folds import make_folds
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.layers import layer_groups
from pipeline.encoders.onnx_encoder import FP32, INT8, OnnxEncoder
from pipeline.encoders.onnx_export import export, require_parity
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.routers import finetuning
from pipeline.routers.base.settings import FinetuningParams, planned_epochs
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.classifier import ClassifierScorer
from pipeline.routers.finetuning import HeldOutTokens, finetune, new_network
from pipeline.routers.systems import open_router
from pipeline.runtime.tables import sha256_folder

pytestmark = pytest.mark.usefixtures("one_thread")
FIT = """
import sys
from pathlib import Path
from pipeline.runtime.reproducibility import pin
from test_classifier import fit_tiny
pin(7, 2)
fit_tiny(sys.argv[1]).save(Path(sys.argv[2]))
"""


def _params(encoder: str | Path, **changes: Any) -> FinetuningParams:
    settings: dict[str, Any] = {"max_tokens": 24, "epochs": 3, "batch_size": 8, "folds": 2}
    return FinetuningParams(encoder=str(encoder), **settings | changes)


def fit_tiny(encoder: str, **changes: Any) -> CalibratedRouter:
    """A classifier fitted on the small table."""
    outcomes = two_agents()
    router = CalibratedRouter(ClassifierScorer(_params(encoder, **changes), seed=7))
    router.fit(outcomes, make_folds(outcomes, 2, seed=7))
    return router


def test_two_processes_give_byte_identical_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    path = [str(Path(__file__).parent), str(ROOT), str(ROOT / "tests")]
    code = f"import sys; sys.path[:0] = {path!r}\n{FIT}"
    passive = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as in a night: threads that spin starve the other process
    commands = [[sys.executable, "-c", code, str(tiny_encoder), str(folder)] for folder in folders]
    running = [subprocess.Popen(command, env=passive) for command in commands]
    assert [process.wait() for process in running] == [0, 0]
    assert sha256_folder(folders[0]) == sha256_folder(folders[1])
    other = fit_tiny(str(tiny_encoder), learning_rate=5e-4)
    other.save(tmp_path / "other")
    assert sha256_folder(tmp_path / "other") != sha256_folder(folders[0])


def test_what_ran_before_in_the_process_does_not_matter(tiny_encoder: Path) -> None:
    torch.manual_seed(1)
    first = fit_tiny(str(tiny_encoder), epochs=1).predict(two_agents().prompts)
    torch.manual_seed(2)
    torch.rand(5)
    second = fit_tiny(str(tiny_encoder), epochs=1).predict(two_agents().prompts)
    assert first.quality.tobytes() == second.quality.tobytes()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_fine_tuned_saved_loaded_exported_and_classifies(name: str, tmp_path: Path) -> None:
    start = SentenceEncoder.load(str(save_tiny(name, tmp_path / name)), 24).model.state_dict()
    router = fit_tiny(str(tmp_path / name))
    router.save(tmp_path / "router")
    again = open_router(tmp_path / "router")
    prompts = [*two_agents().prompts, "a ferry at nine and an invoice " * 9, "naïve façade 東京 😀", ""]
    assert again.predict(prompts).quality.tobytes() == router.predict(prompts).quality.tobytes()
    assert isinstance(again.scorer, ClassifierScorer)
    assert isinstance(again.scorer.embedding, FrozenEmbedding)
    trained = again.scorer.embedding.loaded()
    changed = {key for key, part in trained.model.state_dict().items() if not torch.equal(start[key], part)}
    names = {id(part): key for key, part in trained.model.named_parameters()}
    assert changed <= {names[id(part)] for group in layer_groups(trained.model) for part in group}
    assert all({names[id(part)] for part in group} & changed for group in layer_groups(trained.model))
    for precision in (FP32, INT8):
        export(trained, tmp_path / precision, precision)
        exported = OnnxEncoder.load(tmp_path / precision)
        assert exported.tokenize(prompts) == trained.tokenize(prompts)
        if precision == FP32:
            assert require_parity(trained, exported, prompts) < 1e-5
        else:
            assert np.abs(exported.embed(prompts) - trained.embed(prompts)).max() < 0.05
        served = open_router(tmp_path / "router", engine=tmp_path / precision).predict(prompts)
        assert served.quality == pytest.approx(again.predict(prompts).quality, abs=0.1 if precision == INT8 else 1e-3)


def test_dropout_settings_reach_every_architecture(tiny_encoder: Path) -> None:
    network = new_network(_params(tiny_encoder, encoder_dropout=0.0, dropout=0.3), outputs=2)
    rates = {module.p for module in network.body.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.0}
    assert network.dropout.p == 0.3
    assert network.body.config.attention_dropout == 0.0


def test_upper_layers_learn_faster_than_lower_ones(tiny_encoder: Path) -> None:
    network = new_network(_params(tiny_encoder), outputs=2)
    optimizer, _ = finetuning._optimizer(network, _params(tiny_encoder, layer_decay=0.5), steps=10)
    head, upper, lower = (group["initial_lr"] for group in optimizer.param_groups)
    assert (head, upper, lower) == (5e-3, 4e-4, 2e-4)


def _held_out(encoder: Path, labels: np.ndarray) -> HeldOutTokens:
    return HeldOutTokens(SentenceEncoder.load(str(encoder), 24).tokenize(two_agents().prompts), labels)


def test_training_stops_when_the_held_out_loss_no_longer_falls(tiny_encoder: Path) -> None:
    outcomes, params = two_agents(), _params(tiny_encoder, epochs=8, patience=2)
    opposite = _held_out(tiny_encoder, 1 - outcomes.quality)
    stopped = finetune(outcomes.prompts, outcomes.quality, params, 7, held_out=opposite)
    assert len(stopped.losses) == len(stopped.logits) < 8
    assert len(stopped.losses) - 1 - int(np.argmin(stopped.losses)) == 2
    helped = finetune(outcomes.prompts, outcomes.quality, params, 7, held_out=_held_out(tiny_encoder, outcomes.quality))
    assert len(helped.losses) > len(stopped.losses)


def test_the_epoch_of_least_pooled_held_out_loss_is_kept(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, folds = two_agents(25), np.array([0] * 10 + [1] * 15)
    curves = {15: [0.5, 0.1, 0.6, 0.9], 10: [0.5, 0.6, 0.2]}

    def planted(prompts: Any, labels: Any, *_: Any, held_out: HeldOutTokens | None = None, **__: Any) -> Any:
        """Stands in for the training, since a curve with two minima cannot be had on demand."""
        assert held_out is not None
        losses = curves[len(prompts)]
        logits = [np.full(held_out.labels.shape, e, dtype=np.float32) for e in range(len(losses))]
        return finetuning.FinetuningResult(None, losses, logits)  # type: ignore[arg-type]

    monkeypatch.setattr(finetuning, "finetune", planted)
    scorer = ClassifierScorer(_params(tiny_encoder), seed=7)
    scores = scorer.cross_fit(outcomes, folds).scores
    assert scorer.curve == pytest.approx([0.5, (10 * 0.1 + 15 * 0.6) / 25, (10 * 0.6 + 15 * 0.2) / 25])
    assert scorer.epochs == 3
    assert (scores == 2.0).all()


def test_the_final_fit_ends_with_the_epoch_that_was_chosen(tiny_encoder: Path) -> None:
    seen: list[str] = []
    scorer = ClassifierScorer(_params(tiny_encoder, epochs=4), seed=7, progress=seen.append)
    scorer.epochs = 2
    scorer.fit(two_agents(24))
    assert seen == ["all rows, epoch 1/4"] * 3 + ["all rows, epoch 2/4"] * 3


@pytest.mark.parametrize(
    ("rows", "max_steps", "expected"), [(24, 1000, 5), (24, 9, 3), (24, 8, 2), (24, 1, 1), (25, 8, 2), (10_000, 100, 1)]
)
def test_the_step_budget_bounds_the_epochs(rows: int, max_steps: int, expected: int) -> None:
    assert planned_epochs(rows, _params("minilm", epochs=5, max_steps=max_steps)) == expected


def test_the_progress_bar_is_told_of_no_more_steps_than_announced(tiny_encoder: Path) -> None:
    seen: list[str] = []
    outcomes = two_agents()
    folds = make_folds(outcomes, 2, seed=7)
    scorer = ClassifierScorer(_params(tiny_encoder), seed=7, progress=seen.append)
    scorer.cross_fit(outcomes, folds)
    scorer.fit(outcomes)
    assert len(seen) <= scorer.steps(outcomes, folds) == 2 * 2 * 3 + 3 * 3
    assert {line.split(",")[0] for line in seen} == {"fold 1/2", "fold 2/2", "all rows"}


def test_rare_positives_weigh_more_and_common_ones_never_less_than_one() -> None:
    labels = np.zeros((100, 3), dtype=np.float32)
    labels[:4, 0], labels[:50, 1], labels[:90, 2] = 1, 1, 1
    params = _params("minilm", pos_weight_power=0.5)
    assert finetuning._pos_weight(labels, params).tolist() == pytest.approx([24**0.5, 1.0, 1.0])
    assert finetuning._pos_weight(labels, _params("minilm", pos_weight_power=0.0)).tolist() == [1.0, 1.0, 1.0]
