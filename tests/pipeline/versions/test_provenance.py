"""The statement is what in-toto and SLSA say, canonical, and comes back as it went in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from pipeline.runtime.errors import VerificationFailed
from pipeline.versions.provenance import DATA, STAGE_OUTPUT, Build, Material, read_provenance, statement

BUILD = Build(
    run_key="nightly-2026-01-02-0003",
    commit="c" * 40,
    params={"train": {"epochs": 6, "rate": 0.0004}},
    environment={"python": "3.11.7", "threads": 2},
    materials=(
        Material("data/prompts.csv", {"sha256": "a" * 64}, DATA, {"md5": "d" * 32}),
        Material("var/stages/split/train.parquet", {"sha256": "b" * 64}, STAGE_OUTPUT, {"md5": "e" * 32}),
    ),
    started="2026-01-02T00:00:00+00:00",
    ended="2026-01-02T00:05:00+00:00",
    release="0.1.0",
)
SUBJECTS = {"model/router.json": "f" * 64, "evidence/lineage.parquet": "0" * 64}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "provenance.json"
    made.write_bytes(statement(BUILD, SUBJECTS))
    return made


def test_it_is_a_valid_in_toto_statement_with_slsa_provenance(path: Path) -> None:
    value = json.loads(path.read_bytes())
    Statement.copy_from_pb(ParseDict(value, statement_pb2.Statement())).validate()
    ParseDict(value["predicate"], provenance_pb2.Provenance())
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "https://slsa.dev/provenance/v1"
    assert set(value["predicate"]) == {"buildDefinition", "runDetails"}


def test_all_that_went_in_comes_out(path: Path) -> None:
    found = read_provenance(path)
    assert (found.run_key, found.commit, found.subjects) == (BUILD.run_key, BUILD.commit, SUBJECTS)
    assert {m.name for m in found.materials} == {m.name for m in BUILD.materials}
    assert found.of(DATA) == [BUILD.materials[0]]
    assert (found.params, found.environment) == (BUILD.params, BUILD.environment)
    assert (found.started, found.ended) == (BUILD.started, BUILD.ended)


def test_equal_facts_give_equal_bytes() -> None:
    backwards = Build(**{**BUILD.__dict__, "materials": BUILD.materials[::-1]})
    assert statement(BUILD, SUBJECTS) == statement(backwards, dict(reversed(SUBJECTS.items())))


@pytest.mark.parametrize(("old", "new"), [
    ('"_type"', ' "_type"'), ("slsa.dev/provenance/v1", "slsa.dev/provenance/v9"), ("{", "["),
])  # fmt: skip
def test_what_is_not_such_a_statement_is_refused(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(VerificationFailed):
        read_provenance(path)


def test_a_missing_statement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match="cannot be read"):
        read_provenance(tmp_path / "none.json")
