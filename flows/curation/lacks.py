"""What a dataset lacks for a night that says something, told before the first one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from flows.curation.row_check import RowCheck, what_to_do
from pipeline.data.agents import Agent
from pipeline.data.dataset import DATASET
from pipeline.data.outcomes import split_agents
from pipeline.runtime.errors import listed
from pipeline.validation.expectations import CRITICAL
from pipeline.validation.quarantine import TableCheck, observed

FEWEST = 6
"""Prompts of an agent: as many as the shipped rule `enough_prompts_per_agent` wants."""
UNWRITTEN = "To be written: what this agent does, and what it does not do."
"""The description of an agent that nobody has described."""


@dataclass(frozen=True)
class Lack:
    """Something that is missing: of what, what was found, and what to do."""

    of: str
    found: str
    mend: str


def lacks_of_agents(agents: Sequence[Agent], prompts: pd.DataFrame) -> Iterator[Lack]:
    """Agents without a description or with too few prompts, and labels that are all single; `prompts` has `agents`."""
    if not agents:
        yield Lack("agents", "none", "describe them in data/agents.yaml, or give a file: --agents agents.yaml")
    unwritten = [agent.name for agent in agents if agent.description == UNWRITTEN]
    if unwritten:
        yield Lack("description", f"none of {listed(unwritten)}", "say in data/agents.yaml what each does, and costs")
    if prompts.empty:
        yield Lack("prompts", "none", "switchtender label import FILE, once the agents are described")
        return
    labels = [split_agents(cell) for cell in prompts["agents"]]
    counts = Counter(name for names in labels for name in names)
    for agent in agents:
        if (count := counts[agent.name]) < FEWEST:
            yield Lack(
                f"agent {agent.name}",
                f"{count} {'prompt' if count == 1 else 'prompts'}",
                f"write at least {FEWEST - count} more",
            )
    if not any(len(names) > 1 for names in labels):
        yield Lack("second label", "no prompt names two agents", "label all that each prompt needs: a|b")


def lacks_of_rows(check: RowCheck, checked: TableCheck) -> Iterator[Lack]:
    """Rows that a night would put aside, by rule, and rules of the whole table that would stop it."""
    lines: dict[str, list[int]] = {}
    for line, reasons in sorted(checked.reasons.items()):
        for reason in reasons:
            lines.setdefault(reason.partition(" (")[0], []).append(line)
    for rule, found in lines.items():
        count = "1 row is" if len(found) == 1 else f"{len(found)} rows are"
        where = f"{count} put aside: {'line' if len(found) == 1 else 'lines'} {listed(found, 5)} of {DATASET}"
        yield Lack(rule, where, what_to_do(check.rules[rule]))
    for result in checked.failed(CRITICAL):
        yield Lack(result.rule.name, f"stops a night: {observed(result)}", result.rule.why.rstrip("."))
