"""Versions made by hand in a moment, signed and registered like those of a night, whose every fact the test knows.

MLflow's tables are written directly: the code under test reads them directly too, and its client takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from sandbox import Sandbox

from flows.records.promotion_log import PROMOTED, Promotion, promotions, record_promotion
from flows.records.signed_logs import signer_of
from flows.registry.versions import PROVENANCE_TAG, RUN_KEY
from flows.workspace.project import Project
from flows.workspace.snapshot import RUN_REF
from pipeline.data.fates import Fate
from pipeline.data.label_reviews import COLUMNS
from pipeline.runtime.tables import sha256_file, sha256_text, write_json, write_table
from pipeline.versions.folder import (
    EVIDENCE,
    FOLDER,
    LINEAGE,
    METRICS,
    MODEL,
    PREDICTIONS,
    PROVENANCE,
    SIGNATURE,
    SUMMARIES,
    SUSPECTS,
    VERDICT,
    VersionFolder,
    digests,
)
from pipeline.versions.provenance import DATA, STAGE_OUTPUT, Build, Material, statement
from pipeline.versions.signing import make_key

AGENTS = ("coding", "email", "sql")
PARAMS: dict[str, Any] = {
    "run": {"seed": 7},
    "evaluate": {"resamples": 300},
    "register": {"model": "agent-router", "first_becomes_champion": True},
    "signing": {
        "method": "key", "private_key": "var/keys/a.pem", "public_key": "var/keys/a.pub",
        "identity": "", "oidc_issuer": "",
    },
}  # fmt: skip
GATE = {"gate": "micro_f1", "value": 0.9, "limit": 0.5, "verdict": "passed", "reason": "at least the floor"}
SUSPECT = {
    "rank": 1, "prompt_id": "p1", "agents": "coding", "quality": 0.1, "doubted": "coding 0.10",
    "missing": "sql 0.80", "suggested": "sql", "review": "",
}  # fmt: skip


def row(prompt_id: str, agents: str, fate: str = "kept", split: str = "train", **facts: Any) -> dict[str, Any]:
    """One line of a lineage; its text is the id, or `text`."""
    text = str(facts.pop("text", prompt_id))
    known = Fate(prompt_id, sha256_text(text), fate, agents=agents, split=split, line=1).__dict__
    return {**known, "stage": "train", "taught": split == "train", **facts}


def answer(prompt_id: str, truth: str, chosen: str) -> dict[str, Any]:
    """One line of the predictions."""
    known = {"prompt_id": prompt_id, "text_sha256": sha256_text(prompt_id), "agents": truth, "chosen": chosen}
    return {**known, **dict.fromkeys(AGENTS, 0.5)}


ROWS = (row("p1", "coding"), row("p2", "coding|email", split="holdout"))
ANSWERS = (answer("p2", "coding|email", "coding|email"),)


@dataclass(frozen=True)
class Recipe:
    """What a version is made of."""

    rows: Sequence[Mapping[str, Any]] = ROWS
    answers: Sequence[Mapping[str, Any]] = ANSWERS
    reviews: Sequence[str] = ()
    params: Mapping[str, Any] = field(default_factory=lambda: PARAMS)
    gates: Sequence[Mapping[str, Any]] = (GATE,)
    materials: tuple[Material, ...] = ()
    run_key: str = "nightly-1"
    commit: str = "0" * 40
    model_files: Sequence[str] = ()


def write_folder(root: Path, recipe: Recipe) -> VersionFolder:
    """A version's folder, not signed."""
    evidence = root / EVIDENCE
    (root / MODEL).mkdir(parents=True)
    (root / MODEL / "router.json").write_text("{}")
    for name in recipe.model_files:
        (_made((root / MODEL / name).parent) / Path(name).name).write_text("made")
    write_table(pd.DataFrame(list(recipe.rows)), _made(evidence) / LINEAGE)
    write_table(pd.DataFrame(list(recipe.answers)), evidence / PREDICTIONS)
    write_table(pd.DataFrame([SUSPECT]), evidence / SUSPECTS)
    figure = {"value": 0.9, "low": 0.85, "high": 0.95}
    metrics = {"systems": {"router": {"micro_f1": figure}}, "micro_f1_over": {"tfidf": figure}}
    write_json({**metrics, "prompts": len(recipe.answers)}, evidence / METRICS)
    write_json({"verdict": "passed", "gates": [dict(gate) for gate in recipe.gates]}, evidence / VERDICT)
    write_json({}, evidence / SUMMARIES)
    (evidence / "label_reviews.csv").write_text("\n".join([",".join(COLUMNS), *recipe.reviews]) + "\n")
    (evidence / "agents.yaml").write_text(agents_yaml())
    build = Build(recipe.run_key, recipe.commit, recipe.params, {"python": "3.11", "threads": 2}, recipe.materials,
                  "2026-01-01T01:00:00+00:00", "2026-01-01T01:05:00+00:00", "0.1.0")  # fmt: skip
    (root / PROVENANCE).write_bytes(statement(build, digests(root)))
    return VersionFolder(root)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def agents_yaml() -> str:
    words = "answers whatever a person may ask about this field of work"
    return yaml.safe_dump(
        [{"name": n, "owner": "o", "usd_per_call": 0.1, "latency_ms": 9, "description": words} for n in AGENTS]
    )


class MadeProject:
    """A project in a folder: git repository, key, DVC's cache and remote, MLflow's tables; no version yet."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        self.files = Sandbox(root)
        self.moments = 0
        (root / "data").mkdir(parents=True)
        (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
        (root / "dvc.yaml").write_text("stages: {}\n")
        (root / ".gitignore").write_text("/var\n")
        make_key(root / "var" / "keys" / "a.pem", root / "var" / "keys" / "a.pub")
        self.files.git("init", "--quiet")
        with closing(sqlite3.connect(self.project.mlflow_database)) as store:
            store.executescript(
                "create table model_versions (name, version integer, run_id, source, current_stage);"
                "create table model_version_tags (name, version integer, key, value);"
                "create table registered_model_aliases (name, version integer, alias);"
                "create table experiments (name, artifact_location);"
            )
            place = self.project.artifacts.resolve().as_uri()
            store.execute("insert into experiments values ('nightly', ?)", (place,))
            store.commit()

    def add(
        self, number: int, prompts: str = "the prompts", models: Sequence[Material] = (), **changes: Any
    ) -> VersionFolder:
        """Register a version; its prompts.csv goes into cache and remote, its agents.yaml into git. `models` are the
        published ones that it was made with.
        """
        (self.project.root / "data" / "agents.yaml").write_text(agents_yaml())
        commit = self.commit(f"version {number}")
        key = f"nightly-{number}"
        self.files.git("update-ref", f"{RUN_REF}{key}", commit)
        agents = {"sha256": sha256_file(self.project.root / "data" / "agents.yaml")}
        materials = (
            Material("data/agents.yaml", agents, DATA),
            self.store("data/prompts.csv", prompts, DATA),
            self.store("var/stages/split/train.parquet", f"train of {prompts}", STAGE_OUTPUT),
            *models,
        )
        model = self.project.artifacts / str(number)
        recipe = Recipe(run_key=key, commit=commit, materials=materials, **changes)
        folder = write_folder(model / "artifacts" / FOLDER, recipe)
        signer_of(self.project).sign(folder.root, folder.root.parent / SIGNATURE)
        tags = {RUN_KEY: key, PROVENANCE_TAG: folder.provenance_sha256(), "git_commit": commit}
        with closing(sqlite3.connect(self.project.mlflow_database)) as store:
            source = model.resolve().as_uri()
            store.execute(
                "insert into model_versions values (?, ?, ?, ?, 'None')", ("agent-router", number, "run", source)
            )
            store.commit()
        for name, value in tags.items():
            self.tag(number, name, value)
        return folder

    def commit(self, message: str) -> str:
        self.files.git("add", "-A")
        self.files.git("commit", "--quiet", "--allow-empty", "-m", message)
        return str(self.files.git("rev-parse", "HEAD"))

    def store(self, name: str, content: str, role: str) -> Material:
        """Bytes in DVC's cache and remote."""
        md5 = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
        for place in (self.project.dvc_cache, self.project.dvc_remote):
            path = place / "files" / "md5" / md5[:2] / md5[2:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return Material(name, {"sha256": sha256_text(content)}, role, {"md5": md5})

    def tag(self, number: int, key: str, value: str) -> None:
        with closing(sqlite3.connect(self.project.mlflow_database)) as store:
            store.execute("insert into model_version_tags values ('agent-router', ?, ?, ?)", (number, key, value))
            store.commit()

    def alias(self, alias: str, number: int) -> None:
        with closing(sqlite3.connect(self.project.mlflow_database)) as store:
            store.execute("delete from registered_model_aliases where alias = ?", (alias,))
            store.execute("insert into registered_model_aliases values ('agent-router', ?, ?)", (number, alias))
            store.commit()

    def promote(self, number: int, reason: str, **facts: Any) -> str:
        """Put a version into service as the log, the alias and the served log tell it; returns when."""
        self.moments += 1
        at = f"2026-02-0{self.moments}T10:00:00+00:00"
        before = [p.version_to for p in promotions(self.project)][-1:]
        known = {"who": "Ana <ana@localhost>", "action": PROMOTED, "version_from": "".join(before), "gates": {}}
        record_promotion(
            self.project,
            Promotion(
                **{**known, "at": at, "version_to": str(number), "reason": reason, "provenance_sha256": "", **facts}
            ),
        )
        self.alias("champion", number)
        return at


def state_of(root: Path) -> dict[str, tuple[int, str]]:
    """Every file under a folder with its time and digest: what a reader must leave as it is."""
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mtime_ns, sha256_file(path))
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def as_plain(value: Any) -> Any:
    """A value after a round trip through JSON."""
    return json.loads(json.dumps(value, allow_nan=False))
