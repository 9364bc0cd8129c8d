"""What versions recorded of themselves, kept in memory: a version never changes, so that each is read once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flows.registry.relocation import local
from flows.registry.verification import proved
from flows.registry.versions import PROVENANCE_TAG, Version, opened
from flows.workspace.project import Project
from pipeline.data.agents import Agent, read_agents
from pipeline.data.holdout import candidates_in, truth_in
from pipeline.data.outcomes import label_matrix, split_agents
from pipeline.gating.results import GateResult
from pipeline.runtime.byte_cache import ByteCache
from pipeline.runtime.errors import InputError, VerificationFailed, one_line
from pipeline.runtime.track import AGENTS, Track, track_of
from pipeline.serving.page.actions import HoldoutAnswers
from pipeline.versions.folder import EVIDENCE, LINEAGE, PREDICTIONS, VersionFolder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VersionSummary:
    """What a list of versions shows of one: the 95 % interval of its headline figure, and the gates of its night."""

    interval: tuple[float, float] | None
    gates: tuple[GateResult, ...]


@dataclass(frozen=True)
class VersionEvidence:
    """One version: the digests of each row's texts by id, and its answers on the holdout."""

    texts_sha256: dict[str, frozenset[str]]
    holdout: HoldoutAnswers


class VersionCache:
    """Of every version a summary, of those asked for lately the evidence. Safe to use from several threads.

    Evidence takes at most `cache_bytes`; that of one version is kept however large its table.
    """

    def __init__(self, project: Project, cache_bytes: int) -> None:
        self.project = project
        self._summaries: dict[tuple[str, str], VersionSummary] = {}
        self._known: ByteCache[tuple[str, str], VersionEvidence] = ByteCache(cache_bytes, keeps_newest=True)
        self._lock = threading.Lock()

    def summary(self, version: Version) -> VersionSummary:
        """A version's summary as recorded: its bytes are not proved, and what lies elsewhere is not fetched.

        Raises:
            VerificationFailed: its files are missing, or not what a night writes.
        """
        if local(version.source) is None:
            return VersionSummary(None, ())
        key = _key(version)
        if key not in self._summaries:
            with opened(version) as folder:
                self._summaries[key] = _summary_of(folder, track_of(version.run_key))
        return self._summaries[key]

    def evidence(self, version: Version) -> VersionEvidence:
        """A version's evidence, from files that were proved.

        Raises:
            VerificationFailed: they are not what was signed, or not what a night writes.
        """
        key = _key(version)
        # Held while loading: of two people who open a version, the second waits and does not verify it again.
        with self._lock:
            if (known := self._known.get(key)) is None:
                with proved(self.project, version) as folder:
                    known = _evidence(folder, track_of(version.run_key))
                self._known.put(key, known)
            return known


def _key(version: Version) -> tuple[str, str]:
    """Number and provenance: a number alone would name another version after a store was made anew."""
    return version.version, version.tags.get(PROVENANCE_TAG, "")


def _summary_of(folder: VersionFolder, track: Track) -> VersionSummary:
    try:
        figure = folder.figures().router[track.headline]
        return VersionSummary((figure.low, figure.high), folder.gates())
    except KeyError as error:
        raise _unexpected(folder, error) from error


def _evidence(folder: VersionFolder, track: Track) -> VersionEvidence:
    try:
        agents = read_agents(folder.root / EVIDENCE / "agents.yaml") if track is AGENTS else ()
        graded = None if track is AGENTS else folder.graded()
        return VersionEvidence(_digests(folder.table(LINEAGE)), _holdout(folder.table(PREDICTIONS), graded, agents))
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise _unexpected(folder, error) from error


def _holdout(predictions: pd.DataFrame, graded: pd.DataFrame | None, agents: tuple[Agent, ...]) -> HoldoutAnswers:
    """What was expected of each holdout prompt, what was true, and what it cost; models have no `agents`."""
    names = candidates_in(predictions)
    costs = {agent.name: agent.usd_per_call for agent in agents}
    truth = truth_in(predictions, names, graded, costs)
    chosen = label_matrix([split_agents(str(cell)) for cell in predictions["chosen"]], names)
    expected = predictions[list(names)].to_numpy(dtype=np.float32)
    return HoldoutAnswers(names, expected, np.nan_to_num(truth.quality), truth.cost, chosen)


def _unexpected(folder: VersionFolder, error: Exception) -> VerificationFailed:
    return VerificationFailed(
        f"{folder.root / EVIDENCE} is not what a night writes ({one_line(error, 120)}); see 'switchtender verify'"
    )


def _digests(lineage: pd.DataFrame) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for prompt_id, digest in zip(lineage["prompt_id"], lineage["text_sha256"], strict=True):
        found.setdefault(str(prompt_id), set()).add(str(digest))
    return {prompt_id: frozenset(digests) for prompt_id, digests in found.items()}
