"""`switchtender candidate add` on a router's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from own_table import command

NAMES = ("small", "large", "newcomer")
POOL = "".join(
    f"- {{name: {name}, usd_per_million_in: {usd}, usd_per_million_out: {usd}, context_tokens: 4096, owner: test}}\n"
    for name, usd in zip(NAMES, (0.1, 2, 1), strict=True)
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Outcomes of all three candidates on two kinds of prompts, with what each call cost."""
    rows = ["prompt_id,prompt,candidate,quality,cost"]
    for number in range(40):
        prompt = f"add {number} and {number + 1}" if number % 2 else f"a poem about {number} geese"
        rows += [f"p{number},{prompt},{name},{int((c + number) % 2)},0.00{c + 1}" for c, name in enumerate(NAMES)]
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join(rows) + "\n")
    (tmp_path / "known.csv").write_text("\n".join(row for row in rows if "newcomer" not in row) + "\n")
    (tmp_path / "pool.yaml").write_text(POOL)
    return path


def test_a_candidate_joins_a_router_that_knows_prices_by_its_own(
    table: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    params, pool = tmp_path / "params.yaml", tmp_path / "pool.yaml"
    params.write_text(f"train: {{encoder: {tiny_encoder}, max_tokens: 32}}\n")
    fit = ("fit", tmp_path / "known.csv", "--router", "tags", "--params", params, "--pool", pool)
    done = command(*fit, "--out", tmp_path / "router", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    add = ("candidate", "add", "newcomer", table, "--from", tmp_path / "router", "--out", tmp_path / "joined")
    refused = command(*add, cwd=tmp_path)
    assert refused.returncode == 2
    assert "fitted with the prices of a pool" in refused.stderr
    done = command(*add, "--pool", pool, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["candidates"] == ["large", "small", "newcomer"]
    without = command("candidate", "add", "newcomer", table, "--pool", pool, cwd=tmp_path)
    assert (without.returncode, "--pool goes with --from" in without.stderr) == (2, True)
