"""`switchtender predict`: a row a prompt and candidate; with a pool, today's prices and who may answer."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from own_table import command

from pipeline.data.pool import read_labels
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import write_table
from switchtender.verbs.fit import fit
from switchtender.verbs.predict import predict

NAMES = ("big", "small")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Sixteen prompts, answered well by `big` at ten times the cost."""
    rows = [
        (f"p{i}", f"question number {i} {'x' * i}", name, quality, (100 + i) * price)
        for i in range(16)
        for name, quality, price in (("big", 0.9, 1e-5), ("small", 0.4 + 0.1 * (i % 2), 1e-6))
    ]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality", "cost"]), tmp_path / "t.csv")
    return tmp_path / "t.csv"


def pool(folder: Path, big: str = "") -> Path:
    entries = [
        f"- {{name: {name}, usd_per_million_in: {usd}, usd_per_million_out: {usd}, context_tokens: 500, owner: us{s}}}"
        for name, usd, s in (("big", 10, big), ("small", 1, ""))
    ]
    (folder / "pool.yaml").write_text("\n".join(entries))
    return folder / "pool.yaml"


def fitted(table: Path, priced: bool, policy: str = "") -> Path:
    folder = table.parent / "router"
    params = None
    if policy:
        params = table.parent / "params.yaml"
        params.write_text(f"train: {{router: tfidf, policy: {policy}}}\n")
    fit(table, folder, "tfidf", params=params, threads=1, pool=pool(table.parent) if priced else None, as_json=True)
    return folder


def predicted(router: Path, table: Path, with_pool: Path | None) -> pd.DataFrame:
    predict(router, table, table.parent / "out.csv", 1, with_pool, as_json=True)
    return pd.read_csv(table.parent / "out.csv").pivot(index="prompt_id", columns="candidate")


def test_a_changed_price_changes_the_costs_of_a_priced_router(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    router = fitted(table, priced=True)
    before = predicted(router, table, pool(table.parent))["cost"]
    assert before.loc["p3", "big"] == pytest.approx(103e-5, rel=0.02)
    pool(table.parent).write_text(pool(table.parent).read_text().replace(": 10,", ": 20,"))
    after = predicted(router, table, table.parent / "pool.yaml")["cost"]
    assert (after["big"] / before["big"]).tolist() == pytest.approx([2.0] * 16)
    assert after["small"].tolist() == before["small"].tolist()
    assert '"prices": "pool"' in capsys.readouterr().out


def test_retired_candidates_are_not_chosen_and_unanswered_prompts_are_told(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    router = fitted(table, priced=False)
    assert predicted(router, table, None)["chosen"]["big"].all()
    assert predicted(router, table, pool(table.parent, ", state: retired"))["chosen"]["small"].all()
    asked = pd.DataFrame({"prompt_id": ["a", "b"], "prompt": ["short", "x" * 4000]})
    write_table(asked, table.parent / "asked.csv")
    predict(router, table.parent / "asked.csv", table.parent / "out.csv", 1, pool(table.parent))
    said = capsys.readouterr().out
    assert "no candidate is chosen for 1 of them, such as 'b'" in said
    assert "costs are by the prices of training" in said


def test_labels_of_a_table_are_held_against_never_send(table: Path) -> None:
    router = fitted(table, priced=False)
    asked = pd.DataFrame({"prompt_id": ["a", "b"], "prompt": ["one", "two"], "labels": ["Health|other", ""]})
    write_table(asked, table.parent / "asked.csv")
    chosen = predicted(router, table.parent / "asked.csv", pool(table.parent, ", never_send: [health]"))["chosen"]
    assert chosen["big"].tolist() == [0, 1]
    assert chosen["small"].tolist() == [1, 0]
    assert read_labels(table.parent / "asked.csv", ["b", "a"]) == [(), ("Health", "other")]
    assert read_labels(table, ["p0"]) is None


BARRED = ("health", ["health"], ["a", "health"], "Health |a", '["health"]', "['health', 'a']", "a/health")
UNREADABLE = ("health, a", "health;a", "{health}", ["health, a"], [["health"]], {"health": 1}, "health|", [""])


@pytest.fixture(scope="module")
def barring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A router that always prefers `big`, and a pool that bars it from health."""
    folder = tmp_path_factory.mktemp("barring")
    rows = [(f"p{i}", f"question {i}", n, q) for i in range(12) for n, q in (("big", 1.0), ("small", 0.1 * (i % 2)))]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality"]), folder / "t.csv")
    return fitted(folder / "t.csv", priced=False), pool(folder, ", never_send: [health]")


def asked(folder: Path, *labels: object, column: str = "labels") -> Path:
    rows = [{"prompt_id": f"a{i}", "prompt": "question 1", column: cell} for i, cell in enumerate(labels)]
    (folder / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "asked.jsonl"


def test_a_list_of_labels_bars_like_a_cell(barring: tuple[Path, Path], tmp_path: Path) -> None:
    chosen = predicted(barring[0], asked(tmp_path, *BARRED, "healthy", None, []), barring[1])["chosen"]
    assert chosen["big"].tolist() == [0] * len(BARRED) + [1, 1, 1]
    assert chosen["small"].tolist() == [1] * len(BARRED) + [0, 0, 0]


@pytest.mark.parametrize("cell", UNREADABLE, ids=str)
def test_labels_that_cannot_be_read_send_nothing(cell: object, barring: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"asked\.jsonl, line 2: labels "):
        predict(barring[0], asked(tmp_path, "health", cell), tmp_path / "out.csv", 1, barring[1])
    assert not (tmp_path / "out.csv").exists()


def test_labels_that_are_not_there_are_told(
    barring: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(barring[0], asked(tmp_path, "health", column="label"), tmp_path / "out.csv", 1, barring[1])
    assert "has no column 'labels', so that never_send" in capsys.readouterr().err
    with pytest.raises(InputError, match="has a column 'Labels', which is not read"):
        predict(barring[0], asked(tmp_path, "health", column="Labels"), tmp_path / "out.csv", 1, barring[1])


def test_a_pool_that_lacks_a_candidate_stops_the_fit_and_the_prediction(table: Path) -> None:
    router, short = fitted(table, priced=False), pool(table.parent)
    short.write_text(short.read_text().splitlines()[0])
    for run in (
        lambda: fit(table, table.parent / "other", "tfidf", threads=1, pool=short),
        lambda: predict(router, table, table.parent / "out.csv", 1, short),
    ):
        with pytest.raises(InputError, match="the pool has no candidate 'small'"):
            run()
    assert not (table.parent / "other").exists()


def test_the_policy_stands_in_the_params(table: Path) -> None:
    router = fitted(table, priced=False, policy="{kind: budget, budget_usd: 0.0005}")
    assert predicted(router, table, None)["chosen"]["small"].all()
    assert json.loads((router / "router.json").read_text())["policy"] == {"kind": "budget", "usd": 0.0005}


def test_predictions_have_a_row_a_prompt_and_candidate(prompts: Path) -> None:
    folder = prompts.parent
    command("fit", prompts, "--router", "tfidf", "--out", folder / "router", cwd=folder)
    command("predict", folder / "router", prompts, "--out", folder / "p.csv", cwd=folder)
    frame = pd.read_csv(folder / "p.csv")
    assert list(frame.columns) == ["prompt_id", "candidate", "score", "cost", "chosen", "learnt"]
    assert len(frame) == 36 * 3
    assert set(frame["chosen"]) == {0, 1}
    assert frame["score"].between(0, 1).all()


def test_a_place_that_cannot_be_written_is_said(prompts: Path) -> None:
    folder = prompts.parent
    command("fit", prompts, "--router", "tfidf", "--out", "router", cwd=folder)
    (folder / "file").write_text("")
    for out, said in (
        ("file/p.csv", "file is a file, not a folder"),
        ("p.tsv", "unknown ending '.tsv'"),
        (".", "is a directory"),
    ):
        done = command("predict", "router", prompts, "--out", out, cwd=folder)
        assert done.returncode == 2
        assert said in done.stderr
    done = command("crossval", prompts, "--router", "tfidf", "--pictures", "file", cwd=folder)
    assert done.returncode == 2
    assert "file is a file, not a folder" in done.stderr
