"""What every track's metrics.json says of its holdout."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.multilabel import CandidateScores
from pipeline.runtime.plain import parsed
from pipeline.runtime.track import TRACKS

ROUTER = "router"


@dataclass(frozen=True)
class HoldoutFigures:
    """Each system's figures by name, and the router's gains over the others in the track's headline figure.

    `prompts` counts those of the holdout; `best_single` is the candidate that is best in train, empty for agents, and
    `per_agent` how well each agent is chosen, empty for models.
    """

    systems: dict[str, dict[str, Estimate]]
    gains: dict[str, Estimate]
    prompts: int
    best_single: str = ""
    per_agent: tuple[CandidateScores, ...] = ()

    @property
    def router(self) -> dict[str, Estimate]:
        return self.systems[ROUTER]


def read_figures(report: object) -> HoldoutFigures:
    """From the content of metrics.json of either track.

    Raises:
        ValueError: it is not what a night writes.
    """
    gains = [f"{track.headline}_over" for track in TRACKS.values()]
    found = next((report[name] for name in gains if name in report), None) if isinstance(report, dict) else None
    if not isinstance(report, dict) or found is None:
        raise ValueError(f"it has none of {', '.join(gains)}")
    figures = parsed(HoldoutFigures, {**report, "gains": found})
    if ROUTER not in figures.systems:
        raise ValueError("it has no figures of the router")
    return figures
