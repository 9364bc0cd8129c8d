"""Building the index of `trace` over 2,000 versions of 502 rows, and answering from it as a whole process.

    python -m benchmarks.trace            # 2,000 versions
    python -m benchmarks.trace 200

The store is synthetic: from one version to the next a label, some forty flags and the augmented rows change, and a
row now and then goes and another comes. The answer without an index is timed for the ratio.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.records.signed_logs import signer_of
from flows.registry.versions import PROVENANCE_TAG, RUN_KEY
from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.tables import sha256_file, sha256_text
from pipeline.versions.folder import EVIDENCE, FOLDER, LINEAGE, PROVENANCE
from pipeline.versions.provenance import Build, Material, statement
from pipeline.versions.signing import make_key
from pipeline.versions.trace_index import RowState

ROOT = Path(__file__).resolve().parent.parent
MODEL = "agent-router"
AGENTS = ("calendar", "coding", "email", "finance", "legal", "sql", "translation", "travel")
VERSIONS, ROWS, FLAGGED, CHILDREN = 2000, 502, 40, 24
_TABLES = """
create table model_versions (name text, version integer, run_id text, source text, current_stage text);
create table model_version_tags (key text, value text, name text, version integer);
create table registered_model_aliases (alias text, version integer, name text);
create table experiments (name text, artifact_location text);
"""
"""What flows/registry/versions.py reads of MLflow's store."""
_BUILD = """
import resource, sys
from pathlib import Path
from flows.audit.trace_index import rebuild_index
from flows.workspace.git import git
from flows.workspace.project import Project
rebuild_index(Project(Path(sys.argv[1])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@dataclass(frozen=True)
class SyntheticStore:
    """A project with registered versions that hold a lineage and its provenance, and no router."""

    root: Path

    @property
    def project(self) -> Project:
        return Project(self.root)

    def prepare(self) -> SyntheticStore:
        """Make the folder and an empty store."""
        (self.root / "data").mkdir(parents=True)
        for name in ("params.yaml", "dvc.yaml", "data/agents.yaml"):
            shutil.copyfile(ROOT / name, self.root / name)
        self.project.var.mkdir()
        git(self.root, "init", "--quiet")
        signer = signer_of(self.project)
        make_key(signer.private_key, signer.public_key)
        with closing(sqlite3.connect(self.project.mlflow_database)) as store:
            store.executescript(_TABLES)
        return self

    def folder(self, number: int) -> Path:
        """Where a version's files are."""
        return self.project.artifacts / f"m-{number}" / "artifacts" / FOLDER

    def register(self, number: int, rows: Sequence[RowState], materials: int = 0) -> None:
        """Write a version's files and register it; `materials` makes its provenance as long as a real one."""
        write_lineage(rows, self.folder(number) / EVIDENCE / LINEAGE)
        run_key = f"nightly-2026-01-01-{number:04d}"
        subjects = {f"{EVIDENCE}/{LINEAGE}": sha256_file(self.folder(number) / EVIDENCE / LINEAGE)}
        inputs = tuple(Material(f"file-{i}", {"sha256": sha256_text(str(i))}, "data") for i in range(materials))
        build = Build(run_key, "c" * 40, {}, {}, inputs, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "0")
        provenance = self.folder(number) / PROVENANCE
        provenance.write_bytes(statement(build, subjects))
        tags = {RUN_KEY: run_key, PROVENANCE_TAG: sha256_file(provenance)}
        source = self.folder(number).parent.parent.as_uri()
        with closing(sqlite3.connect(self.project.mlflow_database)) as store, store:
            store.execute("insert into model_versions values (?, ?, 'run', ?, 'None')", (MODEL, number, source))
            pairs = [(key, value, MODEL, number) for key, value in tags.items()]
            store.executemany("insert into model_version_tags values (?, ?, ?, ?)", pairs)


def write_lineage(rows: Sequence[RowState], path: Path) -> None:
    """A lineage table as the stage writes it, lines counted from 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([{**asdict(row), "line": i} for i, row in enumerate(rows, start=2)]), path)


def drifting(versions: int, seed: int = 7) -> Iterator[list[RowState]]:
    """The lineage of each version in turn."""
    draw = random.Random(seed)
    rows = [_row(number, draw) for number in range(ROWS)]
    for version in range(versions):
        changed = draw.randrange(ROWS)
        rows[changed] = replace(rows[changed], agents=_label(draw))
        if version % 10 == 9:
            rows[draw.randrange(ROWS)] = _row(ROWS + version, draw)
        doubted = set(draw.sample(range(ROWS), FLAGGED))
        told = [_flagged(row, draw) if i in doubted else row for i, row in enumerate(rows)]
        yield told + [_child(version, number, draw.choice(rows)) for number in range(CHILDREN)]


def _label(draw: random.Random) -> str:
    return "|".join(draw.sample(AGENTS, draw.randint(1, 3)))


def _row(number: int, draw: random.Random) -> RowState:
    held_out = number % 5 == 0
    stage, split = ("evaluate", "holdout") if held_out else ("train", "train")
    text = sha256_text(str(number))
    return RowState(f"p{number:04d}", text, "kept", stage, "", split, _label(draw), "", "", not held_out)


def _flagged(row: RowState, draw: random.Random) -> RowState:
    reason = f"suspect {draw.randint(1, FLAGGED)}: doubted [{row.agents} {draw.random():.2f}]"
    return replace(row, fate="flagged", stage="suspects", reason=reason)


def _child(version: int, number: int, parent: RowState) -> RowState:
    text = sha256_text(f"{version} {number}")
    return RowState(
        f"a{number:04d}", text, "augmented", "augment", "", "train", parent.agents, parent.prompt_id, "surface", True
    )


def main() -> None:
    """Make the store, build the index, ask it, and print seconds and megabytes."""
    versions = int(sys.argv[1]) if len(sys.argv) > 1 else VERSIONS
    with tempfile.TemporaryDirectory() as folder:
        store = SyntheticStore(Path(folder) / "project").prepare()
        for number, rows in enumerate(drifting(versions), start=1):
            store.register(number, rows, materials=90)
        print(f"{versions} versions of {ROWS} rows and {CHILDREN} augmented ones")
        trace = ["-P", "-m", "switchtender", "trace"]
        cold, _ = _timed(store, [*trace, "p0011", "--json"])
        build, peak = _timed(store, ["-c", _BUILD, str(store.root)])
        print(f"{'building the index from scratch':<40}{build:8.2f} s, peak memory {peak.strip()} MB")
        print(f"{'its size':<40}{(store.project.trace_index).stat().st_size / 1e6:8.2f} MB")
        questions = {"trace ID --json": ["p0011", "--json"], "trace ID": ["p0011"], "trace --agent": ["--agent", "sql"],
                     "trace --removed-since 1": ["--removed-since", "1"]}  # fmt: skip
        for name, question in questions.items():
            warm = min(_timed(store, [*trace, *question])[0] for _ in range(3))
            print(f"{name + ', whole process, best of 3':<40}{warm:8.2f} s")
        print(f"{'trace ID --json without an index':<40}{cold:8.2f} s")


def _timed(store: SyntheticStore, arguments: list[str]) -> tuple[float, str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=store.root, env=env, capture_output=True, text=True, check=True
    )
    return time.monotonic() - started, done.stdout


if __name__ == "__main__":
    main()
