"""`switchtender aptitude run` as people call it: the price first, a bar, a kill that loses next to nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox import ROOT
from small_aptitude import plain, small_table, small_test
from stub_endpoint import Reply, Stub, completion, failure, stub_endpoint
from warm_command import run_warm

from pipeline.onboarding.aptitude_sheet import make_sheet, write_sheet
from pipeline.runtime.tables import read_table

ITEMS = 12


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_endpoint() as stub:
        yield stub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder outside of any project, with a sheet."""
    table = small_table(tmp_path / "table.csv", reference="B")
    write_sheet(make_sheet(small_test(), plain, table), ITEMS, tmp_path / "sheet.csv")
    return tmp_path


def slowly(prompt: str) -> Reply:
    time.sleep(0.05)
    return completion("B")


def told(options: tuple[str, ...]) -> list[str]:
    return ["aptitude", "run", "--model", "m", "--sheet", "sheet.csv", "--out", "results.csv", *options]


def environment_with(more: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(folder: Path, stub: Stub, *options: str, code: int = 0, **environment: str) -> tuple[str, str]:
    done = asked(folder, "--endpoint", stub.url, "--per-minute", "60000", *options, **environment)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def asked(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_warm("switchtender", told(options), folder, environment_with(environment))


PRICED = ("--input-price", "2", "--output-price", "10", "--max-tokens", "100")


def test_without_yes_the_price_is_told_and_nothing_asked(folder: Path, stub: Stub) -> None:
    out, err = run(folder, stub, *PRICED, code=2)
    assert f"{ITEMS} prompts to ask m" in out
    assert "with answers at most USD .0122 (100 tokens each)" in out
    assert err == "switchtender: nothing was asked yet; to spend that, run it again with --yes\n"
    facts = json.loads(run(folder, stub, *PRICED, "--json", code=2)[0])
    assert facts["to_ask"] == ITEMS
    assert facts["most_usd"] == pytest.approx(facts["prompts_usd"] + 0.012)
    assert "cost     unknown: no price of m" in run(folder, stub, code=2)[0]
    assert stub.bodies == []
    assert not (folder / "results.csv").exists()


def test_a_run_shows_a_bar_and_what_it_cost(folder: Path, stub: Stub) -> None:
    (folder / "key.txt").write_text("not-a-real-key-42\n", encoding="utf-8")
    stub.answer = slowly
    out, err = run(folder, stub, *PRICED, "--yes", "--key", "file:key.txt", SWITCHTENDER_PROGRESS="always")
    assert f"{ITEMS} of {ITEMS} prompts are answered: results.csv" in out
    assert "cost     USD .0036 by the endpoint's own token counts" in out
    assert re.search(rf"[1-9]\d*/{ITEMS} \[", err)
    assert "not-a-real-key" not in out + err + (folder / "results.csv").read_text(encoding="utf-8")
    assert {sent["authorization"] for sent in stub.headers} == {"Bearer not-a-real-key-42"}
    facts: dict[str, Any] = json.loads(run(folder, stub, "--json")[0])
    assert (facts["to_ask"], facts["answered"], facts["of"]) == (0, ITEMS, ITEMS)
    assert len(stub.bodies) == ITEMS


def test_a_kill_loses_at_most_the_answer_under_way(folder: Path, stub: Stub) -> None:
    stub.answer = slowly
    command = [sys.executable, "-m", "switchtender", *told(("--endpoint", stub.url, "--per-minute", "60000", "--yes"))]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment_with({})
    )
    while len(stub.bodies) < 5:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    kept = list(read_table(folder / "results.csv")["prompt_id"])
    assert len(kept) >= len(stub.bodies) - 1 >= 4
    stub.bodies.clear()
    out, _ = run(folder, stub, "--yes")
    assert f"{len(kept)} prompts are answered already" in out
    assert len(stub.bodies) == ITEMS - len(kept)
    assert list(read_table(folder / "results.csv")["prompt_id"]) == list(read_table(folder / "sheet.csv")["prompt_id"])


def test_refused_prompts_end_it_with_a_failure_that_names_them(folder: Path, stub: Stub) -> None:
    stub.first = [completion("B"), failure(422, "not such a prompt")]
    out, err = run(folder, stub, "--yes", code=1)
    assert f"{ITEMS - 1} of {ITEMS} prompts are answered" in out
    assert "1 prompts were refused, first '" in err
    assert "not such a prompt" in err
    run(folder, stub, "--yes")


def test_slips_are_one_line(folder: Path, stub: Stub) -> None:
    assert "--input-price and --output-price belong together" in run(folder, stub, "--input-price", "1", code=2)[1]
    _, err = run(folder, stub, "--key", "sk-written-by-mistake", code=2)
    assert err == "switchtender: the key is named, not written: env:NAME or file:PATH\n"
    (folder / "prices.yaml").write_text(
        'version: "1"\nas_of: 2026-11-22\ncandidates:\n'
        "  - {name: other, usd_per_million_in: 1.0, usd_per_million_out: 1.0, source: here}\n",
        encoding="utf-8",
    )
    assert "has no price of 'm'" in run(folder, stub, "--prices", "prices.yaml", code=2)[1]


def test_a_projects_settings_say_where_and_options_override_them(folder: Path, stub: Stub) -> None:
    (folder / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    (folder / "params.yaml").write_text(
        f"aptitude_run: {{endpoint: '{stub.url}', key: 'env:SOME_KEY', per_minute: 60000, max_tokens: 7}}\n",
        encoding="utf-8",
    )
    assert asked(folder, "--yes", SOME_KEY="not-a-real-key-42").stderr == ""
    assert {body["max_tokens"] for body in stub.bodies} == {7}
    assert {sent["authorization"] for sent in stub.headers} == {"Bearer not-a-real-key-42"}
    (folder / "results.csv").unlink()
    stub.bodies.clear()
    asked(folder, "--yes", "--max-tokens", "0", SOME_KEY="not-a-real-key-42")
    assert "max_tokens" not in stub.bodies[0]
