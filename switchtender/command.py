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
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept for good.")]
Router = Annotated[str, typer.Option("--router", help="classifier | linear | knn | clusters | tfidf")]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Graded outcomes: also fit knn, linear and clusters.")
]
Pictures = Annotated[
    Path | None, typer.Option("--pictures", help="Graded outcomes: a folder for cost_quality.png and slices.png.")
]
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


@app.command(epilog='Example: switchtender promote 2 --reason "better on rare agents, checked by hand"')
def promote(
    version: Annotated[str, typer.Argument(help="The version's number; left out with --adopt.")] = "",
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Although a gate is closed; recorded as such.")] = False,
    adopt: Annotated[bool, typer.Option("--adopt", help="Accept an alias that was moved outside.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Put a version into service: bytes proved, gates read again, compared with the champion of today."""
    from switchtender.promoting import print_promotion

    print_promotion(version, reason, force, adopt, dry_run, json)


@app.command(epilog='Example: switchtender rollback --reason "complaints about translations"')
def rollback(
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Although it learnt from rows forgotten since.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Put the version before the present one into service again."""
    from switchtender.promoting import print_rollback

    print_rollback(reason, force, dry_run, json)


@app.command(epilog="Example: switchtender verify --all --json")
def verify(
    version: Annotated[str, typer.Argument(help="A version number or alias.")] = "champion",
    every: Annotated[bool, typer.Option("--all", help="Every version.")] = False,
    json: Json = False,
) -> None:
    """Hash everything again: a version's files, signature, provenance, data in cache and remote, and the logs."""
    from switchtender.proving import print_verification

    print_verification(version, every, json)


@app.command(epilog="Example: switchtender replay 2")
def replay(
    version: Annotated[str, typer.Argument(help="A version number or alias.")] = "champion",
    json: Json = False,
) -> None:
    """Train a version again from its recorded commit, in a scratch clone, and compare byte for byte."""
    from switchtender.proving import print_replay

    print_replay(version, json)


@app.command(epilog="Example: switchtender audit champion --html audit.html")
def audit(
    version: Annotated[str, typer.Argument(help="A version number or alias.")] = "champion",
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Each row's fate.")] = False,
    agent: Annotated[str, typer.Option("--agent", help="Only rows with this agent.")] = "",
    fate: Annotated[str, typer.Option("--fate", help="Only rows of this fate, such as relabelled.")] = "",
    split: Annotated[str, typer.Option("--split", help="Only rows of train or holdout.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Write those rows to a .csv or .parquet file.")] = None,
    json: Json = False,
) -> None:
    """What a version is made of, who put it into service and why, and what happened to every row."""
    from switchtender.auditing import print_audit

    print_audit(version, html, rows, agent, fate, split, out, json)


@app.command(epilog="Example: switchtender diff 1 2")
def diff(
    older: Annotated[str, typer.Argument(help="A version number or alias.")],
    newer: Annotated[str, typer.Argument(help="A version number or alias.")],
    json: Json = False,
) -> None:
    """What differs between two versions: rows, params, code, metrics, and the prompts that they route differently."""
    from switchtender.auditing import print_diff

    print_diff(older, newer, json)


@app.command(epilog="Example: switchtender trace p0042")
def trace(
    row: Annotated[str, typer.Argument(help="A prompt's id.")] = "",
    text: Annotated[str, typer.Option("--text", help="A prompt's text instead of its id.")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Every row that taught this agent.")] = "",
    removed_since: Annotated[
        str, typer.Option("--removed-since", help="Rows that this version knew and the latest does not.")
    ] = "",
    reindex: Annotated[
        bool, typer.Option("--reindex", help="Build the index again from the versions' own lineage.")
    ] = False,
    json: Json = False,
) -> None:
    """Which versions a row taught, directly or through augmented rows, and which of those ever served."""
    from switchtender.tracing import print_trace

    print_trace(row, text, agent, removed_since, reindex, json)


@app.command(epilog='Example: switchtender forget p0042 --reason "deletion request 17"')
def forget(
    rows: Annotated[list[str], typer.Argument(help="Ids of prompts.")],
    reason: Reason = "",
    erase: Annotated[bool, typer.Option("--erase", help="Also purge their bytes from cache, remote and runs.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take rows out of the dataset as a recorded commit, and mark every version that learnt from them."""
    from switchtender.removing import print_forget

    print_forget(rows, reason, erase, dry_run, json)


@app.command(epilog="Example: switchtender prune --keep 10 --dry-run")
def prune(
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="So many of the latest versions stay, besides any that served.")
    ],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Remove clones, artifacts and DVC objects of old versions that never served."""
    from switchtender.removing import print_prune

    print_prune(keep, dry_run, json)


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


@app.command(epilog="Example: switchtender doctor")
def doctor(json: Json = False) -> None:
    """Check what a night needs, and say how to mend what is missing."""
    from switchtender.reading import print_doctor

    print_doctor(json)


@app.command(epilog="Example: switchtender serve --port 8400 --keys file:keys.txt")
def serve(
    host: Annotated[str, typer.Option("--host", help="Where to listen; beyond this machine only with keys.")] = "",
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")] = None,
    version: Annotated[str, typer.Option("--version", help="An alias, which is followed, or a number.")] = "champion",
    router: Annotated[Path | None, typer.Option("--from", help="A folder made by `fit` instead of a version.")] = None,
    keys: Annotated[str, typer.Option("--keys", help="env:NAME or file:PATH of the API keys.")] = "",
    upstreams: Annotated[str, typer.Option("--upstreams", help="upstreams.yaml: offers /v1/chat/completions.")] = "",
    no_page: Annotated[bool, typer.Option("--no-page", help="Without the web page.")] = False,
    log_prompts: Annotated[bool, typer.Option("--log-prompts", help="Keep each prompt's text in the journal.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")] = False,
) -> None:
    """Answer over HTTP, and follow the version in service. Settings: section `serve` of params.yaml."""
    from switchtender.serving import Options, run_service

    run_service(Options(host, port, keys, upstreams, no_page, log_prompts), version, router, json)
