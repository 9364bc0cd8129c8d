"""Loading a saved router, and refusing what is damaged, of another format, or tied to another encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pipeline.encoders.encoder_files import encoder_identity
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.onnx_encoder import OnnxEncoder
from pipeline.routers.base.protocol import Scorer
from pipeline.routers.calibrated import DESCRIPTION, FORMAT, CalibratedRouter
from pipeline.runtime.errors import InputError, VerificationFailed


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
        raise VerificationFailed(f"{folder} holds a damaged router ({reason}); restore it or make it again") from error
    if engine is not None and router.scorer.embedding is not None:
        router.scorer.embedding = OnnxEncoder.load(engine, threads)
    elif router.encoder and isinstance(router.scorer.embedding, FrozenEmbedding):
        _require_same(router.encoder, router.scorer.embedding.encoder, folder)
    return router


def _require_same(made_with: str, encoder: str, folder: Path) -> None:
    """Refuse another encoder: thresholds, lambda and theta were chosen on the scores of one."""
    if (found := encoder_identity(encoder)) != made_with:
        raise VerificationFailed(
            f"{folder}: the policy was chosen with the encoder {made_with[:23]}, and '{encoder}' is {found[:23]}; "
            "refit the router with this encoder, or restore the other one"
        )


def _description(folder: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no router ({DESCRIPTION} is missing or broken); make one with fit") from error
    return value
