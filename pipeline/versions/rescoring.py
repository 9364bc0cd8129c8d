"""The champion on a holdout that has changed: what it has not answered yet is asked of its saved router."""

from __future__ import annotations

from pathlib import Path

from pipeline.data.holdout import read_holdout
from pipeline.gating.champion import Choices
from pipeline.routers.systems import open_router
from pipeline.runtime.tables import read_table, sha256_text


def unanswered(choices: Choices, dataset: Path, holdout: Path) -> dict[tuple[str, str], str]:
    """Holdout prompts of a dataset that the champion has not answered, by key: those that are new or reworded."""
    ids = set(read_holdout(holdout))
    rows = read_table(dataset, required=("prompt_id", "prompt"))
    texts = {
        (str(row["prompt_id"]), sha256_text(str(row["prompt"]))): str(row["prompt"])
        for row in rows.to_dict("records")
        if row["prompt_id"] in ids
    }
    return {key: text for key, text in texts.items() if key not in choices.by_row}


def answer(choices: Choices, prompts: dict[tuple[str, str], str], router: Path) -> Choices:
    """The choices with those of a saved router on more prompts: a changed holdout is rescored, never guessed.

    Raises:
        InputError: the router cannot be loaded.
    """
    predictions = open_router(router).predict(list(prompts.values()))
    names = predictions.candidates
    more = {
        key: tuple(name for name, hit in zip(names, row, strict=True) if hit)
        for key, row in zip(prompts, predictions.chosen, strict=True)
    }
    return Choices({**choices.by_row, **more})
