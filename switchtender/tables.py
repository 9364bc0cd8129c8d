"""`fit`, `predict`, `evaluate` and `crossval`: a team's own tables, with no DVC, MLflow or Prefect involved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from switchtender.outcome_tables import print_outcomes
from switchtender.show import print_json, print_table, say

_SEED = 7


def fit_table(
    table: Path,
    out: Path,
    system: str,
    agents: Path | None,
    params: Path | None,
    seed: int,
    threads: int,
    as_json: bool,
    pool: Path | None = None,
) -> None:
    """Fit on a table and save the router's folder; `pool` has the prices at which its outcomes were paid."""
    from pipeline.data.pool import read_pool
    from pipeline.routers.fitting import fit_router, refuse_existing, save_whole
    from pipeline.runtime.reproducibility import pin

    refuse_existing(out)
    outcomes = outcomes_of(table, agents)
    prices = read_pool(pool) if pool else ()
    pin(seed, threads)
    with Progress(system) as advance:
        router = fit_router(system, outcomes, finetuning(params), seed, advance, policy_of(params), prices)
    save_whole(router, out)
    facts = {"router": system, "folder": str(out), "prompts": len(outcomes), "candidates": list(outcomes.candidates)}
    if as_json:
        print_json(facts)
    else:
        say(f"{system} fitted on {len(outcomes)} prompts and {len(outcomes.candidates)} candidates: {out}")


def predict_table(router: Path, table: Path, out: Path, threads: int, as_json: bool, pool: Path | None = None) -> None:
    """Score a table with a saved router; on the terms of a `pool` where there is one."""
    from pipeline.data.outcomes import read_prompts
    from pipeline.data.pool import read_labels, read_pool
    from pipeline.routers.systems import open_router
    from pipeline.runtime.reproducibility import pin
    from pipeline.runtime.tables import write_table

    ids, prompts = read_prompts(table)
    entries, labels = (read_pool(pool), read_labels(table, ids)) if pool else (None, None)
    pin(0, threads)
    opened = open_router(router)
    predictions = opened.predict(prompts, entries, labels)
    write_table(predictions.table(ids), out)
    facts: dict[str, Any] = {"prompts": len(ids), "candidates": len(predictions.candidates), "out": str(out)}
    if pool or not opened.calibration:  # that no agent is needed is an answer too
        facts["unanswered"] = [name for name, row in zip(ids, predictions.chosen, strict=True) if not row.any()]
    if pool:
        facts["prices"] = "pool" if opened.can_reprice else "training"
    if as_json:
        print_json(facts)
    else:
        _say_predicted(facts)


def _say_predicted(facts: dict[str, Any]) -> None:
    say(f"{facts['prompts']} prompts, {facts['candidates']} candidates: {facts['out']}")
    if unanswered := facts.get("unanswered"):
        say(f"no candidate is chosen for {len(unanswered)} of them, such as '{unanswered[0]}'")
    if facts.get("prices") == "training":
        say("costs are by the prices of training: it was fitted without a pool, so that those of this one do not count")


def evaluate_table(
    predictions: Path, truth: Path, train: Path | None, baselines: bool, pictures: Path | None, as_json: bool
) -> None:
    """Score a predictions table; with `train`, beside baselines that were chosen and fitted there."""
    from pipeline.evaluation.fitted_baselines import LEARNT, learnt_predictions
    from pipeline.evaluation.scoring import read_predictions, read_train, score
    from pipeline.runtime.reproducibility import pin

    predicted, outcomes = read_predictions(predictions, truth)
    if outcomes.is_labels:
        _refuse_for_labels(train=train, pictures=pictures)
        _show(score(predicted, outcomes), as_json)
        return
    parts = read_train(train, outcomes) if train else None
    names = tuple(LEARNT) if parts and baselines else ()
    if names:
        pin(_SEED, 2)
    with Progress("baselines") as advance:
        learnt = learnt_predictions(names, outcomes, parts or [], finetuning(None), _SEED, advance)
    _show_outcomes(score(predicted, outcomes, learnt, parts), names, pictures, as_json)


def crossval_table(
    table: Path,
    system: str,
    agents: Path | None,
    folds: int,
    seed: int,
    threads: int,
    baselines: bool,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Cross-validate one system on a table; graded outcomes beside baselines that were fitted on the same folds."""
    from pipeline.evaluation.fitted_baselines import LEARNT
    from pipeline.evaluation.recommendation import parts_of
    from pipeline.evaluation.scoring import score
    from pipeline.routers.fitting import crossvalidate, outer_folds
    from pipeline.runtime.reproducibility import pin

    outcomes = outcomes_of(table, agents)
    pin(seed, threads)
    folded = outer_folds(outcomes, folds, seed)
    about = {"router": system, "folds": len(set(folded.tolist()))}
    if outcomes.is_labels:
        _refuse_for_labels(pictures=pictures)
        with Progress(system) as advance:
            predictions = crossvalidate(system, outcomes, folded, finetuning(None), seed, advance)
        _show({**about, **score(predictions, outcomes)}, as_json)
        return
    names = tuple(LEARNT) if baselines else ()
    found = crossvalidated((system, *names), outcomes, folded, seed)
    predictions = found.pop(system)
    report = score(predictions, outcomes, found, parts_of(outcomes, folded))
    _show_outcomes({**about, **report}, names, pictures, as_json)


def crossvalidated(systems: tuple[str, ...], outcomes: Any, folded: Any, seed: int) -> dict[str, Any]:
    """Predictions of each system on the same folds; those that share an embedding embed each prompt once."""
    from pipeline.evaluation.fitted_baselines import LEARNT, learnt_predictions
    from pipeline.evaluation.recommendation import parts_of
    from pipeline.routers.fitting import crossvalidate

    names = dict.fromkeys(systems)
    together = [name for name in names if name in LEARNT]
    found = {}
    for name in names:
        if name not in LEARNT:
            with Progress(name) as advance:
                found[name] = crossvalidate(name, outcomes, folded, finetuning(None), seed, advance)
    with Progress("baselines") as advance:
        learnt = learnt_predictions(together, outcomes, parts_of(outcomes, folded), finetuning(None), seed, advance)
    return {name: {**found, **learnt}[name] for name in names}


def _refuse_for_labels(**given: Path | None) -> None:
    """Raises InputError for an option that serves graded outcomes only."""
    from pipeline.runtime.errors import InputError

    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name} is for tables with candidate and quality, not with agents; leave it out")


def _show_outcomes(report: dict[str, Any], fitted: tuple[str, ...], pictures: Path | None, as_json: bool) -> None:
    from pipeline.evaluation.cost_quality_plots import draw_outcomes
    from pipeline.evaluation.fitted_baselines import LEARNT

    left_out = [name for name in LEARNT if name not in (*fitted, report.get("router"))]
    drawn = draw_outcomes(report, pictures) if pictures else ()
    facts = {**report, "baselines_left_out": left_out, "pictures": [str(path) for path in drawn]}
    if as_json:
        print_json(facts)
    else:
        print_outcomes(facts)


def outcomes_of(table: Path, agents: Path | None) -> Any:
    """A table's outcomes; `agents` fixes the candidates and their costs."""
    from pipeline.data.agents import read_agents
    from pipeline.data.outcomes import read_outcomes

    if agents is None:
        return read_outcomes(table)
    known = read_agents(agents)
    return read_outcomes(table, [agent.name for agent in known], {agent.name: agent.usd_per_call for agent in known})


def finetuning(params: Path | None) -> Any:
    """The section `train` of a params.yaml, or the defaults."""
    from pipeline.routers.base.settings import FinetuningParams
    from pipeline.routers.fitting import TrainParams
    from pipeline.runtime.params import read

    return read("train", TrainParams, params).finetuning() if params else FinetuningParams()


def policy_of(params: Path | None) -> Any:
    """What the section `train` of a params.yaml says of the policy, or the default."""
    from pipeline.policies.policy import AUTO
    from pipeline.routers.fitting import TrainParams
    from pipeline.runtime.params import read

    return read("train", TrainParams, params).policy if params else AUTO


class Progress:
    """A bar that counts training steps, on a terminal only."""

    def __init__(self, system: str) -> None:
        from tqdm import tqdm

        from pipeline.runtime.stage import shows_progress

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
    figures = [[name, f["value"], f["low"], f["high"]] for name, f in report["metrics"].items()]
    print_table(title, ["metric", "value", "95 % from", "to"], figures)
    rows = [[r["candidate"], r["precision"], r["recall"], r["f1"], r["support"]] for r in report["per_candidate"]]
    print_table("by candidate", ["candidate", "precision", "recall", "F1", "support"], rows)
