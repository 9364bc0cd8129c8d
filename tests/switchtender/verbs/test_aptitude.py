"""`switchtender aptitude` on a router's folder: the sheet out, graded answers in."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline.routers.systems import open_router
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import read_table, write_table
from switchtender.verbs.aptitude import export, import_
from switchtender.verbs.fit import fit

KINDS = {"coder": "Write a {} function that sorts {}", "poet": "Compose a {} poem about {} for a wedding"}
FIRST = ("python", "short", "seven", "gentle", "rust", "recursive", "old", "blue")
SECOND = ("names", "harbours", "euros", "orders", "lighthouses", "dollars")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of prompts; each candidate is right on its own kind, and on every fourth of the other."""
    place = tmp_path_factory.mktemp("aptitude") / "table.csv"
    rows = [
        (f"{kind}-{i}-{j}", words.format(first, second), name, float(name == kind or (i + j) % 4 == 0))
        for kind, words in KINDS.items()
        for i, first in enumerate(FIRST)
        for j, second in enumerate(SECOND)
        for name in KINDS
    ]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality"]), place)
    return place


@pytest.fixture(scope="module")
def router(table: Path) -> Path:
    params = table.parent / "params.yaml"
    params.write_text("train: {router: aptitude, aptitude: {tasks: 4, shots: 6}}\n", encoding="utf-8")
    fit(table, table.parent / "router", "aptitude", params=params, threads=1, as_json=True)
    return table.parent / "router"


def filled(router: Path, table: Path, place: Path, kind: str, count: int | None = None) -> Path:
    """A sheet with the answers of a candidate that is right on prompts of one kind."""
    export(place, folder=router, table=table, count=count, as_json=True)
    frame = read_table(place).drop(columns="line")
    write_table(frame.assign(quality=[str(int(name.startswith(kind))) for name in frame["prompt_id"]]), place)
    return place


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_candidate_joins_by_its_graded_sheet(
    router: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = filled(router, table, tmp_path / "sheet.csv", "poet")
    exported = said(capsys)
    assert (exported["missing"], exported["items"]) == ([], exported["of"])
    out = tmp_path / "with-newcomer"
    import_("newcomer", results, folder=router, out=out, as_json=True)
    facts = said(capsys)
    assert (facts["answers"], facts["folder"]) == (exported["of"], str(out))
    accuracies = [task["accuracy"]["value"] for task in facts["tasks"]]  # type: ignore[attr-defined]
    assert facts["level"]["low"] < 0.5 < facts["level"]["high"]  # type: ignore[index]
    assert min(accuracies) < 0.5 < max(accuracies)
    before, after = open_router(router), open_router(out)
    assert after.candidates == (*before.candidates, "newcomer")
    expected = after.predict(["Compose a loud poem about ferries for a wedding"]).quality[0]
    assert expected[2] > expected[0]
    assert open_router(router).candidates == before.candidates


def test_fewer_answers_are_told_to_be_less_sure(
    router: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = filled(router, table, tmp_path / "few.csv", "poet", count=4)
    capsys.readouterr()
    import_("newcomer", results, folder=router, out=tmp_path / "out", dry_run=True)
    told = capsys.readouterr().out
    assert "read 4 answers of newcomer to" in told
    times = float(told.split(" wide on average, ")[1].split(" times")[0])
    assert times > 1.1
    assert "would write a router with newcomer" in told
    assert not (tmp_path / "out").exists()


def test_a_faulty_file_writes_nothing(router: Path, table: Path, tmp_path: Path) -> None:
    results = filled(router, table, tmp_path / "sheet.csv", "poet")
    frame = read_table(results).drop(columns="line")
    frame.loc[5, "quality"] = ""
    write_table(frame, results)
    with pytest.raises(TableError, match=r"sheet\.csv, line 7: quality is empty"):
        import_("newcomer", results, folder=router, out=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet.csv"]
    import_("newcomer", results, folder=router, out=tmp_path / "out", partial=True)
    assert (tmp_path / "out").is_dir()


def test_slips_are_told(router: Path, table: Path, tmp_path: Path) -> None:
    results = filled(router, table, tmp_path / "sheet.csv", "poet")
    with pytest.raises(InputError, match="knows 'poet' already"):
        import_("poet", results, folder=router, out=tmp_path / "out")
    with pytest.raises(InputError, match="--from and --out belong together"):
        import_("newcomer", results, folder=router)
    with pytest.raises(InputError, match="--version and --from exclude each other"):
        import_("newcomer", results, "2", folder=router, out=tmp_path / "out")
    with pytest.raises(InputError, match="name the table that it was fitted on with --table"):
        export(tmp_path / "again.csv", folder=router)
    with pytest.raises(InputError, match=r"sheet\.csv exists"):
        export(results, folder=router, table=table)
    with pytest.raises(InputError, match="router exists"):
        import_("newcomer", results, folder=router, out=router)


def test_a_router_without_a_test_says_so(table: Path, tmp_path: Path) -> None:
    fit(table, tmp_path / "words", "tfidf", threads=1)
    with pytest.raises(InputError, match="a tfidf router has no aptitude test"):
        export(tmp_path / "sheet.csv", folder=tmp_path / "words", table=table)
