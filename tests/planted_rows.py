"""One row of a project planted wherever its text may come to lie, and a search of every byte that knows no place."""

from __future__ import annotations

import bz2
import gzip
import html
import io
import json
import lzma
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
from removing import commit_data
from sandbox import Sandbox

from flows.workspace.dvc_pointers import md5_of
from pipeline.encoders.training_index import TrainingIndex

RUN = "models-2026-01-01-0001"
OTHER = "a prompt that nobody asked to forget"


def outcomes(row: str, text: str) -> pd.DataFrame:
    """Outcomes of two candidates on the row and on another."""
    facts = [
        {"prompt_id": one, "prompt": words, "candidate": name, "quality": 0.5, "cost": 0.1}
        for one, words in ((row, text), ("q2", OTHER))
        for name in ("coder", "poet")
    ]
    return pd.DataFrame(facts)


def plant_curated(project: Sandbox, row: str, text: str) -> None:
    """Into all that people curate for the models' track, the table kept by DVC; committed."""
    data, table = project.root / "data", outcomes(row, text)
    table.to_csv(data / "outcomes.csv", index=False)
    (data / "model_holdout.txt").write_text(f"# held out\n{row}\nq2\n")
    own = table[table["prompt_id"] == row].assign(candidate="newcomer")
    own.drop(columns="prompt").head(1).to_csv(data / "candidates/newcomer.csv", index=False)
    table.assign(candidate=table["candidate"] + "-2").to_parquet(data / "candidates/later.parquet")
    answers = [f"You asked: {text}" if name == "poet" else "yes" for name in table["candidate"]]
    table.assign(answer=answers).to_json(data / "answers.jsonl", orient="records", lines=True)
    with (data / "prices.yaml").open("a") as file:
        file.write(f"# measured on {json.dumps(text)}\n")
    project.set_params(models__validate__table="data/outcomes.csv", models__split__holdout="data/model_holdout.txt")
    commit_data(project, "data/outcomes.csv")
    md5 = md5_of((data / "outcomes.csv").read_bytes())
    copy = project.root / "var/dvc/remote/files/md5" / md5[:2] / md5[2:]  # as `dvc push` would put it there
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes((data / "outcomes.csv").read_bytes())


def plant_var(project: Sandbox, row: str, text: str) -> None:
    """Into what runs, services and other tools leave, in every writing."""
    root, table = project.root, outcomes(row, text)
    parquet = (to := io.BytesIO(), table.to_parquet(to))[0].getvalue()
    clone = root / "var/runs" / RUN / "clone"
    page = f"<p>{html.escape(text)}</p>".encode()
    note = json.dumps({"request_id": "r1", "index": 0, "note": f"wrong: {text}"})
    lines = (
        f'{{"request_id": "r0", "prompt": "{OTHER}"}}\n{note}\n{{"prompt": {json.dumps(text, ensure_ascii=False)}, "n'
    )
    for place, content in {
        clone / "data/outcomes.csv": table.to_csv(index=False).encode(),
        clone / "var/models/validate/rows.parquet": parquet,
        clone / "var/models/split/train_outcomes.parquet": table.drop(columns="prompt").to_csv(index=False).encode(),
        clone.parent / "report.html": page,
        root / "var/scratch/tmp1/clone/var/stages/split/train.parquet": parquet,
        root / "var/models/validate/rows.parquet": parquet,
        root / "var/reports/export.csv": table.to_csv(index=False).encode("utf-16"),
        root / "var/reports/validation.json.gz": gzip.compress(json.dumps({"failed": [text]}).encode()),
        root / "var/serving/decisions.jsonl": lines.encode(),
        root / "var/serving/feedback.jsonl": f"{note}\n".encode(),
        root / "var/serving/decisions.jsonl.1.gz": gzip.compress(lines.encode()),
        root / "var/serving/models/feedback.jsonl.2.xz": lzma.compress(f"{note}\n".encode()),
        root / "var/serving/models/decisions.jsonl.3.bz2": bz2.compress(lines.encode()),
        **{
            root / store / "files/md5/ab" / f"{n:030d}": parquet
            for n, store in enumerate(("var/dvc/cache", "var/dvc/remote"))
        },
    }.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    project.git("init", "--quiet", str(root / "var/scratch/tmp1/clone"))
    project.git("hash-object", "-w", str(clone / "data/outcomes.csv"))
    plant_database(root / "var/prefect/prefect.db", text)


def plant_database(path: Path, text: str) -> None:
    """Into a table of SQLite and its write-ahead log, which is left as a killed process leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as store:
        store.execute("pragma journal_mode = wal")
        store.execute("create table log (message text)")
        store.execute("insert into log values (?)", (text,))
        store.commit()
        store.execute("pragma wal_checkpoint(truncate)")
        store.execute("insert into log values (?)", (f"again {text}",))
        store.commit()
        shutil.copy(f"{path}-wal", f"{path}-kept")
    shutil.move(f"{path}-kept", f"{path}-wal")


def marks_of(project: Sandbox, row: str, mark: str) -> list[bytes]:
    """What is searched for: a part of the text that no writing changes, and the row's vector in each index."""
    found = [mark.encode(name) for name in ("utf-8", "utf-16-le", "utf-16-be")]
    for folder in {path.parent for path in project.root.glob("var/artifacts/**/training_rows.safetensors")}:
        index = TrainingIndex.load(folder)
        assert index is not None
        found.append(index.vectors[index.prompt_ids.index(row)].tobytes())
    assert len(found) == 5
    return found


def holding_anywhere(project: Sandbox, marks: list[bytes]) -> set[str]:
    """Every file under the project that holds a mark, and every object of every git repository there, by its id."""
    found = set()
    for path in sorted(project.root.rglob("*")):
        if path.name == ".git":
            held = ((name, content) for name, content in _objects(path) if any(mark in content for mark in marks))
            found |= {name for name, _ in held}
        elif path.is_file() and ".git" not in path.parts and _holds(path, marks):
            found.add(path.relative_to(project.root).as_posix())
    return found


def _holds(path: Path, marks: list[bytes]) -> bool:
    return any(mark in part for part in _parts(path) for mark in marks)


def _parts(path: Path) -> Iterator[bytes]:
    """A file as it lies there, unpacked, and as a table."""
    content = path.read_bytes()
    yield content
    for beginning, unpack in ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ", lzma.decompress)):
        if content.startswith(beginning):
            yield unpack(content)
    if content.startswith(b"PAR1"):
        yield pd.read_parquet(io.BytesIO(content)).to_csv().encode()
    if content.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as store:
            yield "\n".join(store.iterdump()).encode()


def _objects(repository: Path) -> Iterator[tuple[str, bytes]]:
    """Every blob that git has, reached by a commit or not."""
    command = ["git", f"--git-dir={repository}", "cat-file", "--batch-all-objects", "--batch"]
    stream = io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout)
    while header := stream.readline():
        name, kind, size = header.decode().split()
        content = stream.read(int(size) + 1)
        if kind == "blob":
            yield name, content
