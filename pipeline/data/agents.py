"""The taxonomy of agents, read from data/agents.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.data.names import Name, refuse_columns
from pipeline.runtime.errors import InputError, as_piece
from pipeline.runtime.yaml_file import load_yaml

AGENTS_FILE = Path("data/agents.yaml")


class Agent(BaseModel):
    """One agent: what it does, who answers for it, and what a call costs (USD) and takes (ms)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    owner: str = Field(min_length=1)
    usd_per_call: float = Field(ge=0, allow_inf_nan=False)
    latency_ms: int = Field(gt=0)
    description: str = Field(min_length=40)


def read_agents(path: Path = AGENTS_FILE) -> tuple[Agent, ...]:
    """Read the agents in file order, which is the column order of every score matrix.

    Raises:
        InputError: the file is missing, malformed, names an agent twice, or as a column is named.
    """
    try:
        content = load_yaml(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; restore it with git checkout") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())[:120]}); mend it") from error
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} is not a list of agents; write '- name: ...' entries")
    agents = tuple(_agent(entry, number, path) for number, entry in enumerate(content, start=1))
    names = [agent.name for agent in agents]
    refuse_columns(names, path)
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path} names the agent '{name}' twice; rename one")
    return agents


def _agent(entry: object, number: int, path: Path) -> Agent:
    try:
        return Agent.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "entry"
        raise InputError(f"{path}, agent {number}: {key}: {as_piece(first['msg'])}; mend it") from error
