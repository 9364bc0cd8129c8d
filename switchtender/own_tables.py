"""What the verbs on a table of one's own share: the table, the settings of training, and routers fitted by fold.

No DVC, MLflow or Prefect is involved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.errors import InputError, listed, one_line
from pipeline.runtime.text import counted
from switchtender.show import reading_bar, say_aside, training_bar

if TYPE_CHECKING:
    from pipeline.data.outcomes import Outcomes
    from pipeline.data.pool import PoolCandidate
    from pipeline.encoders.fast_reading import Precision
    from pipeline.policies.policy import PolicyParams
    from pipeline.routers.base.protocol import Predictions
    from pipeline.routers.base.settings import FinetuningParams
    from pipeline.routers.calibrated import CalibratedRouter
    from pipeline.runtime.arrays import Indices


def outcomes_of(table: Path, agents: Path | None) -> Outcomes:
    """A table's outcomes; `agents` fixes the candidates and their costs. What is odd in their names is told aside."""
    from pipeline.data.agents import read_agents
    from pipeline.data.outcomes import read_outcomes

    usd = {agent.name: agent.usd_per_call for agent in read_agents(agents)} if agents else {}
    outcomes = read_outcomes(table, list(usd), usd)
    warn_of_names(outcomes.candidates)
    return outcomes


@contextmanager
def fast_reading(precision: Precision, threads: int) -> Iterator[None]:
    """While the block runs prompts are read through ONNX Runtime, each once for all routers; see docs/reading.md."""
    from pipeline.encoders.fast_reading import FastReading
    from pipeline.encoders.frozen import reading_by

    with reading_by(FastReading(precision, threads, reading_bar, say_aside).reader):
        yield


def warn_of_names(names: Iterable[str]) -> None:
    """Tell aside which names are nearly one, or look like several."""
    from pipeline.data.names import doubts

    for doubt in doubts(names):
        say_aside(f"warning: {doubt}")


def count_unsupported_languages(router: CalibratedRouter, prompts: Sequence[str]) -> dict[str, int]:
    """How many of a table's prompts are in each language that the router's encoder was not made for."""
    return dict(Counter(name for name in router.unsupported_languages(prompts) or () if name))


def warn_of_labels(outcomes: Outcomes) -> None:
    """Tell aside where a table with labels contradicts itself, or has an agent that folds cannot learn and judge."""
    from pipeline.data.folds import same_prompts

    if not outcomes.is_labels:
        return
    labels: dict[int, set[bytes]] = {}
    groups = same_prompts(outcomes.prompts).tolist()
    for group, row in zip(groups, outcomes.quality, strict=True):
        labels.setdefault(group, set()).add(row.tobytes())
    if contradicted := [group for group, each in labels.items() if len(each) > 1]:
        first = outcomes.prompts[groups.index(contradicted[0])]
        say_aside(
            f"warning: {counted(len(contradicted), 'prompt')} with several labels, such as "
            f"{one_line(repr(first), 60)}; give each prompt one"
        )
    single = [name for name, column in zip(outcomes.candidates, outcomes.quality.T, strict=True) if column.sum() == 1]
    if single:
        say_aside(f"warning: one prompt alone names {listed(single)}, too few to learn from; label more")


def outer_folds(outcomes: Outcomes, count: int, seed: int) -> Indices:
    """The folds of a cross-validation. What the table's own ones part, though it is the same prompt, is told aside."""
    from pipeline.data.folds import parted_prompts
    from pipeline.routers import fitting

    folds = fitting.outer_folds(outcomes, count, seed)
    # Folds that were made here part no prompt.
    if outcomes.folds is not None and (parted := parted_prompts(outcomes.prompts, folds)):
        say_aside(
            f"warning: {parted} prompts stand in more than one fold of the column 'fold', and are judged by routers "
            "that saw them; give each prompt one fold, or remove the column"
        )
    return folds


def joining_prices(pool: Path | None, folder: Path | None) -> tuple[PoolCandidate, ...]:
    """The prices that a candidate brings to a router's folder; the project's own are those of data/prices.yaml.

    Raises:
        InputError: a pool without a folder, or one that is malformed.
    """
    from pipeline.data.pool import read_pool

    if pool and folder is None:
        raise InputError("--pool goes with --from; a project's own prices stand in data/prices.yaml")
    return read_pool(pool) if pool else ()


def training_params(
    params: Path | None, wished: str | None, is_labels: bool
) -> tuple[str, FinetuningParams, PolicyParams]:
    """Which router is fitted, how, and how it chooses: by the section `train` of a params.yaml, or by default.

    Where neither says which, it is the one that nights fit on a table of this kind.

    Raises:
        InputError: the file does not exist, or names another router than the one that is wished.
    """
    from pipeline.policies.policy import AUTO
    from pipeline.routers.base.settings import FinetuningParams
    from pipeline.routers.fitting import DEFAULT_MODEL_ROUTER, DEFAULT_ROUTER, TrainParams
    from pipeline.runtime.params import read, read_file

    usual = wished or (DEFAULT_ROUTER if is_labels else DEFAULT_MODEL_ROUTER)
    if params is None:
        return usual, FinetuningParams(), AUTO
    if not params.is_file():
        raise InputError(f"{params} does not exist; check the path")
    train = read("train", TrainParams, params)
    named = train.router if "router" in train.model_fields_set else usual
    if wished and named != wished:
        raise InputError(f"{params} has train.router: {train.router}, and --router is {wished}; name the same, or one")
    if "run" in read_file(params):
        say_aside(f"note: the section run of {params} is for nights; here --device, --threads and --seed say that")
    if train.priced:
        raise InputError(f"{params} has train.priced, which nights alone read; leave it out, and say --pool PRICES")
    finetuning = train.finetuning()
    if Path(finetuning.encoder).expanduser().is_dir():
        # The router is asked from other folders too.
        finetuning = finetuning.model_copy(update={"encoder": str(Path(finetuning.encoder).expanduser().resolve())})
    return named, finetuning, train.policy


def crossvalidated(
    systems: Sequence[str],
    outcomes: Outcomes,
    folds: Indices,
    seed: int,
    first: tuple[FinetuningParams, PolicyParams] | None = None,
) -> dict[str, Predictions]:
    """Predictions of each system on the same folds; those that share an embedding embed each prompt once.

    The settings `first`, where they are given, are those of the first system; the others have the defaults.
    """
    from pipeline.evaluation.recommendation import parts_of
    from pipeline.evaluation.reference_strategies import LEARNT, learnt_predictions
    from pipeline.policies.policy import AUTO
    from pipeline.routers.base.settings import FinetuningParams
    from pipeline.routers.fitting import crossvalidate

    names = dict.fromkeys(systems)
    own = {systems[0]: first} if first else {}
    alone = [name for name in names if name not in LEARNT or name in own]
    found = {}
    for name in alone:
        finetuning, policy = own.get(name, (FinetuningParams(), AUTO))
        with training_bar(name) as advance:
            found[name] = crossvalidate(name, outcomes, folds, finetuning, seed, advance, policy)
    with training_bar("baselines") as advance:
        together = [name for name in names if name not in alone]
        learnt = learnt_predictions(together, outcomes, parts_of(outcomes, folds), FinetuningParams(), seed, advance)
    return {name: {**found, **learnt}[name] for name in names}
