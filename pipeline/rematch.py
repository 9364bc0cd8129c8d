"""A version held against the champion of today, which may be another than on its night."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.agents import read_agents
from pipeline.champion import Champion, Choices
from pipeline.fates import TRAIN
from pipeline.gates import GateParams, GateResult, against_champion, evidence_of
from pipeline.outcomes import split_agents
from pipeline.rescoring import answer
from pipeline.tables import read_table, sha256_text
from pipeline.version_folder import EVIDENCE, LINEAGE, METRICS, PREDICTIONS, VersionFolder


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
    figures = contender.folder.facts("summaries.json")
    rows = contender.folder.table(PREDICTIONS)
    keys = zip(rows["prompt_id"], rows["text_sha256"], strict=True)
    return (
        Champion(
            contender.version,
            contender.run_key,
            str(figures["train"]["router_sha256"]),
            int(figures["label_noise"]["train"]),
        ),
        Choices(dict(zip(keys, map(split_agents, rows["chosen"]), strict=True))),
    )


def rematch(
    challenger: Contender, champion: Contender, dataset: Path, params: GateParams, seed: int
) -> list[GateResult]:
    """The gates against the champion, on the challenger's holdout; what the champion never met it is asked now.

    `dataset` holds the challenger's prompts, for those texts.

    Raises:
        VerificationFailed: evidence of either cannot be read.
    """
    predictions = challenger.folder.table(PREDICTIONS)
    who, choices = choices_of(champion)
    keys = set(zip(predictions["prompt_id"], predictions["text_sha256"], strict=True)) - choices.by_row.keys()
    if keys:
        choices = answer(choices, _texts(dataset, keys), champion.folder.model)
    lineage = challenger.folder.table(LINEAGE)
    learnt = lineage[lineage["taught"] & (lineage["method"].fillna("") == "") & (lineage["split"] == TRAIN)]
    names = tuple(agent.name for agent in read_agents(challenger.folder.root / EVIDENCE / "agents.yaml"))
    evidence = evidence_of(names, learnt["agents"], predictions, challenger.folder.facts(METRICS), (who, choices))
    return against_champion(evidence, params, seed)


def _texts(dataset: Path, keys: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    rows = read_table(dataset, required=("prompt_id", "prompt")).to_dict("records")
    texts = {(str(row["prompt_id"]), sha256_text(str(row["prompt"]))): str(row["prompt"]) for row in rows}
    return {key: texts[key] for key in sorted(keys) if key in texts}
