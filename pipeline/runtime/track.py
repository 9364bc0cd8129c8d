"""The two tracks of a night: routing to a subset of agents, and routing to one language model of a pool.

Both pass the same stages, gates, registry and audit. What differs stands here: where stages write, which section of
params.yaml speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import InputError
from pipeline.runtime.params import PARAMS_FILE, S, read


@dataclass(frozen=True)
class Track:
    """One of the two. Paths are relative to a project's folder, or to a run's clone.

    `flow` begins its run keys, `prefix` its stages' names in dvc.yaml, `section` its sections' names in params.yaml.
    Under `stages` lie `valid`, the rows that passed validation; `learnt` and `held_out`, what a router learns from and
    is judged on; and `router`, the one that goes on to serve. `headline` is the figure that it is first judged by;
    `data_docs` is the first page of Great Expectations on its table; `journal` is the folder of the service's journal.
    """

    name: str
    flow: str
    stages: Path
    champion: Path
    prefix: str
    section: str
    valid: str
    learnt: str
    held_out: str
    router: str
    headline: str
    data_docs: Path
    journal: Path

    @property
    def base_models(self) -> Path:
        """Where a night writes down which published models its params name, so that DVC sees another as another."""
        return Path("base-models") / f"{self.name}.txt"

    def read(self, section: str, model: type[S], path: Path = PARAMS_FILE) -> S:
        """A section of params.yaml as this track has it.

        Raises:
            ParamsError: see `pipeline.runtime.params.read`.
        """
        return read(f"{self.section}{section}", model, path)


AGENTS = Track(
    name="agents",
    flow="nightly",
    stages=Path("var/stages"),
    champion=Path("champion"),
    prefix="",
    section="",
    valid="validate/prompts.parquet",
    learnt="augment/train.parquet",
    held_out="label_noise/holdout.parquet",
    router="train/router",
    headline="micro_f1",
    data_docs=Path("var/reports/data_docs/index.html"),
    journal=Path("var/serving"),
)
MODELS = Track(
    name="models",
    flow="models",
    stages=Path("var/models"),
    champion=Path("champion-models"),
    prefix="models_",
    section="models.",
    valid="validate/rows.parquet",
    learnt="split/train.parquet",
    held_out="split/holdout.parquet",
    router="join/router",
    headline="quality",
    data_docs=Path("var/reports/outcome_docs/index.html"),
    journal=Path("var/serving/models"),
)
TRACKS = {track.name: track for track in (AGENTS, MODELS)}


def track_named(name: str) -> Track:
    """A track by name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in TRACKS:
        raise InputError(f"unknown track '{name}'; known are {', '.join(TRACKS)}")
    return TRACKS[name]


def track_of(run_key: str) -> Track:
    """The track that a run key is of.

    Raises:
        InputError: no track's keys begin so.
    """
    for track in TRACKS.values():
        if run_key.startswith(f"{track.flow}-"):
            return track
    begins = " or ".join(f"{track.flow}-" for track in TRACKS.values())
    raise InputError(f"run key '{run_key}' is of no known track; keys begin with {begins}")
