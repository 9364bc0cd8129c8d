"""`switchtender fit` on a team's own table, and what bad input is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_table import command

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


def test_an_unknown_agent_is_named_with_its_line(prompts: Path) -> None:
    agents = prompts.parent / "agents.yaml"
    text = "does a thing that is described here at some length, and nothing else."
    agents.write_text("\n".join(f"- {{name: {n}, owner: o, usd_per_call: 0.1, latency_ms: 5, description: '{text}'}}"
                                for n in ("billing", "repairs")))  # fmt: skip
    done = command("fit", prompts, "--router", "tfidf", "--agents", agents, "--out", "o", cwd=prompts.parent)
    assert done.returncode == 2
    assert "line 2" not in done.stderr
    assert "unknown agent 'sales'" in done.stderr
