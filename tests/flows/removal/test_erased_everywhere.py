"""`forget --erase` on a row that lies wherever a text may come to lie: what stays is what the command names."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted_rows import OTHER, holding_anywhere, marks_of, plant_curated, plant_var
from removing import run
from sandbox import Sandbox
from second_night import train_rows

from flows.workspace.dvc_pointers import md5_of
from pipeline.encoders.vector_cache import StoredReading, VectorCache

REASON = ("--reason", "deletion request 17")


def a_row(project: Sandbox) -> tuple[str, str, str]:
    """A row that both versions learnt from whose text every format writes in its own way, and a part of it that none
    changes."""
    for row in train_rows(project):
        plain = max(re.findall(r"[A-Za-z ,.]{20,}", row["prompt"]), key=len, default="")
        if plain and not row["prompt"].isascii() and '"' in row["prompt"]:
            return row["prompt_id"], row["prompt"], plain
    raise AssertionError("no row is written in different ways")


@pytest.fixture(scope="module")
def planted(two_versions: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sandbox, str, str, list[bytes]]:
    """The project, the row, its text, and what its bytes are known by."""
    project = two_versions.copy_to(tmp_path_factory.mktemp("planted") / "copy")
    row, text, plain = a_row(project)
    marks = marks_of(project, row, plain)
    plant_curated(project, row, text)
    plant_var(project, row, text)
    vector = np.frombuffer(marks[-1], dtype=np.float32)
    VectorCache(project.root / "var/cache", 10**6).put("minilm", {text: StoredReading(vector[None], 9, True)})
    return project, row, text, marks


def test_what_stays_is_what_the_command_names(
    planted: tuple[Sandbox, str, str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, row, _, marks = planted
    root, blobs = project.root, "[0-9a-f]{40}"
    before = holding_anywhere(project, marks)
    assert len([name for name in before if not re.fullmatch(blobs, name)]) > 50
    monkeypatch.setenv("SWITCHTENDER_CACHE", str(root / "var/cache"))
    done = run(project, "forget", row, *REASON, "--erase")
    left = holding_anywhere(project, marks)
    stays = {"data/answers.jsonl", "data/prices.yaml", "var/prefect/prefect.db", "var/prefect/prefect.db-wal"}
    assert {name for name in left if not re.fullmatch(blobs, name)} == stays
    assert len(done["erased"]["remaining"]) == len(stays)
    told = "\n".join(done["erased"]["remaining"])
    assert all(re.search(rf"{name}(, line \d+,)? holds", told) for name in stays)
    in_git = done["erased"]["git_objects"]
    assert {name for name in left if re.fullmatch(blobs, name)} <= in_git.keys()
    paths = set(in_git.values())
    assert {"", "data/prices.yaml", "data/answers.jsonl", "data/candidates/later.parquet"} <= paths
    assert any(path.startswith("data/remote/files/md5/") for path in paths)
    clones = {f"{place.relative_to(root)}" for place in root.glob("var/runs/nightly*/clone/.git")}
    assert set(done["erased"]["git_repositories"]) == {".git", *clones}
    assert len(clones) == 2


def test_every_table_goes_on_without_the_row(planted: tuple[Sandbox, str, str, list[bytes]]) -> None:
    """After the test above: what DVC keeps is kept again, journals are whole, and a candidate without outcomes went."""
    project, row, _, _ = planted
    data = project.root / "data"
    assert project.git("status", "--porcelain", "-uall", "data") == ""
    for name in ("prompts.csv", "outcomes.csv"):
        content = (data / name).read_bytes()
        md5 = md5_of(content)
        assert f"md5: {md5}\n  size: {len(content)}\n" in (data / f"{name}.dvc").read_text()
        assert (project.root / "var/dvc/cache/files/md5" / md5[:2] / md5[2:]).read_bytes() == content
    assert (project.root / "var/dvc/remote/files/md5" / md5[:2] / md5[2:]).read_bytes() == content
    assert set(pd.read_csv(data / "outcomes.csv")["prompt_id"]) == {"q2"}
    assert set(pd.read_parquet(data / "candidates/later.parquet")["prompt_id"]) == {"q2"}
    assert len((data / "answers.jsonl").read_text().splitlines()) == 2
    assert not (data / "candidates/newcomer.csv").exists()
    assert (data / "model_holdout.txt").read_text() == "# held out\nq2\n"
    assert not list((project.root / "var/scratch").iterdir())
    for place in ("decisions.jsonl", "decisions.jsonl.1.gz"):
        lines = content_of(project.root / "var/serving" / place).split("\n")
        assert json.loads(lines[0])["prompt"] == OTHER
        assert re.fullmatch(r"\*+", json.loads(lines[1])["note"])
        assert re.fullmatch(r'\{"prompt": "\*+", "n', lines[2])
    logged = (json.loads(line) for line in (project.root / "var/records/removals.jsonl").read_text().splitlines())
    assert [(entry["kind"], entry["rows"], entry["versions"]) for entry in logged][-2:] == [
        ("forgotten", [row], ["1", "2"]), ("erased", [row], ["1", "2"])
    ]  # fmt: skip


def content_of(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
