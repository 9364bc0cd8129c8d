"""What a version consists of, for machines."""

from __future__ import annotations

import json

from pipeline.metrics.bootstrap import Estimate
from pipeline.versions.bill_of_materials import bill_of_materials
from pipeline.versions.provenance import (
    BASE_MODELS,
    CAPABILITY_ENCODER,
    CODE,
    DATA,
    ENCODER,
    PROMPT_TEMPLATE,
    TAG_GENERATOR,
    Build,
    Material,
)

MATERIALS = (
    Material("data/prompts.csv", {"sha256": "a" * 64}, DATA),
    Material("dvc.yaml", {"sha256": "b" * 64}, CODE),
    Material("owner/encoder", {"gitCommit": "c" * 40}, ENCODER),
    Material("owner/encoder", {"gitCommit": "c" * 40}, CAPABILITY_ENCODER),
    Material("owner/generator", {"gitCommit": "d" * 40}, TAG_GENERATOR),
    Material("template.yaml", {"sha256": "e" * 64}, PROMPT_TEMPLATE),
)
BUILD = Build("nightly-1", "d" * 40, {}, {}, MATERIALS, "2026-01-01T00:00:00+00:00", "2026-01-01T00:10:00+00:00", "1.0")
FILES = {"model/router.json": "e" * 64, "evidence/metrics.json": "f" * 64}


def test_the_model_its_data_its_encoder_and_every_package_are_listed_once() -> None:
    found = bill_of_materials(BUILD, FILES, {"micro_f1": Estimate(0.87, 0.8, 0.9)})
    assert json.dumps(found) == json.dumps(bill_of_materials(BUILD, FILES, {"micro_f1": Estimate(0.87, 0.8, 0.9)}))
    parts = {part["bom-ref"]: part for part in found["components"]}
    assert len(parts) == len(found["components"])
    assert parts["data:data/prompts.csv"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert parts["encoder:owner/encoder"]["version"] == "c" * 40
    assert {name: parts[name]["type"] for name in parts if name.partition(":")[0] in BASE_MODELS} == {
        "encoder:owner/encoder": "machine-learning-model", "capability encoder:owner/encoder": "machine-learning-model",
        "tag generator:owner/generator": "machine-learning-model", "prompt template:template.yaml": "file",
    }  # fmt: skip
    assert any(name.startswith("pkg:pypi/torch@") for name in parts)
    model = found["metadata"]["component"]
    assert found["dependencies"] == [{"ref": model["bom-ref"], "dependsOn": list(parts)}]
    assert [file["name"] for file in model["components"]] == ["model/router.json"]
    (metric,) = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metric["confidenceInterval"] == {"lowerBound": "0.8", "upperBound": "0.9"}
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": "data:data/prompts.csv"}]
