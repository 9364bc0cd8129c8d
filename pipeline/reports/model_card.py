"""A version's card for people, in the form of Hugging Face's model cards: metadata as YAML, then Markdown.

https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from pipeline.gating.results import GateResult
from pipeline.metrics.bootstrap import Estimate
from pipeline.reports.markdown import figure, figures_table, markdown_table
from pipeline.runtime.stage import Summary
from pipeline.runtime.track import AGENTS, MODELS, Track
from pipeline.versions.provenance import DATA, Build

_USE = """\
For prompts like those it was trained on. It was judged on a frozen holdout of the same source, so the figures say
nothing about other languages, other topics or prompts written to mislead it."""
_CHOICE = {
    AGENTS: "Its probabilities are calibrated on held-out folds. Where none reaches its threshold, the answer says so.",
    MODELS: "It estimates the quality of each candidate's answer; its policy chooses by that, and by cost where known.",
}
_LOADING = """\
```python
import mlflow

model = mlflow.pyfunc.load_model("models:/NAME@champion")
model.predict({"prompt": ["Translate this into German."]})
```

`SWITCHTENDER_PUBLIC_KEY=FILE` lets the loader check the signature. `switchtender verify` checks all of it,
`switchtender replay` trains it again, `switchtender audit --html` shows who decided what."""


def model_card(
    build: Build,
    track: Track,
    figures: Mapping[str, Estimate],
    gates: tuple[GateResult, ...],
    stages: dict[str, Summary],
) -> str:
    """The card of a finished night's router; `figures` are those of the holdout."""
    head = {
        "library_name": "switchtender",
        "pipeline_tag": "text-classification",
        "tags": ["routing", track.name],
        "model-index": [{"name": build.run_key, "results": [_result(track, figures)]}],
    }
    chosen = "one language model of a pool" if track is MODELS else "a subset of agents"
    judged = [(gate.gate, figure(gate.value), figure(gate.told_limit), gate.told_verdict) for gate in gates]
    parts = (
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# Router {build.run_key}",
        f"Sends a prompt to {chosen}. Trained by the night {build.run_key}, from commit `{build.commit}`.",
        f"## What it is for, and what not\n\n{_USE}\n{_CHOICE[track]}",
        "## On the holdout\n\n" + figures_table("figure", figures.items()),
        "## Gates\n\n" + markdown_table(("gate", "value", "limit", "verdict"), judged),
        "## Data\n\n" + "\n".join(_data(build, stages)),
        f"## How to load it\n\n{_LOADING}",
    )
    return "\n\n".join(parts) + "\n"


def _result(track: Track, figures: Mapping[str, Estimate]) -> dict[str, object]:
    metrics = [{"type": name, "value": one.value} for name, one in figures.items() if one.is_known]
    return {
        "task": {"type": "text-classification", "name": f"routing to {track.name}"},
        "dataset": {"type": "private", "name": "frozen holdout"},
        "metrics": metrics,
    }


def _data(build: Build, stages: dict[str, Summary]) -> list[str]:
    counts = stages.get("lineage", {})
    taught = f"{counts['taught']} rows taught it" if "taught" in counts else "its rows stand in its lineage"
    files = [f"- `{m.name}`, sha256 `{m.digest.get('sha256', '')}`" for m in build.materials if m.role == DATA]
    return [f"{taught}; the fate of each row stands in `evidence/lineage.parquet`.", "", *files]
