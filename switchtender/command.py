"""The verbs. Heavy libraries are imported inside the verb that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from switchtender import aptitude_command, table_command
from switchtender.options import DryRun, Json, TrackOption

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

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept for good.")]


@app.command(epilog="Example: switchtender nightly --json")
def nightly(
    json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a night would do, and do nothing.")] = False,
    track: TrackOption = "",
) -> None:
    """Retrain, gate and register each track, if anything is new. Exits 3 where a gate did not pass."""
    from switchtender.night import print_night

    print_night(json, dry_run, track)


@app.command(epilog="Example: switchtender status --json")
def status(json: Json = False, track: TrackOption = "") -> None:
    """Which version serves, which challenges, and how the last night ended."""
    from switchtender.reading import print_status

    print_status(json, track)


@app.command(epilog='Example: switchtender route "Translate this contract into German and email it to Ana"')
def route(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    json: Json = False,
    version: Annotated[str, typer.Option("--version", help="A version number or alias.")] = "champion",
    router: Annotated[Path | None, typer.Option("--from", help="A folder made by `fit` instead of a version.")] = None,
    why: Annotated[bool, typer.Option("--why", help="What speaks for the choice, where the system can say.")] = False,
    track: TrackOption = "",
) -> None:
    """Which agents answer a prompt, with the score of each."""
    from switchtender.reading import print_route

    print_route(prompt, json, version, router, why, track)


@app.command(epilog='Example: switchtender promote 2 --reason "better on rare agents, checked by hand"')
def promote(
    version: Annotated[str, typer.Argument(help="The version's number; left out with --adopt.")] = "",
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Although a gate is closed; recorded as such.")] = False,
    adopt: Annotated[bool, typer.Option("--adopt", help="Accept an alias that was moved outside.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
    track: TrackOption = "",
) -> None:
    """Put a version into service: bytes proved, gates read again, compared with the champion of today."""
    from switchtender.promoting import print_promotion

    print_promotion(version, reason, force, adopt, dry_run, json, track)


@app.command(epilog='Example: switchtender rollback --reason "complaints about translations"')
def rollback(
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Although it learnt from rows forgotten since.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
    track: TrackOption = "",
) -> None:
    """Put the version before the present one into service again."""
    from switchtender.promoting import print_rollback

    print_rollback(reason, force, dry_run, json, track)


@app.command(epilog="Example: switchtender verify --all --json")
def verify(
    version: Annotated[str, typer.Argument(help="A version number or alias.")] = "champion",
    every: Annotated[bool, typer.Option("--all", help="Every version.")] = False,
    json: Json = False,
    track: TrackOption = "",
) -> None:
    """Hash everything again: a version's files, signature, provenance, data in cache and remote, and the logs."""
    from switchtender.proving import print_verification

    print_verification(version, every, json, track)


@app.command(epilog="Example: switchtender replay 2")
def replay(
    version: Annotated[str, typer.Argument(help="A version number or alias.")] = "champion",
    json: Json = False,
    track: TrackOption = "",
) -> None:
    """Train a version again from its recorded commit, in a scratch clone, and compare byte for byte."""
    from switchtender.proving import print_replay

    print_replay(version, json, track)


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
    track: TrackOption = "",
) -> None:
    """What a version is made of, who put it into service and why, and what happened to every row."""
    from switchtender.auditing import print_audit

    print_audit(version, html, rows, agent, fate, split, out, json, track)


@app.command(epilog="Example: switchtender diff 1 2")
def diff(
    older: Annotated[str, typer.Argument(help="A version number or alias.")],
    newer: Annotated[str, typer.Argument(help="A version number or alias.")],
    json: Json = False,
    track: TrackOption = "",
) -> None:
    """What differs between two versions: rows, params, code, metrics, and the prompts that they route differently."""
    from switchtender.auditing import print_diff

    print_diff(older, newer, json, track)


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
    track: TrackOption = "",
) -> None:
    """Which versions a row taught, directly or through augmented rows, and which of those ever served."""
    from switchtender.tracing import print_trace

    print_trace(row, text, agent, removed_since, reindex, json, track)


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
    track: TrackOption = "",
) -> None:
    """Remove clones, artifacts and DVC objects of old versions that never served."""
    from switchtender.removing import print_prune

    print_prune(keep, dry_run, json, track)


@app.command(epilog="Example: switchtender tasks --version champion --track models --html tasks.html")
def tasks(
    version: Annotated[str, typer.Option("--version", help="A version number or alias.")] = "champion",
    router: Annotated[Path | None, typer.Option("--from", help="A folder made by `fit` instead of a version.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the map of all prompts.")] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="A table of prompts: which match no task, and in which clusters.")
    ] = None,
    json: Json = False,
    track: TrackOption = "",
) -> None:
    """Which tasks a `tasks` router discovered among the prompts, and which candidate is best in each."""
    from switchtender.tasks import print_tasks

    print_tasks(version, router, html, json, prompts, track)


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
    pool: Annotated[
        str, typer.Option("--pool", help="pool.yaml: prices and who may answer, followed as it changes.")
    ] = "",
    no_page: Annotated[bool, typer.Option("--no-page", help="Without the web page.")] = False,
    log_prompts: Annotated[bool, typer.Option("--log-prompts", help="Keep each prompt's text in the journal.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")] = False,
    track: TrackOption = "",
) -> None:
    """Answer over HTTP, and follow the version in service. Settings: section `serve` of params.yaml."""
    from switchtender.serving import Options, run_service

    run_service(Options(host, port, keys, upstreams, no_page, log_prompts, pool), version, router, json, track)


app.registered_commands += table_command.app.registered_commands
app.add_typer(table_command.candidate, name="candidate")
app.add_typer(aptitude_command.app, name="aptitude")
