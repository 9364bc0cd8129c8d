"""The verbs for tables of one's own: no DVC, MLflow or Prefect is involved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from switchtender.options import DryRun, Json

app = typer.Typer()
Router = Annotated[
    str, typer.Option("--router", help="classifier | tags | tasks | aptitude | linear | knn | clusters | tfidf")
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Graded outcomes: also fit knn, linear and clusters.")
]
Pictures = Annotated[
    Path | None, typer.Option("--pictures", help="Graded outcomes: a folder for cost_quality.png and slices.png.")
]
PoolOption = Annotated[
    Path | None, typer.Option("--pool", help="pool.yaml: prices; at a prediction also who may answer what.")
]
AgentsFile = Annotated[
    Path | None, typer.Option("--agents", help="agents.yaml: fixes which agents may occur, and their costs.")
]


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
    pool: PoolOption = None,
    json: Json = False,
) -> None:
    """Fit a router on a table of your own."""
    from switchtender.tables import fit_table

    fit_table(table, out, router, agents, params, seed, threads, json, pool)


@app.command(epilog="Example: switchtender predict my-router prompts.csv --out predictions.csv")
def predict(
    router: Annotated[Path, typer.Argument(help="A folder made by `fit`.")],
    table: Annotated[Path, typer.Argument(help="A table with prompt_id and prompt.")],
    out: Annotated[Path, typer.Option("--out", help="prompt_id,candidate,score,cost,chosen: a row a pair.")],
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    pool: PoolOption = None,
    json: Json = False,
) -> None:
    """Score every candidate for every prompt of a table."""
    from switchtender.tables import predict_table

    predict_table(router, table, out, threads, json, pool)


@app.command(epilog="Example: switchtender evaluate predictions.csv truth.csv --json")
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A table made by `predict`.")],
    truth: Annotated[Path, typer.Argument(help="Prompts or outcomes with the right answers.")],
    train: Annotated[
        Path | None, typer.Option("--train", help="Outcomes of other prompts: baselines are chosen and fitted there.")
    ] = None,
    baselines: Baselines = True,
    pictures: Pictures = None,
    json: Json = False,
) -> None:
    """Compare predictions with the truth: multi-label metrics, or quality and cost."""
    from switchtender.tables import evaluate_table

    evaluate_table(predictions, truth, train, baselines, pictures, json)


@app.command(epilog="Example: switchtender crossval prompts.csv --router tfidf --json")
def crossval(
    table: Annotated[Path, typer.Argument(help="Prompts or outcomes; a column `fold` is used where there is one.")],
    router: Router = "classifier",
    agents: AgentsFile = None,
    folds: Annotated[int, typer.Option("--folds", min=2)] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 7,
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    baselines: Baselines = True,
    pictures: Pictures = None,
    json: Json = False,
) -> None:
    """Fit and judge once a fold; no row is judged by a router that saw it."""
    from switchtender.tables import crossval_table

    crossval_table(table, router, agents, folds, seed, threads, baselines, pictures, json)


@app.command(epilog="Example: switchtender recommend outcomes.parquet --router knn --budget 0.002")
def recommend(
    table: Annotated[Path, typer.Argument(help="Prompts or outcomes; a column `fold` is used where there is one.")],
    router: Annotated[
        list[str] | None, typer.Option("--router", help="May be repeated; by default knn, linear and clusters compete.")
    ] = None,
    agents: AgentsFile = None,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0.0, help="The most that a prompt may cost on average, in USD.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2)] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 7,
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    json: Json = False,
) -> None:
    """One model, a mixture of two or a router: what a table speaks for, and how surely."""
    from switchtender.recommending import recommend_table

    recommend_table(table, tuple(router or ()), agents, budget, folds, seed, threads, json)


@app.command("import", epilog="Example: switchtender import routerbench routerbench_0shot.pkl --out outcomes.parquet")
def import_(
    format_name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="routerbench | routerdc | routellm | alpacaeval | llmrouterbench | routerarena"
        ),
    ],
    path: Annotated[Path, typer.Argument(help="The file or folder as its project publishes it.")],
    out: Annotated[Path, typer.Option("--out", help="The .parquet, .csv or .jsonl to write; it must not exist yet.")],
    prices: Annotated[
        Path | None, typer.Option("--prices", help="A price file such as data/prices.yaml, for costs from tokens.")
    ] = None,
    json: Json = False,
) -> None:
    """Turn a public outcome table into one that `fit` takes; missing cells stay missing, costs say their origin."""
    from switchtender.importing import import_table

    import_table(format_name, path, out, prices, json)


candidate = typer.Typer(help="Language models of the pool that join a trained router.", no_args_is_help=True)


@candidate.callback()
def _candidate() -> None:
    """Language models of the pool that join a trained router."""


@candidate.command(
    epilog="Examples: switchtender candidate add new-model outcomes.parquet, or with --router DIR --out DIR"
)
def add(
    name: Annotated[str, typer.Argument(help="The candidate's name.")],
    outcomes: Annotated[Path, typer.Argument(help="Its outcomes on prompts of the router's own table.")],
    router: Annotated[Path | None, typer.Option("--router", help="A folder made by `fit`, instead of a night.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --router: the folder to write.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a new language model routable from its outcomes alone, as a new gated version; nothing is trained again."""
    from switchtender.candidates import add_candidate

    add_candidate(name, outcomes, router, out, dry_run, json)
