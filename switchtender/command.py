"""The verbs. Heavy libraries are imported inside the verb that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="switchtender",
    help="Keeps a prompt router good and accountable: retrain nightly, gate, register, route.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 gate not passed, 4 verification failed, 5 held by another run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Router = Annotated[str, typer.Option("--router", help="classifier | linear | knn | tfidf")]
AgentsFile = Annotated[
    Path | None, typer.Option("--agents", help="agents.yaml: fixes which agents may occur, and their costs.")
]


@app.command(epilog="Example: switchtender nightly --json")
def nightly(
    json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a night would do, and do nothing.")] = False,
) -> None:
    """Retrain, gate and register, if anything is new. Exits 3 where a gate did not pass."""
    from switchtender.night import print_night

    print_night(json, dry_run)


@app.command(epilog="Example: switchtender status --json")
def status(json: Json = False) -> None:
    """Which version serves, which challenges, and how the last night ended."""
    from switchtender.reading import print_status

    print_status(json)


@app.command(epilog='Example: switchtender route "Translate this contract into German and email it to Ana"')
def route(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    json: Json = False,
    version: Annotated[str, typer.Option("--version", help="A version number or alias.")] = "champion",
    router: Annotated[Path | None, typer.Option("--from", help="A folder made by `fit` instead of a version.")] = None,
) -> None:
    """Which agents answer a prompt, with the score of each."""
    from switchtender.reading import print_route

    print_route(prompt, json, version, router)


@app.command(epilog="Example: switchtender fit prompts.csv --router classifier --out my-router")
def fit(
    table: Annotated[Path, typer.Argument(help="Prompts or outcomes: .csv, .parquet or .jsonl")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it must not exist yet.")],
    router: Router = "classifier",
    agents: AgentsFile = None,
    params: Annotated[
        Path | None, typer.Option("--params", help="Take the section `train` of this params.yaml.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 7,
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    json: Json = False,
) -> None:
    """Fit a router on a table of your own."""
    from switchtender.tables import fit_table

    fit_table(table, out, router, agents, params, seed, threads, json)


@app.command(epilog="Example: switchtender predict my-router prompts.csv --out predictions.csv")
def predict(
    router: Annotated[Path, typer.Argument(help="A folder made by `fit`.")],
    table: Annotated[Path, typer.Argument(help="A table with prompt_id and prompt.")],
    out: Annotated[Path, typer.Option("--out", help="prompt_id,candidate,score,cost,chosen: a row a pair.")],
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    json: Json = False,
) -> None:
    """Score every candidate for every prompt of a table."""
    from switchtender.tables import predict_table

    predict_table(router, table, out, threads, json)


@app.command(epilog="Example: switchtender evaluate predictions.csv truth.csv --json")
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A table made by `predict`.")],
    truth: Annotated[Path, typer.Argument(help="Prompts or outcomes with the right answers.")],
    json: Json = False,
) -> None:
    """Compare predictions with the truth: multi-label metrics, or quality and cost."""
    from switchtender.tables import evaluate_table

    evaluate_table(predictions, truth, json)


@app.command(epilog="Example: switchtender crossval prompts.csv --router tfidf --json")
def crossval(
    table: Annotated[Path, typer.Argument(help="Prompts or outcomes; a column `fold` is used where there is one.")],
    router: Router = "classifier",
    agents: AgentsFile = None,
    folds: Annotated[int, typer.Option("--folds", min=2)] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 7,
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    json: Json = False,
) -> None:
    """Fit and judge once a fold; no row is judged by a router that saw it."""
    from switchtender.tables import crossval_table

    crossval_table(table, router, agents, folds, seed, threads, json)


@app.command(epilog="Example: switchtender doctor")
def doctor(json: Json = False) -> None:
    """Check what a night needs, and say how to mend what is missing."""
    from switchtender.reading import print_doctor

    print_doctor(json)
