"""The rows that stages hand to each other, as the outcomes that routers fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.data.agents import read_agents
from pipeline.data.outcome_encoding import outcomes_of_rows
from pipeline.data.outcomes import Outcomes, from_labels
from pipeline.runtime.track import AGENTS, Track

if TYPE_CHECKING:
    import pandas as pd


def outcomes_on(track: Track, rows: pd.DataFrame) -> Outcomes:
    """A stage's rows as outcomes; agents and what they cost come from data/agents.yaml.

    Raises:
        InputError: data/agents.yaml, or a label, is malformed.
    """
    if track is not AGENTS:
        return outcomes_of_rows(rows)
    agents = read_agents()
    return from_labels(rows, [agent.name for agent in agents], {a.name: a.usd_per_call for a in agents})
