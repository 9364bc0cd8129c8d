"""What a person changes between the first night and the second: the truth that audits are held against."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sandbox import Sandbox

from pipeline.runtime.tables import sha256_text

ADDED_ID, ADDED_PROMPT = "p9001", "Could somebody read the tide table for Ostend and say when low water is on Sunday?"


@dataclass(frozen=True)
class SecondNight:
    """Ids of the rows that were changed, the labels before and after, and what the night printed."""

    facts: dict[str, Any]
    kept: Sandbox
    relabelled: str
    label_before: str
    label_after: str
    reviewed: str
    review_before: str
    review_after: str
    forgotten: str
    forgotten_text: str
    children: tuple[str, ...]
    added: str = ADDED_ID


def read_prompts(project: Sandbox) -> list[dict[str, str]]:
    """The rows of a project's dataset."""
    with (project.root / "data" / "prompts.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_prompts(project: Sandbox, rows: list[dict[str, str]]) -> None:
    """Write a project's dataset."""
    with (project.root / "data" / "prompts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def train_rows(project: Sandbox) -> list[dict[str, str]]:
    """The rows outside the holdout."""
    held_out = set((project.root / "data" / "holdout.txt").read_text().split())
    return [row for row in read_prompts(project) if row["prompt_id"] not in held_out]


def change_and_retrain(project: Sandbox, first: dict[str, Any], keep: Path) -> SecondNight:
    """Forget one row that has augmented children, relabel one, review one, add one; run a night; keep a copy."""
    forgotten, children = _a_parent(project, first)
    text = next(row["prompt"] for row in read_prompts(project) if row["prompt_id"] == forgotten)
    done = project.run("forget", forgotten, "--reason", "deletion request 17")
    assert done.returncode == 0, done.stderr
    relabelled, reviewed, pattern = (row for row in train_rows(project)[:3])
    rows = [
        {**row, "agents": "finance"} if row["prompt_id"] == relabelled["prompt_id"] else row
        for row in read_prompts(project)
    ]
    write_prompts(
        project, [*rows, {**pattern, "prompt_id": ADDED_ID, "prompt": ADDED_PROMPT, "agents": "web_research"}]
    )
    with (project.root / "data" / "label_reviews.csv").open("a", encoding="utf-8") as file:
        key = f"{reviewed['prompt_id']},{sha256_text(reviewed['prompt'])}"
        file.write(f"{key},relabel,email|legal,ana,2026-11-22,asked the owner\n")
    facts = project.night()
    return SecondNight(
        facts,
        project.copy_to(keep),
        relabelled["prompt_id"],
        relabelled["agents"],
        "finance",
        reviewed["prompt_id"],
        reviewed["agents"],
        "email|legal",
        forgotten,
        text,
        children,
    )


def _a_parent(project: Sandbox, night: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """A row with augmented children whose agent can spare it."""
    folder = project.root / "var" / "runs" / night["run_key"] / "clone" / "var" / "stages"
    lineage = pd.read_parquet(folder / "lineage" / "lineage.parquet")
    rows = lineage[lineage["method"] == ""].set_index("prompt_id")["agents"]
    augmented = lineage[(lineage["method"] != "") & lineage["taught"]]
    support = rows.str.split("|").explode().value_counts()
    parents = {p for text in augmented["parents"] for p in text.split("|")}
    parent = max(sorted(parents), key=lambda name: min(support[agent] for agent in rows[name].split("|")))
    children = augmented[augmented["parents"].str.split("|").map(lambda names: parent in names)]
    return parent, tuple(children["prompt_id"])
