"""`fit`, `predict`, `evaluate` and `crossval` on a team's own table, and what bad input is answered with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

AGENTS = ("billing", "repairs", "sales")
WORDS = {"billing": "invoice refund charge", "repairs": "broken leak noise", "sales": "price offer quote"}


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "switchtender", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    rows = []
    for number in range(36):
        first, second = AGENTS[number % 3], AGENTS[(number + 1) % 3]
        both = number % 4 == 0
        text = f"{WORDS[first]} case {number}" + (f" and {WORDS[second]}" if both else "")
        rows.append((f"r{number}", text, f"{first}|{second}" if both else first))
    path = tmp_path / "prompts.csv"
    pd.DataFrame(rows, columns=["prompt_id", "prompt", "agents"]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_fit_predict_and_evaluate_in_every_format(prompts: Path, ending: str) -> None:
    folder = prompts.parent
    frame = pd.read_csv(prompts)
    table, predictions = folder / f"table.{ending}", folder / f"predictions.{ending}"
    {"csv": lambda: frame.to_csv(table, index=False), "parquet": lambda: frame.to_parquet(table),
     "jsonl": lambda: frame.to_json(table, orient="records", lines=True)}[ending]()  # fmt: skip
    fitted = command("fit", table, "--router", "tfidf", "--out", folder / "router", "--json", cwd=folder)
    assert json.loads(fitted.stdout)["candidates"] == list(AGENTS), fitted.stderr
    assert command("predict", folder / "router", table, "--out", predictions, cwd=folder).returncode == 0
    report = json.loads(command("evaluate", predictions, table, "--json", cwd=folder).stdout)
    assert report["kind"] == "labels"
    assert report["metrics"]["micro_f1"]["value"] > 0.9


def test_predictions_have_a_row_a_prompt_and_candidate(prompts: Path) -> None:
    folder = prompts.parent
    command("fit", prompts, "--router", "tfidf", "--out", folder / "router", cwd=folder)
    command("predict", folder / "router", prompts, "--out", folder / "p.csv", cwd=folder)
    frame = pd.read_csv(folder / "p.csv")
    assert list(frame.columns) == ["prompt_id", "candidate", "score", "cost", "chosen"]
    assert len(frame) == 36 * 3
    assert set(frame["chosen"]) == {0, 1}
    assert frame["score"].between(0, 1).all()


def test_graded_outcomes_are_fitted_and_judged_by_quality_and_cost(tmp_path: Path) -> None:
    rows = [
        (f"r{i}", f"{'sum' if i % 2 else 'poem'} number {i}", model, float((model == "big") or i % 2), price)
        for i in range(40)
        for model, price in (("big", 0.01), ("small", 0.001))
    ]
    pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality", "cost"]).to_parquet(
        tmp_path / "o.parquet"
    )
    assert command("fit", "o.parquet", "--router", "tfidf", "--out", "r", cwd=tmp_path).returncode == 0
    assert command("predict", "r", "o.parquet", "--out", "p.csv", cwd=tmp_path).returncode == 0
    report = json.loads(command("evaluate", "p.csv", "o.parquet", "--json", cwd=tmp_path).stdout)
    assert report["best_single"] == "big"
    assert report["metrics"]["oracle"]["quality"]["value"] == 1.0
    assert report["metrics"]["router"]["quality"]["value"] > report["metrics"]["random"]["quality"]["value"]


def test_crossval_judges_each_row_by_a_router_that_did_not_see_it(prompts: Path) -> None:
    done = command("crossval", prompts, "--router", "tfidf", "--folds", "3", "--json", cwd=prompts.parent)
    report = json.loads(done.stdout)
    assert report["folds"] == 3
    assert report["metrics"]["micro_f1"]["value"] > 0.8


GOOD = "prompt_id,prompt,agents\na,one,x\nb,two,y\nc,three,x\n"
BAD = {
    "a missing column": (b"prompt_id,prompt\na,one\n", "neither 'agents' nor 'candidate'"),
    "a missing prompt column": (b"prompt_id,agents\na,x\n", "lacks the column 'prompt'"),
    "a duplicate id": (b"prompt_id,prompt,agents\na,one,x\na,two,y\n", "line 3"),
    "an empty file": (b"", "is empty"),
    "a header alone": (b"prompt_id,prompt,agents\n", "has no rows"),
    "another encoding": ("prompt_id,prompt,agents\na,für,x\n".encode("latin-1"), "not UTF-8"),
    "an empty prompt": (b"prompt_id,prompt,agents\na,,x\nb,two,y\n", "line 2"),
    "an agent twice": (b"prompt_id,prompt,agents\na,one,x|x\nb,two,y\n", "named twice"),
    "a ragged row": (b"prompt_id,prompt,agents\na,one,two,x\n", "line 2"),
    "no agent at all": (b"prompt_id,prompt,agents\na,one,\nb,two,\n", "names no agent"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    content, expected = BAD[case]
    (tmp_path / "t.csv").write_bytes(content)
    done = command("fit", "t.csv", "--router", "tfidf", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "t.csv" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fit", "nothing.csv", "--out", "o"), "nothing.csv does not exist"),
        (("fit", ".", "--out", "o"), "is a directory"),
        (("fit", "t.txt", "--out", "o"), "unknown ending '.txt'"),
        (("fit", "t.csv", "--router", "oracle", "--out", "o"), "unknown router 'oracle'"),
        (("fit", "t.csv", "--out", "t.csv"), "t.csv exists"),
        (("predict", "nowhere", "t.csv", "--out", "p.csv"), "nowhere holds no router"),
        (("evaluate", "t.csv", "t.csv"), "lacks the column 'candidate'"),
        (("fit", "t.csv", "--agents", "absent.yaml", "--out", "o"), "absent.yaml is missing"),
        (("nightly",), "not inside a Switchtender project"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "t.txt").write_text(GOOD)
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.txt"]


def test_an_unknown_agent_is_named_with_its_line(prompts: Path) -> None:
    agents = prompts.parent / "agents.yaml"
    text = "does a thing that is described here at some length, and nothing else."
    agents.write_text("\n".join(f"- {{name: {n}, owner: o, usd_per_call: 0.1, latency_ms: 5, description: '{text}'}}"
                                for n in ("billing", "repairs")))  # fmt: skip
    done = command("fit", prompts, "--router", "tfidf", "--agents", agents, "--out", "o", cwd=prompts.parent)
    assert done.returncode == 2
    assert "line 2" not in done.stderr
    assert "unknown agent 'sales'" in done.stderr


def test_a_place_that_cannot_be_written_is_said(prompts: Path) -> None:
    folder = prompts.parent
    command("fit", prompts, "--router", "tfidf", "--out", "router", cwd=folder)
    (folder / "file").write_text("")
    done = command("predict", "router", prompts, "--out", "file/p.csv", cwd=folder)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_no_verb_imports_a_heavy_library_before_it_needs_one() -> None:
    heavy = ["torch", "mlflow", "prefect", "pandas", "great_expectations", "transformers"]
    code = f"import sys, switchtender.__main__; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", ["nightly", "status", "route", "fit", "predict", "evaluate", "crossval", "doctor"])
def test_every_verb_has_an_example(verb: str, tmp_path: Path) -> None:
    done = command(verb, "--help", cwd=tmp_path)
    assert f"Example: switchtender {verb}" in " ".join(done.stdout.split())
