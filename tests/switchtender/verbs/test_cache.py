"""`switchtender cache`, and what the verbs on tables of one's own put into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from own_table import command


def test_the_second_router_finds_what_the_first_one_read_until_it_is_cleared(
    prompts: Path, tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHTENDER_CACHE", str(tmp_path / "cache"))
    params = tmp_path / "params.yaml"
    params.write_text(f"train:\n  encoder: {tiny_encoder}\n  max_tokens: 32\n")

    def cached(*options: str) -> int:
        return int(json.loads(command("cache", *options, "--json", cwd=tmp_path).stdout)["prompts"])

    assert cached() == 0
    for system in ("knn", "linear"):
        out = tmp_path / system
        done = command("fit", prompts, "--router", system, "--params", params, "--out", out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert cached() == 36
    done = command("predict", tmp_path / "knn", prompts, "--out", tmp_path / "p.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert cached("--clear") == 0
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    monkeypatch.setenv("SWITCHTENDER_CACHE", "off")
    assert "there is none" in command("cache", cwd=tmp_path).stdout
    assert json.loads(command("cache", "--json", cwd=tmp_path).stdout)["folder"] is None
