"""A verdict is read as it was written, those of release 0.1.0 too, and what is no verdict is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sandbox import ROOT

from pipeline.gating.results import GateResult, parse_verdict, write_verdict

OLD = ROOT / "tests/golden/0.1.0/artifact/artifacts/router/evidence/verdict.json"
GATE = {"gate": "champion_cost", "value": None, "limit": 0.1, "verdict": "passed", "reason": "no costs are known"}


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    gates = [GateResult("quality", 0.5, 0.4, "passed", "why"), GateResult("x", None, 0, "failed", "why", "champion")]
    write_verdict(gates, tmp_path)
    content = json.loads((tmp_path / "gate/verdict.json").read_text(encoding="utf-8"))
    found = parse_verdict(content)
    assert (found.verdict, found.gates) == ("failed", tuple(gates))
    assert [gate["against"] for gate in content["gates"]] == ["limit", "champion"]


def test_people_are_told_none_where_there_is_no_limit_to_keep() -> None:
    gate = GateResult("cost_usd", 0.002, None, "passed", "no ceiling is set")
    assert (gate.told_limit, gate.to_json()["limit"]) == ("none", None)
    assert GateResult("cost_usd", 0.002, 0.0, "failed", "above the ceiling").told_limit == 0.0


def test_a_verdict_of_release_0_1_0_is_told_by_the_names_of_its_gates() -> None:
    gates = parse_verdict(json.loads(OLD.read_text(encoding="utf-8"))).gates
    assert {gate.gate: gate.against for gate in gates if gate.against != "limit"} == {"champion_micro_f1": "champion"}
    assert len(gates) == 6


def test_what_a_gate_says_of_itself_outweighs_its_name() -> None:
    (found,) = parse_verdict({"verdict": "passed", "gates": [{**GATE, "against": "limit"}]}).gates
    assert found.against == "limit"


@pytest.mark.parametrize(
    "content",
    [None, [], {}, {"gates": []}, {"verdict": "passed", "gates": [{}]}, {"verdict": "passed", "gates": [1]},
     {"verdict": "passed", "gates": [{**GATE, "limit": "low"}]},
     {"verdict": "passed", "gates": [{**GATE, "against": "x"}]}],
)  # fmt: skip
def test_what_is_no_verdict_is_refused(content: Any) -> None:
    with pytest.raises(ValueError):
        parse_verdict(content)
