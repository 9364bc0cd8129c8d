"""Fine-tuning: the same bytes twice, several architectures, and the trial of augmentation."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planted_subjects import subject, subject_table, two_agents
from sandbox import ROOT
from tiny_encoders import ARCHITECTURES, save_tiny

from pipeline.data.folds import make_folds, parts
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.layers import layer_groups
from pipeline.encoders.onnx_encoder import FP32, INT8, OnnxEncoder
from pipeline.encoders.onnx_export import export, require_parity
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.learning.augmentation import AugmentationTrial
from pipeline.routers import finetuning, parallel_fits
from pipeline.routers.base.settings import FinetuningParams, planned_epochs
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.classifier import ClassifierScorer
from pipeline.routers.finetuning import TrainingRows, finetune, infer, new_network
from pipeline.routers.fitting import TrainParams
from pipeline.routers.systems import open_router
from pipeline.runtime.checksums import sha256_folder
from pipeline.runtime.params import read

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


def test_graded_outcomes_tell_candidates_apart_by_what_was_tried(tiny_encoder: Path, tmp_path: Path) -> None:
    outcomes = subject_table(80, candidates=4, is_labels=False)
    own = np.eye(4, dtype=np.float32)[subject(80)]
    tried = np.random.default_rng(1).random(own.shape) < 0.5
    outcomes = replace(outcomes, quality=np.where(tried, 0.8 + 0.15 * own, np.nan).astype(np.float32))
    never = np.full((80, 1), np.nan, dtype=np.float32)
    outcomes = replace(
        outcomes,
        candidates=(*outcomes.candidates, "never"),
        quality=np.hstack([outcomes.quality, never]),
        cost=np.hstack([outcomes.cost, never]),
    )
    router = CalibratedRouter(ClassifierScorer(_params(tiny_encoder, epochs=8, pos_weight_power=1.0), seed=7))
    router.fit(outcomes, make_folds(outcomes, 2, seed=7))
    found = router.predict(outcomes.prompts).quality
    assert found[:, :4].mean() == pytest.approx(0.84, abs=0.05)
    assert found[:, 4] == pytest.approx(0.5, abs=1e-6)
    assert (found.argmax(axis=1) == subject(80)).mean() > 0.9
    router.save(tmp_path / "router")
    assert open_router(tmp_path / "router").predict(outcomes.prompts).quality.tobytes() == found.tobytes()


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


def test_every_fold_and_every_network_takes_its_steps_and_says_so(tiny_encoder: Path) -> None:
    outcomes, seen = two_agents(24), []
    folds = make_folds(outcomes, 2, seed=7)
    scorer = ClassifierScorer(_params(tiny_encoder, epochs=2), seed=7, progress=seen.append)
    CalibratedRouter(scorer).fit(outcomes, folds)
    assert len(seen) == scorer.steps(outcomes, folds)
    told = [text.partition(",")[0] for text in seen]
    assert list(dict.fromkeys(told)) == ["fold 1/2", "fold 2/2", "fold 1 without augmentation", "all rows"]
    assert seen[-1] == "all rows, network 2/2, epoch 2/2"


def test_an_ablation_tries_each_way_alone_and_changes_no_router(tiny_encoder: Path, tmp_path: Path) -> None:
    outcomes, seen = two_agents(24), []
    folds, params = make_folds(outcomes, 2, seed=7), _params(tiny_encoder, epochs=2, refuse=0.0, ablation=True)
    scorer = ClassifierScorer(params, seed=7, progress=seen.append)
    CalibratedRouter(scorer).fit(outcomes, folds)
    assert scorer.augmentation is not None
    assert list(scorer.augmentation.alone) == ["compose", "retype"]
    assert len({scorer.augmentation.loss_without, *(loss for loss, _ in scorer.augmentation.alone.values())}) == 3
    assert len(seen) == scorer.steps(outcomes, folds)
    assert "fold 1, compose alone" in {text.partition(", epoch")[0] for text in seen}
    plain = ClassifierScorer(params.model_copy(update={"ablation": False}), seed=7)
    CalibratedRouter(plain).fit(outcomes, folds)
    assert plain.augmentation == replace(scorer.augmentation, alone={})
    for made, folder in ((scorer, tmp_path / "with"), (plain, tmp_path / "without")):
        made.save(folder)
    assert sha256_folder(tmp_path / "with" / "encoder") == sha256_folder(tmp_path / "without" / "encoder")
    loaded = ClassifierScorer(params, seed=7)
    loaded.load(tmp_path / "with")
    assert loaded.augmentation is not None
    assert list(loaded.augmentation.alone) == ["compose", "retype"]


def test_fits_side_by_side_give_the_bytes_of_fits_one_after_another(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_tiny(str(tiny_encoder)).save(tmp_path / "alone")
    monkeypatch.setattr(parallel_fits, "_WORTH_IT_STEPS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    seen: list[str] = []
    outcomes = two_agents()
    scorer = ClassifierScorer(_params(tiny_encoder), seed=7, progress=seen.append)
    router = CalibratedRouter(scorer)
    router.fit(outcomes, make_folds(outcomes, 2, seed=7))
    router.save(tmp_path / "beside")
    assert sha256_folder(tmp_path / "beside") == sha256_folder(tmp_path / "alone")
    assert len(seen) == scorer.steps(outcomes, make_folds(outcomes, 2, seed=7))


def test_a_head_that_starts_at_the_names_knows_something_before_it_learns(minilm: FrozenEmbedding) -> None:
    names = ("travel_booking", "cooking")
    prompts = ["a train to Lyon and a hotel room there", "how long does rice have to boil"] * 4
    labels = np.tile(np.eye(2, dtype=np.float32), (4, 1))
    found = {}
    for strength in (0.0, 1.0):
        params = FinetuningParams(encoder=minilm.encoder, max_tokens=24, epochs=1, learning_rate=1e-12, names=strength,
                                  head_learning_rate=1e-12, compose=0, refuse=0, retype=0)  # fmt: skip
        network = finetune(TrainingRows(prompts, labels, names), params, 7)
        logits = infer(network, network.encoder.tokenize(prompts[:2]))
        found[strength] = float(np.diag(logits).sum() - np.diag(logits[:, ::-1]).sum())
    assert found[1.0] > abs(found[0.0]) + 1


def _trial_on(encoder: Path, monkeypatch: pytest.MonkeyPatch, spoils: bool) -> tuple[ClassifierScorer, list[int]]:
    """A fit whose augmented rows carry the opposite labels, or the right ones; and how many rows each fit had."""
    outcomes = two_agents(32)
    wrong = 1 - outcomes.quality if spoils else outcomes.quality
    every = replace(outcomes, prompts=outcomes.prompts * 2, prompt_ids=outcomes.prompt_ids * 2,
                    quality=np.vstack([outcomes.quality, wrong]), cost=np.vstack([outcomes.cost] * 2),
                    augmented=np.repeat([False, True], len(outcomes)))  # fmt: skip
    sizes: list[int] = []
    real = finetuning.finetune
    monkeypatch.setattr(
        finetuning,
        "finetune",
        lambda rows, *rest, **named: (sizes.append(len(rows.prompts)), real(rows, *rest, **named))[1],
    )
    scorer = ClassifierScorer(_params(encoder, epochs=8, compose=0, refuse=0, retype=0), seed=7)
    folds = np.tile(make_folds(outcomes, 2, seed=7), 2)
    scorer.cross_fit(every, folds)
    scorer.fit(every)
    return scorer, sizes


def test_augmentation_that_harms_is_switched_off(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, sizes = _trial_on(tiny_encoder, monkeypatch, spoils=True)
    assert scorer.augmentation is not None
    assert not scorer.augmentation.used
    assert scorer.augmentation.loss_with > scorer.augmentation.loss_without
    assert sizes == [32, 32, 16, 16, 32, 32], "both folds without it, then two networks on all rows"


def test_augmentation_that_does_no_harm_stays(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, sizes = _trial_on(tiny_encoder, monkeypatch, spoils=False)
    assert scorer.augmentation is not None
    assert scorer.augmentation.used
    assert sizes == [32, 32, 16, 64, 64]


def test_exclusive_labels_are_learnt_by_cross_entropy_and_never_joined(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = two_agents(24)
    single = replace(outcomes, quality=np.eye(2, dtype=np.float32)[np.arange(24) % 2])
    scorer, every = ClassifierScorer(_params(tiny_encoder), seed=7), np.arange(24)
    assert single.is_exclusive
    assert (scorer._job(single, every, every).rows.exclusive, scorer._job(single, every, every).params.compose) == (
        True, 0.0,
    )  # fmt: skip
    assert scorer._job(single, every, every).params.retype > 0
    several = replace(outcomes, quality=np.ones_like(outcomes.quality))
    assert not scorer._job(several, every, every).rows.exclusive
    tried: list[bool] = []
    real = AugmentationTrial.of
    monkeypatch.setattr(AugmentationTrial, "of", lambda *rest: (tried.append(rest[-1]), real(*rest))[1])
    for table in (single, several):
        ClassifierScorer(_params(tiny_encoder, epochs=1), seed=7).cross_fit(table, every % 2)
    assert tried == [True, False]
    by_chance = replace(outcomes, quality=np.vstack([single.quality[:12], several.quality[:12]]))
    assert not scorer._job(by_chance, np.arange(12), every).rows.exclusive


def test_graded_outcomes_are_learnt_without_names_and_wordings(tiny_encoder: Path) -> None:
    outcomes = two_agents()
    graded = replace(outcomes, quality=outcomes.quality * np.float32(0.5) + np.float32(0.2), is_labels=False)
    scorer = ClassifierScorer(_params(tiny_encoder, epochs=1), seed=7)
    scorer.cross_fit(graded, make_folds(outcomes, 2, seed=7))
    assert scorer.augmentation is None
    assert scorer._job(graded, *parts(graded, make_folds(outcomes, 2, seed=7))[0]).rows.names == ()


@pytest.mark.parametrize(
    ("rows", "max_steps", "expected"), [(24, 1000, 5), (24, 9, 3), (24, 8, 2), (24, 1, 1), (25, 8, 2), (10_000, 100, 1)]
)
def test_the_step_budget_bounds_the_epochs(rows: int, max_steps: int, expected: int) -> None:
    assert planned_epochs(rows, _params("minilm", epochs=5, max_steps=max_steps)) == expected


def test_a_fit_of_ones_own_table_trains_as_the_night_does() -> None:
    assert read("train", TrainParams, ROOT / "params.yaml").finetuning() == FinetuningParams()


def test_rare_positives_weigh_more_and_common_ones_never_less_than_one() -> None:
    labels = np.zeros((100, 3), dtype=np.float32)
    labels[:4, 0], labels[:50, 1], labels[:90, 2] = 1, 1, 1
    params = _params("minilm", pos_weight_power=0.5)
    assert finetuning._pos_weight(labels, params).tolist() == pytest.approx([24**0.5, 1.0, 1.0])
    assert finetuning._pos_weight(labels, _params("minilm", pos_weight_power=0.0)).tolist() == [1.0, 1.0, 1.0]
