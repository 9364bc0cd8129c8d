"""What a version consists of, as CycloneDX 1.6 JSON: the model with its card, data, base encoder, and packages.

https://cyclonedx.org/docs/1.6/json/ (model cards came with 1.5). The libraries that write CycloneDX have no model
cards, so the few objects that are needed are written here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from importlib import metadata

from pipeline.metrics.bootstrap import Estimate
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.track import MODELS, track_of
from pipeline.versions.provenance import BASE_MODELS, DATA, PROMPT_TEMPLATE, Build, Material

_SPACE = uuid.UUID("6f0c1d4e-3f0f-5d53-9d0b-0a8f6d1a7d10")
"""Serial numbers are made from run keys in it, so that the same night gives the same document."""


def bill_of_materials(build: Build, subjects: Mapping[str, str], figures: Mapping[str, Estimate]) -> JsonObject:
    """The document; `subjects` are the sha256 of the version's files by path, `figures` those of the holdout."""
    data = [_file(m, "data") for m in build.materials if m.role == DATA]
    base = [
        _file(m, "file" if m.role == PROMPT_TEMPLATE else "machine-learning-model")
        for m in build.materials
        if m.role in BASE_MODELS
    ]
    packages = list(_packages())
    model = _model(build, subjects, figures, [str(component["bom-ref"]) for component in data])
    parts: list[JsonObject] = [*data, *base, *packages]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, f'{build.run_key} {build.commit}')}",
        "version": 1,
        "metadata": {
            "timestamp": build.ended,
            "tools": {"components": [{"type": "application", "name": "switchtender", "version": build.release}]},
            "component": model,
        },
        "components": parts,
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _model(
    build: Build, subjects: Mapping[str, str], figures: Mapping[str, Estimate], datasets: Iterable[str]
) -> JsonObject:
    ranks = track_of(build.run_key) is MODELS
    task = "choice of a language model for a prompt" if ranks else "multi-label text classification"
    return {
        "type": "machine-learning-model",
        "bom-ref": build.run_key,
        "name": f"switchtender router ({track_of(build.run_key).name})",
        "version": build.run_key,
        "components": [
            {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [_sha256(digest)]}
            for name, digest in sorted(subjects.items())
            if name.startswith("model/")
        ],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": task,
                "datasets": [{"ref": ref} for ref in datasets],
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "names and a probability for each"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": [_metric(name, one) for name, one in figures.items()]},
        },
        "properties": [{"name": "git:commit", "value": build.commit}],
    }


def _metric(name: str, figure: Estimate) -> JsonObject:
    return {
        "type": name,
        "value": f"{figure.value:g}",
        "slice": "frozen holdout",
        "confidenceInterval": {"lowerBound": f"{figure.low:g}", "upperBound": f"{figure.high:g}"},
    }


def _file(material: Material, kind: str) -> JsonObject:
    sha256, revision = material.digest.get("sha256", ""), material.digest.get("gitCommit", "")
    return {
        "type": kind,
        "bom-ref": f"{material.role}:{material.name}",
        "name": material.name,
        **({"hashes": [_sha256(sha256)]} if sha256 else {}),
        **({"version": revision} if revision else {}),
    }


def _sha256(digest: str) -> JsonObject:
    return {"alg": "SHA-256", "content": digest}


def _packages() -> Iterable[JsonObject]:
    """Every installed package, by name; its licence where its author wrote an expression."""
    found = {str(one.metadata["Name"]).lower().replace("_", "-"): one for one in metadata.distributions()}
    for name, one in sorted(found.items()):
        expression = next(iter(one.metadata.get_all("License-Expression") or ()), "")
        url = f"pkg:pypi/{name}@{one.version}"
        yield {
            "type": "library",
            "bom-ref": url,
            "name": name,
            "version": one.version,
            "purl": url,
            **({"licenses": [{"expression": expression}]} if expression else {}),
        }
