"""A version held against the champion of today, which may be another than on its night."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.agents import read_agents
from pipeline.data.fates import TRAIN
from pipeline.data.holdout import read_holdout
from pipeline.data.outcomes import split_agents
from pipeline.gating import model_gates
from pipeline.gating.agent_gates import GateParams, against_champion, inputs_of
from pipeline.gating.champion import Champion, Choices
from pipeline.gating.model_gates import ModelGateParams
from pipeline.gating.results import GateResult
from pipeline.routers.systems import open_router
from pipeline.runtime.tables import read_table, sha256_text
from pipeline.runtime.track import MODELS, track_of
from pipeline.versions.folder import (
    EVIDENCE,
    LINEAGE,
    PREDICTIONS,
    VersionFolder,
    router_sha256,
    train_rows,
)


@dataclass(frozen=True)
class Contender:
    """A version, its number and run key, and its folder."""

    version: str
    run_key: str
    folder: VersionFolder


def choices_of(contender: Contender) -> tuple[Champion, Choices]:
    """Who it is and what it chose on its own holdout.

    Raises:
        VerificationFailed: its evidence cannot be read.
    """
    figures = contender.folder.summaries()
    rows = contender.folder.table(PREDICTIONS)
    keys = zip(rows["prompt_id"], rows["text_sha256"], strict=True)
    return (
        Champion(
            contender.version,
            contender.run_key,
            router_sha256(figures),
            train_rows(figures),
        ),
        Choices(dict(zip(keys, map(split_agents, rows["chosen"]), strict=True))),
    )


def rematch(challenger: Contender, champion: Contender, dataset: Path, params: Path, seed: int) -> list[GateResult]:
    """The gates against the champion, on the challenger's holdout; what the champion never met it is asked now.

    `dataset` holds the challenger's prompts, for those texts; `params` is the params.yaml whose margins hold today.

    Raises:
        VerificationFailed: evidence of either cannot be read.
    """
    predictions = challenger.folder.table(PREDICTIONS)
    who, choices = choices_of(champion)
    keys = set(zip(predictions["prompt_id"], predictions["text_sha256"], strict=True)) - choices.by_row.keys()
    if keys:
        choices = answer(choices, _texts(dataset, keys), champion.folder.model)
    lineage, report = challenger.folder.table(LINEAGE), challenger.folder.figures()
    learnt = lineage[lineage["taught"] & (lineage["method"].fillna("") == "") & (lineage["split"] == TRAIN)]
    track = track_of(challenger.run_key)
    if track is MODELS:
        graded = challenger.folder.graded()
        against = model_gates.inputs_of(predictions, graded, report, len(learnt), (who, choices))
        return model_gates.against_champion(against, track.read("gate", ModelGateParams, params), seed)
    names = tuple(agent.name for agent in read_agents(challenger.folder.root / EVIDENCE / "agents.yaml"))
    inputs = inputs_of(names, learnt["agents"], predictions, report, (who, choices))
    return against_champion(inputs, track.read("gate", GateParams, params), seed)


def _texts(dataset: Path, keys: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    rows = read_table(dataset, required=("prompt_id", "prompt")).to_dict("records")
    texts = {(str(row["prompt_id"]), sha256_text(str(row["prompt"]))): str(row["prompt"]) for row in rows}
    return {key: texts[key] for key in sorted(keys) if key in texts}


def unanswered(choices: Choices, dataset: Path, holdout: Path) -> dict[tuple[str, str], str]:
    """Holdout prompts of a dataset that the champion has not answered, by key: those that are new or reworded."""
    ids = set(read_holdout(holdout))
    rows = read_table(dataset, required=("prompt_id", "prompt"))
    texts = {
        (str(row["prompt_id"]), sha256_text(str(row["prompt"]))): str(row["prompt"])
        for row in rows.to_dict("records")
        if str(row["prompt_id"]) in ids
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
