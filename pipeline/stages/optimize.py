"""Stage `optimize`: the encoder that answers in service, in ONNX, and the training rows that answers lead back to.

int8 is kept where, on held-out folds inside train, it routes as well as fp32 but for a small stated loss; else the
fp32 graph serves. Nothing of the holdout is looked at.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.holdout import truth_in
from pipeline.data.outcomes import split_agents
from pipeline.data.stage_rows import read_rows
from pipeline.encoders.engine_files import DESCRIPTION, ENGINE
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.onnx_encoder import FORMAT, FP32, INT8, OnnxEncoder
from pipeline.encoders.training_index import training_index_of
from pipeline.metrics.multilabel import headline
from pipeline.metrics.precision_loss import PrecisionChoice, PrecisionLoss, differing
from pipeline.policies.policy import BestPolicy, SubsetPolicy
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.runtime.checksums import sha256_folder
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import Summary, run_stage_on_track
from pipeline.runtime.tables import write_json
from pipeline.runtime.track import AGENTS, Track

NAME = "optimize"
COMPARISON = "precisions.json"
NO_ENCODER = "none"
PARITY_PROMPTS = 64


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
        write_json(PrecisionChoice(NO_ENCODER, 0).to_json(), out / COMPARISON)
        return {"precision": NO_ENCODER, "engine_sha256": sha256_folder(engine)}
    learnt = read_rows(track, track.learnt)
    rows = learnt.labelled()
    real = rows[rows["parents"] == ""].reset_index(drop=True) if "parents" in rows.columns else rows
    choice = compare_precisions(router, _held_out(track, router.candidates), params, learnt.graded)
    difference = _export(router.scorer.embedding, engine, choice.precision, real)
    choice = replace(choice, fp32_differs_from_torch=difference)
    if params.training_rows:
        _write_training_rows(trained, engine, real, params.training_rows, run)
    write_json(choice.to_json(), out / COMPARISON)
    return _summary(choice, engine)


def compare_precisions(
    router: CalibratedRouter,
    held_out: dict[str, pd.DataFrame],
    params: OptimizeParams,
    graded: pd.DataFrame | None = None,
) -> PrecisionChoice:
    """int8 beside fp32 on held-out rows: the headline figure of each, the loss with its paired 95 % interval, and what
    is routed differently.

    `held_out` has a table for each precision: prompt_id, agents, and a probability a candidate. Where outcomes were
    `graded`, they are compared by quality first: that is where a precision can differ.
    """
    rows, names = held_out[FP32], list(router.candidates)
    if not params.int8 or not len(rows):
        return PrecisionChoice(FP32, len(rows), reason="int8 was not measured")
    quality = {which: table[names].to_numpy(np.float32) for which, table in held_out.items()}
    policy = router.policy if isinstance(router.policy, SubsetPolicy) else BestPolicy()
    chosen = {which: policy.choose(values) for which, values in quality.items()}
    change = float(np.abs(quality[FP32] - quality[INT8]).max())
    measured = PrecisionLoss.of(headline(truth_in(rows, names, graded)), chosen[FP32], chosen[INT8], change)
    loss, passed = measured.loss.value, measured.loss.value <= params.max_loss
    verdict = "at most" if passed else "more than"
    ids, labels = ([str(cell) for cell in rows[name]] for name in ("prompt_id", "agents"))
    return PrecisionChoice(
        precision=INT8 if passed else FP32,
        prompts=len(rows),
        differing=differing(ids, labels, chosen[FP32], chosen[INT8], names),
        reason=f"int8 loses {loss:.4f} of {measured.metric} on held-out folds, {verdict} {params.max_loss}",
        limit=params.max_loss,
        measured=measured,
    )


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


def _summary(choice: PrecisionChoice, engine: Path) -> Summary:
    found = choice.measured
    figures = {f"fp32_{found.metric}": found.fp32, f"int8_{found.metric}": found.int8} if found else {}
    return {
        "precision": choice.precision,
        "prompts": choice.prompts,
        **figures,
        "routed_differently": len(choice.differing),
        "fp32_differs_from_torch": choice.fp32_differs_from_torch,
        "engine_megabytes": round(sum(path.stat().st_size for path in engine.iterdir()) / 1e6, 1),
        "engine_sha256": sha256_folder(engine),
    }


def _run(track: Track) -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return optimize(track.read(NAME, OptimizeParams), run, track)


if __name__ == "__main__":
    run_stage_on_track(NAME, _run)
