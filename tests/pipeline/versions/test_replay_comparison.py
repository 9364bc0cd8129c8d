"""What a replay is called: identical, within the bound, or different."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.runtime.tables import sha256_text, write_table
from pipeline.versions.folder import VersionFolder
from pipeline.versions.provenance import STAGE_OUTPUT, Build, Material, statement
from pipeline.versions.replay_comparison import (
    DIFFERS,
    ENVIRONMENT,
    IDENTICAL,
    WITHIN_BOUND,
    FileComparison,
    ReplayParams,
    compare_files,
    drift,
    verdict,
)

PARAMS = ReplayParams(agreement=0.75, headline=0.2)
SAME, OTHER = FileComparison("model/a", "1", "1"), FileComparison("model/b", "1", "2")


def predictions(chosen: list[str], probability: float) -> pd.DataFrame:
    ids = [f"p{i}" for i in range(len(chosen))]
    facts = {"prompt_id": ids, "text_sha256": ids, "agents": ["sql"] * len(ids), "chosen": chosen}
    return pd.DataFrame({**facts, "sql": probability, "legal": 0.1})


@pytest.fixture
def folder(tmp_path: Path) -> VersionFolder:
    write_table(predictions(["sql", "sql", "sql", "sql"], 0.8), tmp_path / "router/evidence/predictions.parquet")
    return VersionFolder(tmp_path / "router")


def replayed(tmp_path: Path, chosen: list[str]) -> Path:
    rows = predictions(chosen, 0.5).sample(frac=1, random_state=0)
    write_table(rows, tmp_path / "clone/var/stages/evaluate/predictions.parquet")
    return tmp_path / "clone"


def test_drift_says_how_many_choices_and_how_much_of_a_probability_moved(folder: VersionFolder, tmp_path: Path) -> None:
    found = drift(folder, replayed(tmp_path, ["sql", "sql", "sql", "legal"]))
    assert found.prompts == 4
    assert found.agreement == 0.75
    assert found.largest == pytest.approx(0.3)
    assert found.mean == pytest.approx(0.15)
    assert (found.headline_before, found.headline_after) == (1.0, 0.75)


@pytest.mark.parametrize(("files", "chosen", "same_environment", "expected"), [
    ([SAME], ["legal"] * 4, True, IDENTICAL),
    ([SAME, OTHER], ["sql"] * 4, True, DIFFERS),
    ([SAME, OTHER], ["sql"] * 4, False, WITHIN_BOUND),
    ([SAME, OTHER], ["sql", "sql", "legal", "legal"], False, DIFFERS),
])  # fmt: skip
def test_only_another_machine_may_be_merely_close(
    files: list[FileComparison], chosen: list[str], same_environment: bool, expected: str,
    folder: VersionFolder, tmp_path: Path,
) -> None:  # fmt: skip
    found = drift(folder, replayed(tmp_path, chosen))
    assert verdict(files, found, same_environment, PARAMS) == expected


def test_a_worse_score_is_outside_the_bound_however_many_choices_agree(folder: VersionFolder, tmp_path: Path) -> None:
    found = drift(folder, replayed(tmp_path, ["sql", "sql", "sql", "legal"]))
    assert verdict([OTHER], found, False, PARAMS) == DIFFERS


def test_every_model_file_and_stage_output_is_compared(tmp_path: Path) -> None:
    outputs = {
        f"var/stages/{ENVIRONMENT}": "machine",
        "var/stages/split/train.parquet": "rows",
        "var/stages/train/router": "listing",
    }
    materials = tuple(
        Material(name, {"sha256": sha256_text(text)}, STAGE_OUTPUT, {"md5": "0.dir" if text == "listing" else "0"})
        for name, text in outputs.items()
    )
    build = Build("nightly-key", "c" * 40, {}, {}, materials, "", "", "0")
    subjects = {"model/a.json": sha256_text("a"), "model/b.json": sha256_text("b"), "evidence/x": sha256_text("x")}
    (tmp_path / "router").mkdir()
    (tmp_path / "router/provenance.json").write_bytes(statement(build, subjects))
    clone = tmp_path / "clone"
    for name, text in {"train/router/a.json": "a", "train/router/b.json": "B", "split/train.parquet": "rows"}.items():
        (clone / "var/stages" / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / "var/stages" / name).write_text(text)
    found = {file.path: file.same for file in compare_files(VersionFolder(tmp_path / "router").provenance(), clone)}
    assert found == {"model/a.json": True, "model/b.json": False, "var/stages/split/train.parquet": True}
    (clone / "var/stages/train/router/a.json").unlink()
    gone = compare_files(VersionFolder(tmp_path / "router").provenance(), clone)
    assert next(file for file in gone if file.path == "model/a.json").replayed == ""
