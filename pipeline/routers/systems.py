"""The routing systems behind one protocol. To add one: a module with a scorer, and a line in SYSTEMS."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pipeline.data.prices import Priced
from pipeline.encoders.encoder_files import encoder_identity, is_encoder
from pipeline.encoders.engine_files import ENGINE
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.onnx_encoder import OnnxEncoder
from pipeline.policies.policy import AUTO, PolicyParams
from pipeline.routers.aptitude.router import AptitudeScorer
from pipeline.routers.base.protocol import TRAINING_INDEX, Scorer, TrainingMaterial
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.baselines.clusters import ClustersScorer
from pipeline.routers.baselines.knn import KnnScorer
from pipeline.routers.baselines.linear import LinearScorer
from pipeline.routers.baselines.tfidf import TfidfScorer
from pipeline.routers.calibrated import DESCRIPTION, FORMAT, CalibratedRouter
from pipeline.routers.tags.router import TagsScorer
from pipeline.routers.tasks.encoder_assignment import EncoderAssignment
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.arrays import Indices
from pipeline.runtime.checksums import require_checksums
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.progress import Progress

Maker = Callable[[FinetuningParams, int, Progress | None], Scorer]


def _tasks(params: FinetuningParams, seed: int, progress: Progress | None) -> Scorer:
    """The scorer of two stages, with what fine-tunes its assignment where that is asked for."""

    def finetune(texts: Sequence[str], task: Indices, count: int) -> EncoderAssignment:
        from pipeline.routers.finetuned_assignment import finetuned_assignment

        return finetuned_assignment(texts, task, count, params, seed)

    return TasksScorer(FrozenEmbedding(params.encoder, params.max_tokens), seed, params.tasks, progress, finetune)


def _classifier(params: FinetuningParams, seed: int, progress: Progress | None) -> Scorer:
    """The scorer of the fine-tuned classifier, imported when one is made."""
    from pipeline.routers.classifier import ClassifierScorer as Classifier

    return Classifier(params, seed, progress)


SYSTEMS: dict[str, Maker] = {
    "classifier": _classifier,
    "linear": lambda params, seed, progress: LinearScorer(FrozenEmbedding(params.encoder, params.max_tokens)),
    "knn": lambda params, seed, progress: KnnScorer(FrozenEmbedding(params.encoder, params.max_tokens)),
    "clusters": lambda params, seed, progress: ClustersScorer(FrozenEmbedding(params.encoder, params.max_tokens), seed),
    "tfidf": lambda params, seed, progress: TfidfScorer(),
    "tags": lambda params, seed, progress: TagsScorer(
        FrozenEmbedding(params.encoder, params.max_tokens), seed, params.tags, progress
    ),
    "tasks": _tasks,
    "aptitude": lambda params, seed, progress: AptitudeScorer(
        FrozenEmbedding(params.encoder, params.max_tokens), seed, params.aptitude, progress
    ),
}


def new_router(
    system: str,
    params: FinetuningParams,
    seed: int,
    progress: Progress | None = None,
    policy: PolicyParams = AUTO,
    prices: Sequence[Priced] = (),
) -> CalibratedRouter:
    """An unfitted router of one system; `prices` are those at which its outcomes were paid, where that is known.

    Raises:
        InputError: the system is unknown.
    """
    if system not in SYSTEMS:
        raise InputError(f"unknown router '{system}'; known are {', '.join(SYSTEMS)}")
    return CalibratedRouter(SYSTEMS[system](params, seed, progress), policy, prices)


def training_material(system: str) -> tuple[TrainingMaterial, ...]:
    """The files in which a router of one system keeps something of its training prompts."""
    return (*SYSTEMS[system](FinetuningParams(), 0, None).training_material, TRAINING_INDEX)


def all_training_material() -> tuple[TrainingMaterial, ...]:
    """The same of all systems, each file once."""
    return tuple({found.file: found for system in SYSTEMS for found in training_material(system)}.values())


def training_material_in(folder: Path) -> tuple[TrainingMaterial, ...]:
    """The files in a router's folder, or a part of it, that keep something of training prompts."""
    return tuple(found for found in all_training_material() if (folder / found.file).is_file())


def open_router(folder: Path, *, engine: Path | None = None, threads: int = 2) -> CalibratedRouter:
    """Load a saved router of any known system, with the encoder that answers in service where there is one.

    That is `engine`, or the folder's own `engine`; without one the encoder runs in torch.

    Raises:
        InputError: the folder holds no router of a known system.
        VerificationFailed: a file is not what `fit` wrote, or is of a format that this release does not read.
    """
    require_checksums(folder)
    blank = FinetuningParams()
    makers: dict[str, Callable[[], Scorer]] = {name: partial(make, blank, 0, None) for name, make in SYSTEMS.items()}
    own = folder / ENGINE
    return load_router(folder, makers, engine or (own if own.is_dir() else None), threads)


def load_router(
    folder: Path, scorers: dict[str, Callable[[], Scorer]], engine: Path | None = None, threads: int = 1
) -> CalibratedRouter:
    """Load a saved router; `scorers` makes an empty scorer for each system's name.

    Where `engine` is given, its encoder answers in place of the one in torch.

    Raises:
        InputError: the folder holds no router, or one of a system that this release does not know.
        VerificationFailed: it is damaged, was written in a format that this release does not read, or its encoder is
            not the one that its policy was chosen with.
    """
    description = _description(folder)
    if description.get("format") != FORMAT:
        found = description.get("format")
        raise VerificationFailed(
            f"{folder}: router format {found}, this release reads {FORMAT}; use a matching release"
        )
    system = str(description.get("system"))
    if system not in scorers:
        raise InputError(f"{folder} holds a '{system}' router; known are {', '.join(scorers)}")
    try:
        router = CalibratedRouter(scorers[system]())
        router.restore(description, folder)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise _damaged(folder, reason) from error
    if engine is not None and router.scorer.embedding is not None:
        router.scorer.embedding = OnnxEncoder.load(engine, threads)
    elif router.encoder and isinstance(router.scorer.embedding, FrozenEmbedding):
        _require_same(router.encoder, router.scorer.embedding.encoder, folder)
    return router


def _require_same(made_with: str, encoder: str, folder: Path) -> None:
    """Refuse another encoder: thresholds, lambda and theta were chosen on the scores of one."""
    if not is_encoder(encoder, made_with):
        raise VerificationFailed(
            f"{folder}: the policy was chosen with the encoder {made_with[:23]}, and '{encoder}' is "
            f"{encoder_identity(encoder)[:23]}; "
            "refit the router with this encoder, or restore the other one"
        )


def _description(folder: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{folder} holds no router (no {DESCRIPTION} can be read); make one with fit") from error
    except ValueError as error:
        raise _damaged(folder, f"{DESCRIPTION} is no JSON") from error
    if not isinstance(value, dict):
        raise _damaged(folder, f"{DESCRIPTION} is no description of one")
    return value


def _damaged(folder: Path, reason: str) -> VerificationFailed:
    return VerificationFailed(f"{folder} holds a damaged router ({reason}); restore it or make it again")
