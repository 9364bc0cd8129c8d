"""The published models that params.yaml names for a track, and what they are made of.

Encoders of every section, the generator of tags with its prompt template, the language model that describes tasks, and
that of the full variant of `aptitude` with its capability encoder: whatever has a part in the track's router is part of
a night's identity and of its version's provenance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.encoders.causal_lm import causal_identity, causal_patterns, locate_causal
from pipeline.encoders.encoder_files import REVISION_MARK, Place, encoder_identity, is_fixed, locate
from pipeline.routers.base.settings import OWN_PROMPT, AptitudeParams, FinetuningParams, TagsParams, TasksParams
from pipeline.routers.tags.generator_prompt import read_template
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import parse, read_file
from pipeline.runtime.tables import sha256_file
from pipeline.runtime.track import MODELS, Track
from pipeline.versions.provenance import (
    CAPABILITY_ENCODER,
    ENCODER,
    LANGUAGE_MODEL,
    PROMPT_TEMPLATE,
    TAG_GENERATOR,
    Material,
)

_CAUSAL = (TAG_GENERATOR, LANGUAGE_MODEL)
_ALL = ("**/*",)


@dataclass(frozen=True)
class NamedModel:
    """One of them: what it does, its name, and the setting that names it. A prompt template's name is its file's, which
    lies in the project at `root`.
    """

    role: str
    name: str
    setting: str
    root: Path

    @property
    def place(self) -> Place:
        """Where its files are.

        Raises:
            InputError: it is not there.
        """
        if self.role == PROMPT_TEMPLATE:
            read_template(self.root / self.name)
            return str(self.root / self.name), None
        return locate_causal(self.name, self.setting) if self.role in _CAUSAL else locate(self.name, self.setting)

    def identity(self) -> str:
        """`sha256:...` of one in files, `hub:name@commit` of one on a hub.

        Raises:
            InputError: it is not there, or is not pinned to a commit of its hub.
        """
        place = self.place[0]
        if self.role == PROMPT_TEMPLATE:
            return f"sha256:{sha256_file(Path(place))}"
        identity = (causal_identity if self.role in _CAUSAL else encoder_identity)(self.name, self.setting)
        if not is_fixed(identity):
            raise InputError(
                f"the {self.role} '{self.name}' is not pinned, and what its name stands for may change between nights; "
                f"write {place}{REVISION_MARK}<commit> in {self.setting}"
            )
        return identity

    def materials(self) -> list[Material]:
        """Its files with their sha256, or the revision of one on a hub.

        Raises:
            InputError: it is not there.
        """
        place, revision = self.place
        path = Path(place)
        if path.is_file():
            return [Material(self.name, {"sha256": sha256_file(path)}, self.role)]
        if not path.is_dir():
            return [Material(place, {"gitCommit": revision} if revision else {}, self.role)]
        patterns = causal_patterns(self.name) if self.role in _CAUSAL else _ALL
        files = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
        return [
            Material(f"{self.name}/{file.relative_to(path).as_posix()}", {"sha256": sha256_file(file)}, self.role)
            for file in files
        ]


def base_models(params: Path, track: Track) -> list[NamedModel]:
    """Those that the sections of a params.yaml name for a track, each once for what it does.

    Raises:
        ParamsError: the file or a section cannot be read.
    """
    content = read_file(params)
    chosen = (content.get("models") or {}) if track is MODELS else {k: v for k, v in content.items() if k != "models"}
    sections = {name: values for name, values in chosen.items() if isinstance(values, dict)}
    if "train" in sections:
        sections["train"] = {"encoder": FinetuningParams().encoder, **sections["train"]}
    found = [
        NamedModel(ENCODER, str(values["encoder"]), f"{track.section}{name}.encoder", params.parent)
        for name, values in sections.items()
        if "encoder" in values
    ]
    found += _of_router(sections.get("train", {}), f"{track.section}train", params)
    once = {(one.role, one.name): one for one in reversed(found)}
    return sorted(once.values(), key=lambda one: (one.role, one.name))


def _of_router(train: dict[str, Any], section: str, params: Path) -> Iterator[NamedModel]:
    """Those beside the encoder that the router reads prompts by."""
    root = params.parent
    if train.get("router") == "tags":
        tags = parse(f"{section}.tags", TagsParams, train.get("tags") or {}, params)
        if tags.generator:
            yield NamedModel(TAG_GENERATOR, tags.generator, f"{section}.tags.generator", root)
        if tags.prompt != OWN_PROMPT:
            yield NamedModel(PROMPT_TEMPLATE, tags.prompt, f"{section}.tags.prompt", root)
    elif train.get("router") == "tasks":
        tasks = parse(f"{section}.tasks", TasksParams, train.get("tasks") or {}, params)
        if tasks.descriptions:
            yield NamedModel(LANGUAGE_MODEL, tasks.descriptions, f"{section}.tasks.descriptions", root)
    elif train.get("router") == "aptitude":
        aptitude = parse(f"{section}.aptitude", AptitudeParams, train.get("aptitude") or {}, params)
        if aptitude.variant == "full":
            section += ".aptitude"
            yield NamedModel(LANGUAGE_MODEL, aptitude.language_model, f"{section}.language_model", root)
            yield NamedModel(CAPABILITY_ENCODER, aptitude.capability_encoder, f"{section}.capability_encoder", root)


def identities(params: Path, track: Track) -> str:
    """Which models they are, a line each: `sha256:...  encoder  minilm`.

    Raises:
        InputError: one is not there, or is not pinned to a commit of its hub.
        ParamsError: as `base_models`.
    """
    return "".join(f"{one.identity()}  {one.role}  {one.name}\n" for one in base_models(params, track))
