"""What made a version: an in-toto statement (v1) with the SLSA provenance predicate (v1), as canonical JSON (RFC 8785).

https://in-toto.io/Statement/v1 and https://slsa.dev/provenance/v1; subjects are the files of the version itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rfc8785

from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.text import parse_json

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:switchtender:nightly:1"
DATA, STAGE_OUTPUT, CODE, ENCODER = "data", "stage output", "code", "encoder"
CAPABILITY_ENCODER, LANGUAGE_MODEL, TAG_GENERATOR = "capability encoder", "language model", "tag generator"
PROMPT_TEMPLATE = "prompt template"
BASE_MODELS = (ENCODER, CAPABILITY_ENCODER, LANGUAGE_MODEL, TAG_GENERATOR, PROMPT_TEMPLATE)
"""The roles of published models that a version was made with, and of what belongs to them."""


@dataclass(frozen=True)
class Material:
    """Something that went in. `role` says as what; `notes` hold further facts, such as DVC's md5 of an output."""

    name: str
    digest: Mapping[str, str]
    role: str
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Build:
    """One night as its provenance tells it; times are UTC, ISO 8601.

    `tree_sha256` is over every file of the commit, since git's own names are SHA-1. `records` is the signed head of
    the project's logs as it was then: logs that do not begin so were cut or written anew.
    """

    run_key: str
    commit: str
    params: JsonObject
    environment: Mapping[str, str | int]
    materials: tuple[Material, ...]
    started: str
    ended: str
    release: str
    tree_sha256: str = ""
    records: str = ""


def statement(build: Build, subjects: Mapping[str, str]) -> bytes:
    """The statement's canonical bytes; `subjects` gives the sha256 of each of the version's files by path."""
    value: Any = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"params": _plain(build.params)},
                "internalParameters": {
                    "environment": dict(build.environment),
                    **({"records": build.records} if build.records else {}),
                },
                "resolvedDependencies": [
                    {"name": "git", "digest": _of_commit(build), "annotations": {"role": CODE}},
                    *(_dependency(material) for material in sorted(build.materials, key=lambda m: (m.role, m.name))),
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:switchtender:nightly", "version": {"switchtender": build.release}},
                "metadata": {
                    "invocationId": build.run_key,
                    "startedOn": build.started,
                    "finishedOn": build.ended,
                },
            },
        },
    }
    return rfc8785.dumps(value)


def _of_commit(build: Build) -> dict[str, str]:
    return {"gitCommit": build.commit, **({"sha256": build.tree_sha256} if build.tree_sha256 else {})}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _dependency(material: Material) -> JsonObject:
    return {
        "name": material.name,
        "digest": dict(material.digest),
        "annotations": {"role": material.role, **material.notes},
    }


def read_statement(path: Path) -> JsonObject:
    """A statement of the kind that `statement` writes.

    Raises:
        VerificationFailed: it is missing, cannot be read, is not canonical, or is of another kind.
    """
    try:
        content = path.read_bytes()
        value: JsonObject = parse_json(content)
        kind = (value["_type"], value["predicateType"], value["predicate"]["buildDefinition"]["buildType"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationFailed(f"{path} cannot be read ({error}); do not use that version") from error
    if kind != (STATEMENT, PREDICATE, BUILD_TYPE):
        raise VerificationFailed(f"{path} is of a kind that this release does not read; use a matching release")
    if rfc8785.dumps(value) != content:
        raise VerificationFailed(f"{path} is not canonical JSON, so it was changed; do not use that version")
    return value


@dataclass(frozen=True)
class Provenance:
    """A statement, read: what a version was made of."""

    run_key: str
    commit: str
    params: JsonObject
    environment: dict[str, str | int]
    materials: tuple[Material, ...]
    started: str
    ended: str
    subjects: dict[str, str]
    tree_sha256: str
    records: str

    def of(self, *roles: str) -> list[Material]:
        """The materials of these roles."""
        return [material for material in self.materials if material.role in roles]


def read_provenance(path: Path) -> Provenance:
    """Read and check a statement.

    Raises:
        VerificationFailed: see `read_statement`.
    """
    value = read_statement(path)
    build, details = value["predicate"]["buildDefinition"], value["predicate"]["runDetails"]["metadata"]
    git, *others = build["resolvedDependencies"]
    materials = tuple(
        Material(
            item["name"],
            item["digest"],
            item["annotations"]["role"],
            {key: note for key, note in item["annotations"].items() if key != "role"},
        )
        for item in others
    )
    return Provenance(
        run_key=details["invocationId"],
        commit=git["digest"]["gitCommit"],
        params=build["externalParameters"]["params"],
        environment=build["internalParameters"]["environment"],
        materials=materials,
        started=details["startedOn"],
        ended=details["finishedOn"],
        subjects={item["name"]: item["digest"]["sha256"] for item in value["subject"]},
        tree_sha256=git["digest"].get("sha256", ""),
        records=build["internalParameters"].get("records", ""),
    )
