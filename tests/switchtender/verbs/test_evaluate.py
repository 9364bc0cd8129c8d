"""`switchtender evaluate` on predictions of a router that was fitted on the same kind of table."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from own_table import LABELS, command


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_fit_predict_and_evaluate_in_every_format(prompts: Path, ending: str) -> None:
    folder = prompts.parent
    frame = pd.read_csv(prompts)
    table, predictions = folder / f"table.{ending}", folder / f"predictions.{ending}"
    {"csv": lambda: frame.to_csv(table, index=False), "parquet": lambda: frame.to_parquet(table),
     "jsonl": lambda: frame.to_json(table, orient="records", lines=True)}[ending]()  # fmt: skip
    fitted = command("fit", table, "--router", "tfidf", "--out", folder / "router", "--json", cwd=folder)
    assert json.loads(fitted.stdout)["candidates"] == list(LABELS), fitted.stderr
    assert command("predict", folder / "router", table, "--out", predictions, cwd=folder).returncode == 0
    report = json.loads(command("evaluate", predictions, table, "--json", cwd=folder).stdout)
    assert report["kind"] == "labels"
    assert report["metrics"]["micro_f1"]["value"] > 0.9


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


def test_judging_on_what_was_learnt_is_told_aside_and_new_prompts_are_not(prompts: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(prompts)
    learnt, new = tmp_path / "learnt.csv", tmp_path / "new.csv"
    frame[:24].to_csv(learnt, index=False)
    frame[24:].to_csv(new, index=False)
    assert command("fit", learnt, "--router", "tfidf", "--out", "router", cwd=tmp_path).returncode == 0
    told = []
    # The same prompts under other ids and in capitals are the same prompts.
    again = frame[:24].assign(prompt_id=[f"other{i}" for i in range(24)], prompt=frame[:24]["prompt"].str.upper())
    again.to_csv(tmp_path / "again.csv", index=False)
    frame[20:].to_csv(tmp_path / "some.csv", index=False)
    for table in (learnt, tmp_path / "again.csv", new, tmp_path / "some.csv"):
        assert command("predict", "router", table, "--out", "p.csv", cwd=tmp_path).returncode == 0
        told.append(command("evaluate", "p.csv", table, cwd=tmp_path).stderr)
    assert "learnt from 24 of these 24 prompts" in told[0]
    assert "learnt from 24 of these 24 prompts" in told[1]
    assert told[2] == ""
    assert "learnt from 4 of these 16 prompts" in told[3]


def test_a_budget_without_costs_is_refused_before_anything_is_fitted(prompts: Path) -> None:
    done = command("recommend", prompts, "--router", "no such router", "--budget", "0.01", cwd=prompts.parent)
    assert done.returncode == 2
    assert "--budget needs costs" in done.stderr, "the router would be refused next"
    assert "--agents agents.yaml" in done.stderr
