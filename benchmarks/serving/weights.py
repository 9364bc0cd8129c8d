"""The weights that all contenders share: those of one version's model folder."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.contender import ENGINE_FP32, Setup
from benchmarks.serving.prompts import Row
from flows.promotion.in_service import version_named
from flows.registry.versions import CHAMPION, opened, versions_of
from flows.workspace.project import find_project
from pipeline.encoders.engine_files import DESCRIPTION, ENGINE, TOKENIZER
from pipeline.encoders.onnx_encoder import FP32, INT8
from pipeline.routers.classifier import ENCODER, HEAD, SETTINGS
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import read_json


@dataclass(frozen=True)
class Weights:
    """Model folders in both precisions, and what else contenders read. `served` is the precision of the version."""

    folders: dict[str, Path]
    served: str
    head: Path
    rows: Path
    max_tokens: int

    @property
    def tokenizer(self) -> Path:
        return self.folders[self.served] / ENGINE / TOKENIZER

    def setup(self, contender: str, threads: int) -> Setup:
        """For one contender."""
        folder = self.folders[FP32 if contender == ENGINE_FP32 else INT8]
        encoder = str(folder / ENCODER)
        return Setup(contender, threads, str(folder), encoder, str(self.head), str(self.rows), self.max_tokens)


def model_in_service(stack: ExitStack) -> Path:
    """The model folder of the version in service, for as long as the stack is open.

    Raises:
        InputError: no version is in service.
    """
    project = find_project()
    version = version_named(project, versions_of(project), CHAMPION)
    return stack.enter_context(opened(version)).model


def share(model: Path, rows: list[Row], place: Path) -> Weights:
    """Write what the contenders need into `place`; the precision that the version has not is exported.

    Raises:
        InputError: the folder holds no classifier with an engine, which is what is compared here.
    """
    if not (model / ENGINE / DESCRIPTION).is_file() or not (model / SETTINGS).is_file():
        raise InputError(f"{model} holds no classifier with an engine; name another folder with --model")
    facts = read_json(model / ENGINE / DESCRIPTION)
    served, max_tokens = str(facts["precision"]), int(facts["max_tokens"])
    other = INT8 if served == FP32 else FP32
    (place / "rows.json").write_text(json.dumps({row.prompt: row.agents for row in rows}), encoding="utf-8")
    _write_head(model, place / "head.safetensors")
    folders = {served: model, other: _exported(model, place / other, other, max_tokens)}
    return Weights(folders, served, place / "head.safetensors", place / "rows.json", max_tokens)


def _write_head(model: Path, path: Path) -> None:
    """The router's linear layer with the vectors' length in it, as the router itself applies it."""
    from safetensors.numpy import load_file, save_file

    scale = float(read_json(model / SETTINGS)["params"]["scale"])
    head = load_file(model / HEAD)
    save_file({"weight": head["weight"] * scale, "bias": head["bias"]}, path)


def _exported(model: Path, folder: Path, precision: str, max_tokens: int) -> Path:
    from pipeline.encoders.onnx_export import export
    from pipeline.encoders.sentence_encoder import SentenceEncoder

    shutil.copytree(model, folder)
    export(SentenceEncoder.load(str(folder / ENCODER), max_tokens), folder / ENGINE, precision)
    return folder
