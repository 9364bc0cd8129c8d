"""`fit`: a router of one's own table, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from switchtender.options import (
    AgentsFile,
    DeviceOption,
    Json,
    ParamsFile,
    PoolFile,
    Precision,
    Seed,
    Threads,
    WishedSystem,
)
from switchtender.own_tables import (
    count_unsupported_languages,
    fast_reading,
    outcomes_of,
    training_params,
    warn_of_labels,
    warn_of_names,
)
from switchtender.show import print_json, say, say_aside, size_of, training_bar, warn_of_languages

if TYPE_CHECKING:
    from pipeline.policies.policy import Policy

app = typer.Typer()


@app.command(epilog="Example: switchtender fit prompts.csv --router classifier --out my-router")
def fit(
    table: Annotated[Path, typer.Argument(help="Prompts or outcomes: .csv, .parquet or .jsonl")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it must not exist yet.")],
    system: WishedSystem = None,
    agents: AgentsFile = None,
    params: ParamsFile = None,
    seed: Seed = 7,
    threads: Threads = 2,
    pool: PoolFile = None,
    precision: Precision = "fp32",
    device: DeviceOption = "auto",
    as_json: Json = False,
) -> None:
    """Fit a router on a table of your own."""
    from pipeline.data.pool import read_pool
    from pipeline.routers.fitting import fit_router, learnt_digest, refuse_existing, save_whole
    from pipeline.runtime.reproducibility import pin

    refuse_existing(out)
    outcomes = outcomes_of(table, agents)
    prices = read_pool(pool) if pool else ()
    warn_of_names(each.name for each in prices)
    pin(seed, threads, device)
    router_name, finetuning, policy = training_params(params, system, outcomes.is_labels)
    with fast_reading(precision, threads), training_bar(router_name) as advance:
        router = fit_router(router_name, outcomes, finetuning, seed, advance, policy, prices)
        languages = count_unsupported_languages(router, outcomes.prompts)
    save_whole(router, out, map(learnt_digest, outcomes.prompts))
    if as_json:
        answers = {"policy": router.policy.to_json()["kind"], "answers": _answers(router.policy)}
        learnt = {"prompts": len(outcomes), "candidates": list(outcomes.candidates)}
        print_json({"router": router_name, "folder": str(out), **learnt, **answers})
    else:
        say(f"{router_name} fitted on {size_of(len(outcomes), len(outcomes.candidates))}: {out}")
        say(f"It answers a prompt by {_answers(router.policy)}.")
    warn_of_labels(outcomes)
    warn_of_languages(languages, len(outcomes))
    if len(outcomes.candidates) == 1:
        say_aside(f"warning: {outcomes.candidates[0]} is the only candidate, so that there is nothing to choose")


def _answers(policy: Policy) -> str:
    """What a router gives a prompt, in words: how many candidates it chooses follows from the table."""
    from pipeline.policies.policy import SubsetPolicy

    if not isinstance(policy, SubsetPolicy):
        return f"one candidate, by the policy {policy.to_json()['kind']}"
    if policy.exactly_one:
        return "exactly one agent, as each prompt of the table has"
    return f"the agents that reach their thresholds, {'at least one' if policy.at_least_one else 'or none'}"
