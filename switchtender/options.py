"""Options and arguments that mean the same for every verb that has them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.runtime.errors import InputError


def candidate_name(value: str) -> str:
    """A candidate's name by the rule for names."""
    from pipeline.data.names import name_of

    try:
        return name_of(value)
    except ValueError as error:
        raise InputError(f"the candidate {error}") from error


def agents_named(value: str) -> tuple[str, ...]:
    """The agents that a person typed, `a,b` or `a|b`.

    Raises:
        InputError: a name is none, or one stands between two separators.
    """
    from pipeline.data.cells import names_in
    from pipeline.data.names import SEPARATOR

    try:
        return names_in(value.replace(",", SEPARATOR))
    except ValueError as error:
        raise InputError(f"the list of agents {error}; write a,b") from error


def finite(value: float | None) -> float | None:
    """Refuse a figure that is infinite or none, which are floats too."""
    if value is not None and not math.isfinite(value):
        raise InputError(f"an option is {value}, which is no figure; write a finite number")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
CandidateName = Annotated[str, typer.Argument(callback=candidate_name, help="The new candidate's name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept for good.")]
TrackOption = Annotated[
    str,
    typer.Option(
        "--track",
        metavar="agents|models",
        help="Whose router: that to a subset of agents (the default), or that to one language model.",
    ),
]

VersionArgument = Annotated[str, typer.Argument(help="A version number or alias.")]
VersionOption = Annotated[str, typer.Option("--version", help="A version number or alias.")]
RouterFolder = Annotated[Path | None, typer.Option("--from", help="A folder made by `fit` instead of a version.")]

FoldedTable = Annotated[Path, typer.Argument(help="Prompts or outcomes; a column `fold` is used where there is one.")]
_SYSTEMS = "classifier | tags | tasks | aptitude | linear | knn | clusters | tfidf"
System = Annotated[str, typer.Option("--router", help=_SYSTEMS)]
WishedSystem = Annotated[
    str | None,
    typer.Option("--router", help=f"{_SYSTEMS}; by default that of --params, else classifier, of outcomes tags"),
]
ParamsFile = Annotated[
    Path | None,
    typer.Option("--params", help="Take the section `train` of this params.yaml, its router included."),
]
AgentsFile = Annotated[
    Path | None, typer.Option("--agents", help="agents.yaml: fixes which agents may occur, and their costs.")
]
PoolFile = Annotated[
    Path | None, typer.Option("--pool", help="pool.yaml: prices; at a prediction also who may answer what.")
]
JoiningPool = Annotated[
    Path | None,
    typer.Option("--pool", help="With --from: pool.yaml, where the router was fitted with one."),
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Graded outcomes: also fit knn, linear and clusters.")
]
Pictures = Annotated[
    Path | None, typer.Option("--pictures", help="Graded outcomes: a folder for cost_quality.png and slices.png.")
]
Precision = Annotated[
    Literal["fp32", "int8"],
    typer.Option("--precision", help="How an encoder reads: int8 is several times as fast, and not quite the same."),
]
Folds = Annotated[int, typer.Option("--folds", min=2)]
Seed = Annotated[int, typer.Option("--seed", min=0)]
Threads = Annotated[int, typer.Option("--threads", min=1)]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where encoders compute; auto: on a GPU, if any.")
]
