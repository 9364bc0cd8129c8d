"""`switchtender crossval` on a team's own table."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pytest
from own_table import command


def test_crossval_judges_each_row_by_a_router_that_did_not_see_it(prompts: Path) -> None:
    done = command("crossval", prompts, "--router", "tfidf", "--folds", "3", "--json", cwd=prompts.parent)
    report = json.loads(done.stdout)
    assert report["folds"] == 3
    assert report["metrics"]["micro_f1"]["value"] > 0.8


def test_crossval_judges_what_a_params_file_describes(prompts: Path) -> None:
    params = prompts.with_name("own.yaml")
    params.write_text("train:\n  router: tfidf\n  policy: {kind: pair}\n", encoding="utf-8")
    done = command("crossval", prompts, "--params", params, "--folds", "3", cwd=prompts.parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "policy.weak" in done.stderr, "a table of labels has no costs"
    params.write_text("train:\n  router: linear\n  encoder: ./nowhere\n", encoding="utf-8")
    done = command("crossval", prompts, "--params", params, "--folds", "3", cwd=prompts.parent)
    assert (done.returncode, "./nowhere does not exist" in done.stderr) == (2, True)
    params.write_text("train:\n  router: tfidf\n", encoding="utf-8")
    wished = command("crossval", prompts, "--router", "tfidf", "--folds", "3", "--json", cwd=prompts.parent)
    named = command("crossval", prompts, "--params", params, "--folds", "3", "--json", cwd=prompts.parent)
    assert named.stdout == wished.stdout


def test_what_stands_twice_is_not_judged_by_a_router_that_saw_it(tmp_path: Path) -> None:
    """Labels drawn at random cannot be guessed, however often each prompt stands in the table."""
    draw = random.Random(1)
    words = [
        "green",
        "window",
        "lamp",
        "clock",
        "apple",
        "horse",
        "snow",
        "glass",
        "river",
        "music",
        "cloud",
        "garden",
        "wine",
        "bread",
        "stone",
        "paper",
    ]
    once = [(" ".join(draw.sample(words, 6)), draw.choice(("coding", "email", "travel", "legal"))) for _ in range(40)]
    twice = [*once, *((f"{text.upper()} ", label) for text, label in once)]
    found = []
    for name, rows in (("once", once), ("twice", twice)):
        path = tmp_path / f"{name}.csv"
        table = pd.DataFrame([(f"r{i}", *row) for i, row in enumerate(rows)], columns=["prompt_id", "prompt", "agents"])
        table.to_csv(path, index=False)
        done = command("crossval", path, "--router", "tfidf", "--json", cwd=tmp_path)
        found.append(json.loads(done.stdout)["metrics"]["micro_f1"]["value"])
    assert found[1] == pytest.approx(found[0], abs=0.08)


def test_folds_of_ones_own_that_part_a_prompt_are_told_aside(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"r{i},prompt {i // 2},{'ab'[i % 2]},{i % 3}\n" for i in range(18))
    path.write_text(f"prompt_id,prompt,agents,fold\n{rows}")
    done = command("crossval", path, "--router", "tfidf", "--json", cwd=tmp_path)
    assert "warning: 9 prompts stand in more than one fold" in done.stderr
    assert json.loads(done.stdout)["folds"] == 3
