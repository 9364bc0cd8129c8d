"""`fit`, `predict`, `evaluate` and `crossval`: a team's own tables, with no DVC, MLflow or Prefect involved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from switchtender.show import print_json, print_table, say


def fit_table(
    table: Path,
    out: Path,
    system: str,
    agents: Path | None,
    params: Path | None,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Fit on a table and save the router's folder."""
    from pipeline.determinism import pin
    from pipeline.fitting import fit_router, refuse_existing, save_whole

    refuse_existing(out)
    outcomes = _read(table, agents)
    pin(seed, threads)
    with _Progress(system) as advance:
        router = fit_router(system, outcomes, _finetuning(params), seed, advance)
    save_whole(router, out)
    facts = {"router": system, "folder": str(out), "prompts": len(outcomes), "candidates": list(outcomes.candidates)}
    if as_json:
        print_json(facts)
    else:
        say(f"{system} fitted on {len(outcomes)} prompts and {len(outcomes.candidates)} candidates: {out}")


def predict_table(router: Path, table: Path, out: Path, threads: int, as_json: bool) -> None:
    """Score a table with a saved router."""
    from pipeline.determinism import pin
    from pipeline.outcomes import read_prompts
    from pipeline.routers.systems import open_router
    from pipeline.tables import write_table

    ids, prompts = read_prompts(table)
    pin(0, threads)
    predictions = open_router(router).predict(prompts)
    write_table(predictions.table(ids), out)
    if as_json:
        print_json({"prompts": len(ids), "candidates": len(predictions.candidates), "out": str(out)})
    else:
        say(f"{len(ids)} prompts, {len(predictions.candidates)} candidates: {out}")


def evaluate_table(predictions: Path, truth: Path, as_json: bool) -> None:
    """Score a predictions table."""
    from pipeline.scoring import score_files

    _show(score_files(predictions, truth), as_json)


def crossval_table(
    table: Path, system: str, agents: Path | None, folds: int, seed: int, threads: int, as_json: bool
) -> None:
    """Cross-validate one system on a table."""
    from pipeline.determinism import pin
    from pipeline.fitting import crossvalidate, outer_folds
    from pipeline.scoring import score

    outcomes = _read(table, agents)
    pin(seed, threads)
    parts = outer_folds(outcomes, folds, seed)
    with _Progress(system) as advance:
        predictions = crossvalidate(system, outcomes, parts, _finetuning(None), seed, advance)
    _show({"router": system, "folds": len(set(parts.tolist())), **score(predictions, outcomes)}, as_json)


def _read(table: Path, agents: Path | None) -> Any:
    from pipeline.agents import read_agents
    from pipeline.outcomes import read_outcomes

    if agents is None:
        return read_outcomes(table)
    known = read_agents(agents)
    return read_outcomes(table, [agent.name for agent in known], {agent.name: agent.usd_per_call for agent in known})


def _finetuning(params: Path | None) -> Any:
    from pipeline.params import read
    from pipeline.routers.settings import FinetuningParams
    from pipeline.training import TrainParams

    return read("train", TrainParams, params).finetuning() if params else FinetuningParams()


class _Progress:
    """A bar that counts training steps, on a terminal only."""

    def __init__(self, system: str) -> None:
        from tqdm import tqdm

        from pipeline.stage import shows_progress

        self.bar = tqdm(desc=system, unit="step", disable=not shows_progress(), leave=False)

    def __enter__(self) -> Any:
        def advance(where: str) -> None:
            self.bar.set_postfix_str(where, refresh=False)
            self.bar.update()

        return advance

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    title = f"{report['prompts']} prompts, {report['candidates']} candidates"
    flat = {}
    for name, figure in report["metrics"].items():
        nested = figure if "value" not in figure else {"": figure}
        flat.update({f"{name} {part}".strip(): value for part, value in nested.items()})
    print_table(
        title, ["metric", "value", "95 % from", "to"], [[n, f["value"], f["low"], f["high"]] for n, f in flat.items()]
    )
    if "per_candidate" in report:
        rows = [[r["candidate"], r["precision"], r["recall"], r["f1"], r["support"]] for r in report["per_candidate"]]
        print_table("by candidate", ["candidate", "precision", "recall", "F1", "support"], rows)
