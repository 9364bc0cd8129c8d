"""`switchtender fit` on a team's own table, and what bad input is answered with."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from own_table import command
from sandbox import ROOT

from pipeline.runtime.checksums import sha256_folder
from pipeline.runtime.tables import write_table
from switchtender.own_tables import training_params
from switchtender.verbs.fit import fit

BAD = {
    "a missing column": (b"prompt_id,prompt\na,one\n", "neither 'agents' nor 'candidate'"),
    "a missing prompt column": (b"prompt_id,agents\na,x\n", "lacks the column 'prompt'"),
    "a duplicate id": (b"prompt_id,prompt,agents\na,one,x\na,one,y\n", "line 3: prompt_id 'a' stands twice"),
    "an id with two texts": (
        b"prompt_id,prompt,agents\na,one,x\na,one ,y\n",
        "'a' has another text in line 2",
    ),
    "a trailing separator": (
        b"prompt_id,prompt,agents\na,one,x|\nb,two,y\n",
        "line 2: agents is 'x|', with a",
    ),
    "an endless cost": (b"prompt_id,prompt,candidate,quality,cost\na,one,x,1,inf\n", "line 2: cost is infinite"),
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


def test_the_params_name_the_router_and_another_wish_is_refused(prompts: Path) -> None:
    params = prompts.with_name("own.yaml")
    params.write_text("train:\n  router: tfidf\n", encoding="utf-8")
    done = command("fit", prompts, "--params", params, "--out", "o", "--json", cwd=prompts.parent)
    assert json.loads(done.stdout)["router"] == "tfidf"
    done = command("fit", prompts, "--params", params, "--router", "knn", "--out", "p", cwd=prompts.parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "has train.router: tfidf, and --router is knn" in done.stderr
    params.write_text("train:\n  epochs: 2\n", encoding="utf-8")
    done = command("fit", prompts, "--params", params, "--router", "tfidf", "--out", "q", cwd=prompts.parent)
    assert done.returncode == 0, done.stderr


def test_without_a_wish_a_table_gets_the_router_that_nights_fit_on_its_kind(tmp_path: Path) -> None:
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    silent = tmp_path / "params.yaml"
    silent.write_text("train: {epochs: 2}\n", encoding="utf-8")
    for section, is_labels in ((shipped, True), (shipped["models"], False)):
        for params in (None, silent):
            assert training_params(params, None, is_labels)[0] == section["train"]["router"]
            assert training_params(params, "knn", is_labels)[0] == "knn"


def test_labels_that_contradict_each_other_lonely_agents_and_settings_of_nights_are_told(prompts: Path) -> None:
    rows = pd.read_csv(prompts)
    odd = rows.iloc[[0, 1]].assign(prompt_id=["twice", "alone"], prompt=[rows.prompt[0].upper(), "an ode to the sea"])
    write_table(pd.concat([rows, odd.assign(agents=["sales", "poetry"])]), prompts)
    params = prompts.with_name("own.yaml")
    params.write_text("run: {threads: two}\ntrain: {router: tfidf}\n", encoding="utf-8")
    done = command("fit", prompts, "--params", params, "--out", "o", cwd=prompts.parent)
    assert done.returncode == 0, done.stderr
    assert "warning: 1 prompt with several labels, such as" in done.stderr
    assert "warning: one prompt alone names poetry, too few to learn from" in done.stderr
    assert "the section run of" in done.stderr


def test_an_unknown_agent_is_named_with_its_line(prompts: Path) -> None:
    agents = prompts.parent / "agents.yaml"
    text = "does a thing that is described here at some length, and nothing else."
    agents.write_text("\n".join(f"- {{name: {n}, owner: o, usd_per_call: 0.1, latency_ms: 5, description: '{text}'}}"
                                for n in ("billing", "repairs")))  # fmt: skip
    done = command("fit", prompts, "--router", "tfidf", "--agents", agents, "--out", "o", cwd=prompts.parent)
    assert done.returncode == 2
    assert "line 2" not in done.stderr
    assert "unknown agent 'sales'" in done.stderr


@pytest.mark.parametrize(
    ("third", "told"), [("x", "exactly one agent"), ("x|y", "their thresholds, at least one"), ("", "or none")]
)
def test_it_says_how_many_agents_a_prompt_will_get(
    third: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"p{n}", f"case {n}", agents) for n, agents in enumerate(["x", "y", third, "y", "x", "y"])]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "agents"]), tmp_path / "t.csv")
    fit(tmp_path / "t.csv", tmp_path / "router", "tfidf")
    said = " ".join(capsys.readouterr().out.split())
    assert "tfidf fitted on 6 prompts, 2 candidates" in said
    assert told in said


def test_one_candidate_leaves_nothing_to_choose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"p{n}", f"case {n}", "x") for n in range(4)]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "agents"]), tmp_path / "t.csv")
    fit(tmp_path / "t.csv", tmp_path / "router", "tfidf")
    assert "warning: x is the only candidate" in capsys.readouterr().err


def test_the_fitted_router_is_the_same_from_every_kind_of_file(prompts: Path) -> None:
    frame = pd.read_csv(prompts)
    lists = frame.assign(agents=frame["agents"].str.split("|"))
    tables = [prompts, *(prompts.with_name(name) for name in ("t.parquet", "t.jsonl", "printed.csv"))]
    lists.to_parquet(tables[1])
    lists.to_json(tables[2], orient="records", lines=True)
    lists.to_csv(tables[3], index=False)
    for number, table in enumerate(tables):
        fit(table, prompts.with_name(f"router{number}"), "tfidf", threads=1, as_json=True)
    assert len({sha256_folder(prompts.with_name(f"router{number}")) for number in range(4)}) == 1


def test_odd_names_are_told_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("gpt-x ", "gpt-x", "GPT-X", "a, b")
    rows = [(f"p{i}", f"question {i}", names[i % 4], 1) for i in range(12)]
    pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality"]).to_csv(tmp_path / "t.csv", index=False)
    fit(tmp_path / "t.csv", tmp_path / "out", "tfidf", threads=1)
    said = capsys.readouterr()
    assert "3 candidates" in said.out
    assert sorted(line[:30] for line in said.err.splitlines()) == [
        "warning: 'GPT-X' and 'gpt-x' d", "warning: 'a, b' is read as one"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [("fit", "prompts.csv", "--out", "made"), ("crossval", "prompts.csv"), ("recommend", "prompts.csv")],
)
def test_a_gpu_that_is_not_there_is_one_line(prompts: Path, arguments: tuple[str, ...]) -> None:
    done = command(*arguments, "--router", "tfidf", "--device", "cuda", cwd=prompts.parent)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("torch finds no GPU here; set run.device (--device) to auto or cpu")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (prompts.parent / "made").exists()
