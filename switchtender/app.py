"""The command line: an app of all verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from switchtender.verbs import (
    aptitude,
    aptitude_run,
    audit,
    cache,
    candidate,
    crossval,
    diff,
    doctor,
    evaluate,
    fit,
    forget,
    import_,
    init,
    label,
    nightly,
    nights,
    notify,
    predict,
    promote,
    prune,
    recommend,
    replay,
    review,
    route,
    schedule,
    serve,
    status,
    tasks,
    trace,
    verify,
    witness,
)

VERBS = (
    init.app, nightly.app, nights.app, schedule.app, notify.app, status.app, route.app, promote.app, verify.app,
    witness.app, replay.app, audit.app, diff.app, trace.app, review.app, label.app, forget.app, prune.app, tasks.app,
    doctor.app, serve.app, fit.app, predict.app, evaluate.app, crossval.app, recommend.app, import_.app, candidate.app,
    aptitude.app, cache.app,
)  # fmt: skip
"""In the order in which `--help` lists them."""

app = typer.Typer(
    name="switchtender",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 gate not passed, 4 verification failed, 5 held by another run, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
aptitude.app.add_typer(aptitude_run.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("switchtender"))
        raise typer.Exit


@app.callback()
def _switchtender(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the release, and exit.")
    ] = False,
) -> None:
    """Keeps a prompt router good and accountable: retrain nightly, gate, register, route."""


for verb in VERBS:
    app.add_typer(verb)
