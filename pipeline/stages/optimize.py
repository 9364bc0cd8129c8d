"""Stage `optimize`: the encoder that answers in service, in ONNX, and the training rows that answers lead back to.

int8 is kept where, on held-out folds inside train, it routes as well as fp32 but for a small stated loss; else the
fp32 graph serves. Nothing of the holdout is looked at.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.holdout import truth_in
from pipeline.data.outcomes import SEPARATOR, split_agents
from pipeline.data.stage_rows import read_rows
from pipeline.encoders.engine_files import DESCRIPTION, ENGINE
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.onnx_encoder import FORMAT, FP32, INT8, OnnxEncoder
from pipeline.encoders.training_index import training_index_of
from pipeline.metrics.bootstrap import bootstrap, interval, resamples
from pipeline.metrics.multilabel import headline
from pipeline.policies.policy import BestPolicy, SubsetPolicy
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import Summary, run_stage_on_track
from pipeline.runtime.tables import sha256_folder, write_json
from pipeline.runtime.track import AGENTS, Track

NAME = "optimize"
COMPARISON = "precisions.json"
NO_ENCODER = "none"
PARITY_PROMPTS = 64
_RESAMPLES = 2000


class OptimizeParams(Section):
    """Whether int8 is tried, what it may cost, and how many training rows an answer can lead back to."""

    int8: bool
    max_loss: float = Field(ge=0, le=1)
    training_rows: int = Field(ge=0)


def optimize(params: OptimizeParams, run: RunParams, track: Track = AGENTS) -> Summary:
    """Write the `engine` folder and how the precisions compare.

    Raises:
        SwitchtenderError: the encoder cannot be exported, or the export does not say what torch says.
    """
    trained, out = track.stages / "train" / "router", track.stages / NAME
    router = open_router(trained)
    engine = out / ENGINE
    engine.mkdir(parents=True, exist_ok=True)
    if not isinstance(router.scorer.embedding, FrozenEmbedding):
        write_json({"format": FORMAT, "precision": NO_ENCODER}, engine / DESCRIPTION)
        write_json({"precision": NO_ENCODER, "prompts": 0, "differing": []}, out / COMPARISON)
        return {"precision": NO_ENCODER, "engine_sha256": sha256_folder(engine)}
    learnt = read_rows(track, track.learnt)
    rows = learnt.labelled()
    real = rows[rows["parents"] == ""].reset_index(drop=True) if "parents" in rows.columns else rows
    comparison = compare_precisions(router, _held_out(track, router.candidates), params, learnt.graded)
    comparison["fp32_differs_from_torch"] = _export(router.scorer.embedding, engine, comparison["precision"], real)
    if params.training_rows:
        _write_training_rows(trained, engine, real, params.training_rows, run)
    write_json(comparison, out / COMPARISON)
    return _summary(comparison, engine)


def compare_precisions(
    router: CalibratedRouter,
    held_out: dict[str, pd.DataFrame],
    params: OptimizeParams,
    graded: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """int8 beside fp32 on held-out rows: the headline figure of each, the loss with its paired 95 % interval, and what
    is routed differently.

    `held_out` has a table for each precision: prompt_id, agents, and a probability a candidate. Where outcomes were
    `graded`, they are compared by quality first: that is where a precision can differ.
    """
    if not params.int8 or not len(held_out[FP32]):
        return {"precision": FP32, "prompts": len(held_out[FP32]), "differing": [], "reason": "int8 was not measured"}
    names = list(router.candidates)
    first = headline(truth_in(held_out[FP32], names, graded))
    quality = {which: table[names].to_numpy(np.float32) for which, table in held_out.items()}
    policy = router.policy if isinstance(router.policy, SubsetPolicy) else BestPolicy()
    chosen = {which: policy.choose(values) for which, values in quality.items()}
    draws = resamples(len(held_out[FP32]), _RESAMPLES, seed=0)
    boots = {which: bootstrap(first.statistic, first.truth, values, draws) for which, values in chosen.items()}
    spread = boots[FP32] - boots[INT8]
    figures = {which: round(first.statistic(first.truth, values), 6) for which, values in chosen.items()}
    loss = round(figures[FP32] - figures[INT8], 6)
    low, high = interval(spread)
    passed = loss <= params.max_loss
    verdict = "at most" if passed else "more than"
    return {
        "precision": INT8 if passed else FP32,
        "prompts": len(held_out[FP32]),
        "metric": first.name,
        first.name: figures,
        "loss": {"value": loss, "low": round(low, 6), "high": round(high, 6)},
        "limit": params.max_loss,
        "reason": f"int8 loses {loss:.4f} of {first.name} on held-out folds, {verdict} {params.max_loss}",
        "largest_difference": round(float(np.abs(quality[FP32] - quality[INT8]).max()), 6),
        "differing": _differing(held_out[FP32], chosen, names),
    }


def _differing(rows: pd.DataFrame, chosen: dict[str, Any], names: list[str]) -> list[dict[str, str]]:
    """Rows that the precisions route differently: their label and both choices."""

    def named(row: Any, which: str) -> str:
        return SEPARATOR.join(name for name, hit in zip(names, chosen[which][row], strict=True) if hit)

    found = np.flatnonzero((chosen[FP32] != chosen[INT8]).any(axis=1))
    return [
        {
            "prompt_id": str(rows["prompt_id"].iloc[row]),
            "label": str(rows["agents"].iloc[row]),
            FP32: named(row, FP32),
            INT8: named(row, INT8),
        }
        for row in found
    ]


def _held_out(track: Track, candidates: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    table = pd.read_parquet(track.stages / "train" / "quantised.parquet")
    return {
        which: table[table["precision"] == which][["prompt_id", "agents", *candidates]].reset_index(drop=True)
        for which in (FP32, INT8)
    }


def _export(embedding: FrozenEmbedding, engine: Path, precision: str, rows: pd.DataFrame) -> float:
    """Write the chosen precision; the fp32 graph is held against torch in either case. Returns that difference."""
    from pipeline.encoders.onnx_export import export, require_parity

    encoder = embedding.loaded()
    with tempfile.TemporaryDirectory() as place:
        exact = engine if precision == FP32 else Path(place)
        export(encoder, exact, FP32)
        prompts = [str(text) for text in rows["prompt"].head(PARITY_PROMPTS)]
        difference = require_parity(encoder, OnnxEncoder.load(exact), prompts)
    if precision == INT8:
        export(encoder, engine, INT8)
    return round(difference, 9)


def _write_training_rows(trained: Path, engine: Path, rows: pd.DataFrame, most: int, run: RunParams) -> None:
    kept = rows if len(rows) <= most else rows.sample(most, random_state=run.seed).sort_index()
    reading = open_router(trained, engine=engine, threads=run.threads).read([str(text) for text in kept["prompt"]])
    if reading is None:
        raise RuntimeError("a router with an encoder reads prompts")
    agents = [split_agents(str(text)) for text in kept["agents"]]
    training_index_of(reading.vectors[reading.first], [str(name) for name in kept["prompt_id"]], agents).save(engine)


def _summary(comparison: dict[str, Any], engine: Path) -> Summary:
    metric = comparison.get("metric", "")
    return {
        "precision": comparison["precision"],
        "prompts": comparison["prompts"],
        **{f"{which}_{metric}": value for which, value in comparison.get(metric, {}).items()},
        "routed_differently": len(comparison["differing"]),
        "fp32_differs_from_torch": comparison["fp32_differs_from_torch"],
        "engine_megabytes": round(sum(path.stat().st_size for path in engine.iterdir()) / 1e6, 1),
        "engine_sha256": sha256_folder(engine),
    }


def _run(track: Track) -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads)
    return optimize(track.read(NAME, OptimizeParams), run, track)


if __name__ == "__main__":
    run_stage_on_track(NAME, _run)
