"""Adding a language model to the models' track: its outcomes become a curated file, which the next night takes in.

The router is not trained again. What it knows of the other candidates stays as it is, number for number.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from flows.workspace.identity import CANDIDATES
from flows.workspace.project import Project
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.runtime.errors import InputError, listed
from pipeline.runtime.tables import write_table, write_whole


def add(project: Project, name: str, table: Path, *, dry_run: bool = False) -> tuple[Path, int]:
    """Keep the outcomes of one candidate under data/candidates/; returns the file and how many there are.

    `table` may hold other candidates too. Its prompts are those of the track's own table, by id and text.

    Raises:
        InputError: the candidate is known already, the table has no outcome of it, or a prompt is not the track's.
        TableError: the table is malformed.
    """
    outcomes = read_outcomes(table)
    if name not in outcomes.candidates:
        raise InputError(f"{table} has no outcome of '{name}'; it has {listed(outcomes.candidates)}")
    return keep(project, name, outcomes, table, dry_run=dry_run)


def keep(project: Project, name: str, outcomes: Outcomes, source: Path, *, dry_run: bool = False) -> tuple[Path, int]:
    """The same with outcomes that were read already, from `source`.

    Raises:
        InputError: the candidate is known already, or a prompt is not the track's.
    """
    import numpy as np
    import pandas as pd

    place = project.root / CANDIDATES / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.csv"
    known = read_outcomes(project.root / project.table)
    if name in known.candidates:
        raise InputError(f"'{name}' is a candidate already; remove its rows of {project.table} first")
    column = outcomes.candidates.index(name)
    tried = np.flatnonzero(~np.isnan(outcomes.quality[:, column]))
    texts = dict(zip(known.prompt_ids, known.prompts, strict=True))
    for row in tried:
        prompt_id, prompt = outcomes.prompt_ids[row], outcomes.prompts[row]
        if texts.get(prompt_id) != prompt:
            raise InputError(f"{source}: prompt '{prompt_id}' is not in {project.table}, or has another text there")
    rows = pd.DataFrame(
        {
            "prompt_id": [outcomes.prompt_ids[row] for row in tried],
            "candidate": name,
            "quality": outcomes.quality[tried, column],
            "cost": outcomes.cost[tried, column],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / place.name
        write_table(rows, made)
        # One that is the same is gone on with: the command was stopped before its night.
        if place.exists() and place.read_bytes() != made.read_bytes():
            raise InputError(f"'{name}' is a candidate already, with other outcomes in {place.name}; remove that first")
        if not dry_run:
            write_whole(place, lambda to: shutil.copyfile(made, to))
    return place, len(rows)
