"""A project whose nights route to language models: three with their own strengths, and one that comes later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sandbox import Sandbox, copy_project

from flows.registry.versions import Versions, opened
from flows.workspace.project import Project
from pipeline.routers.systems import open_router
from pipeline.runtime.track import MODELS

KINDS = {
    "code": ("Write a {} function that sorts a list of {}", "coder"),
    "poem": ("Compose a {} poem about the {} for a wedding", "poet"),
    "sum": ("Add up these {} invoices and tell me the total in {}", "newcomer"),
}
FIRST = ("python", "short", "seven", "gentle", "rust", "recursive", "old", "blue", "twelve", "quiet")
SECOND = ("names", "harbour", "euros", "orders", "lighthouse", "dollars", "ferries", "moon", "crowns", "dates")
COST = {"coder": 0.004, "poet": 0.002, "cheap": 0.0005}


def planted() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Outcomes of three candidates, of which each kind of prompt has its own best; and those of one that comes later.

    An answer is right for certain by the kind's own candidate, `cheap` is right on every third prompt, and each of the
    others on every tenth.
    """
    rows, later = [], []
    for kind, (words, best) in KINDS.items():
        for number, (first, second) in enumerate((a, b) for a in FIRST for b in SECOND):
            facts = {"prompt_id": f"{kind}-{number:03d}", "prompt": words.format(first, second), "dataset": kind}
            for name, usd in COST.items():
                good = name == best or number % (3 if name == "cheap" else 10) == 0
                rows.append({**facts, "candidate": name, "quality": float(good), "cost": usd})
            later.append(
                {
                    **facts,
                    "candidate": "newcomer",
                    "quality": float(best == "newcomer" or number % 10 == 5),
                    "cost": 0.003,
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(later)


def ask(project: Sandbox, *arguments: str, code: int = 0) -> Any:
    done = project.run(*arguments, "--json")
    assert done.returncode == code, done.stderr[-3000:]
    return json.loads(done.stdout)


def planted_project(place: Path, encoder: Path, prefect: str, **changes: Any) -> Sandbox:
    """A copy of the project that trains on the planted outcomes, a fourth of them held out; settings may change."""
    made = copy_project(place, prefect)
    table, _ = planted()
    table.to_csv(made.root / "data/outcomes.csv", index=False)
    ids = sorted(set(table["prompt_id"]))[::4]
    (made.root / "data/model_holdout.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    made.set_params(
        run__threads=1, nightly__tracks=["models"], models__validate__table="data/outcomes.csv",
        models__train__max_tokens=32, models__evaluate__max_tokens=32,
        models__split__holdout="data/model_holdout.txt", models__split__holdout_overlap=1.0,
        models__train__encoder=str(encoder),
        models__evaluate__encoder=str(encoder), models__gate__calibration_error=0.4,
        models__gate__resamples=100, models__gate__cost_rise=1.0, **changes,
    )  # fmt: skip
    return made


def chosen(project: Sandbox, version: str, prompts: list[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    """What a version chooses for prompts, and its expected quality of each candidate."""
    seen = Project(project.root).on(MODELS)
    with opened(Versions(seen, "model-router").number(version)) as folder:
        found = open_router(folder.model).predict(prompts)
    names = [found.candidates[int(row.argmax())] for row in found.chosen]
    return names, {name: found.quality[:, c] for c, name in enumerate(found.candidates)}


def night_with_newcomer(project: Sandbox, folder: Path) -> dict[str, Any]:
    """What is said of the night that takes in the candidate that comes later."""
    planted()[1].to_parquet(folder / "newcomer.parquet")
    found: dict[str, Any] = ask(project, "candidate", "add", "newcomer", str(folder / "newcomer.parquet"))["nights"][0]
    return found
