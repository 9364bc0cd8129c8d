"""The Prefect side of a night; imported only when a night has something to do.

The flow run bears the run key and has a task for each stage and one that registers. Each stage leaves a markdown
artifact, the gates a table, training its progress; a closed gate ends the flow run as `Gate closed`, not as a crash.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from httpx import HTTPError
from prefect import flow, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.states import Completed, Failed

from flows.night.outcome import ended, gates_of
from flows.workspace import runs
from flows.workspace.dvc_stages import StageDone, TransientFailure, run_stage, stage_names
from flows.workspace.night_log import CutShort
from flows.workspace.project import Project
from flows.workspace.recorded_outputs import require_recorded
from flows.workspace.runs import Run, clone_of
from pipeline.gating.results import GateResult
from pipeline.reports.markdown import figure, markdown_table
from pipeline.runtime.errors import one_line
from pipeline.runtime.stage_progress import stage_progress
from pipeline.runtime.tracing import here, span

TRAIN = "train"
"""The stage that says how far it is."""
_LOOK_SECONDS = 2.0
"""Between two looks at how far a stage is."""


def run_flow(
    project: Project, run: Run, params: Any, tell: Callable[[str], None], echo: bool, conclude: Callable[[Run], Run]
) -> Run:
    """Run every stage in order as a task of one flow run named by the run key, then `conclude`; returns the run.

    Raises:
        CutShort: Prefect's server is gone.
        SwitchtenderError: a stage failed, or recording and registering did.
    """
    clone = clone_of(project, run.key)
    night = here()  # Prefect may run a task in a thread of its own
    done = [run]

    @task(
        retries=params.retries,
        retry_delay_seconds=params.retry_delay_seconds,
        retry_condition_fn=_is_transient,
        # Only a backstop: `run_stage` keeps its own limit, and ends the stage's processes, as Prefect would not.
        timeout_seconds=params.stage_timeout_minutes * 60 + 60,
        persist_result=False,
    )
    def stage(name: str) -> None:
        done[0] = runs.save(project, replace(done[0], stage=name))
        shown = _progress_shown(project, run, name) if name == f"{project.track.prefix}{TRAIN}" else nullcontext()
        with shown, span(name, {"switchtender.run_key": run.key, "switchtender.stage": name}, parent=night):
            log = partial(runs.log, project, run.key)
            one = run_stage(project, clone, name, params.stage_timeout_minutes * 60, echo, log=log)
        require_recorded(project, clone, [name])
        create_markdown_artifact(_markdown(one, run), key=f"{name.replace('_', '-')}", description=f"{run.key}: {name}")
        timing = (one.stage, round(one.seconds, 2), one.how)
        done[0] = runs.save(project, replace(done[0], timings=(*done[0].timings, timing)))
        tell(f"{one.how:>9} {one.seconds:6.1f} s  {one.said}")

    @task(name="register", persist_result=False)
    def register() -> None:
        _show_gates(run.key, gates_of(project, run))
        with span("register", {"switchtender.run_key": run.key}, parent=night):
            done[0] = conclude(done[0])

    @flow(name=project.track.flow, flow_run_name=run.key, validate_parameters=False, persist_result=False)
    def nightly() -> State[None]:
        for name in stage_names(clone, project.track):
            stage.with_options(name=name)(name)
        register()
        finished = ended(project, done[0], new=True)
        return final_state(finished.passed, finished.reason)

    done[0] = runs.save(project, replace(run, timings=()))
    _run_to_its_end(nightly, run, lambda: done[0].state == runs.FINISHED)
    return done[0]


def _run_to_its_end(nightly: Any, run: Run, finished: Callable[[], bool]) -> None:
    """Call the flow; what Prefect's client raises where its server is gone is told in our words.

    A server that is gone once the run has finished undoes nothing.
    """
    try:
        state = nightly(return_state=True)
        if not finished():
            state.result()
    except (HTTPError, PrefectException, RuntimeError) as error:
        if finished():
            return
        if isinstance(error, RuntimeError) and "reach API" not in str(error):
            raise
        raise CutShort(
            f"Prefect's server does not answer any more ({one_line(error, 100)}); run the night again, it goes on from "
            f"where {run.key} stopped"
        ) from error


def final_state(passed: bool, reason: str) -> State[None]:
    """The state of a flow run whose night has finished: a closed gate fails it, under a name of its own."""
    if passed:
        return Completed(message=reason or None)
    return Failed(name="Gate closed", message=reason)


def _is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a task failed by a TransientFailure; nothing else is retried."""
    try:
        state.result()
    except TransientFailure:
        return True
    except BaseException:
        return False
    return False


@contextmanager
def _progress_shown(project: Project, run: Run, name: str) -> Iterator[None]:
    """A progress artifact that follows the stage."""
    clone, over = clone_of(project, run.key), threading.Event()
    artifact: Any = create_progress_artifact(
        0.0, key=f"{name.replace('_', '-')}-progress", description=f"{run.key}: {name}"
    )

    def follow() -> None:
        while not over.wait(_LOOK_SECONDS):
            if (now := stage_progress(clone, name)) is not None:
                with suppress(HTTPError, PrefectException, RuntimeError):
                    update_progress_artifact(artifact, now.percent)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()
    update_progress_artifact(artifact, 100.0)


def _markdown(done: StageDone, run: Run) -> str:
    facts = [fact.rpartition(" ") for fact in done.said.partition(": ")[2].split(", ")]
    table = markdown_table(("figure", "value"), [(name, value) for name, _, value in facts])
    report = f"The night's report, once it has ended: `var/runs/{run.key}/report.html`"
    return f"## {done.stage}\n\n{done.how}, {done.seconds:.1f} s, run `{run.key}`\n\n{table}\n\n{report}\n"


def _show_gates(run_key: str, gates: tuple[GateResult, ...]) -> None:
    table = [
        {"gate": gate.gate, "value": figure(gate.value), "limit": figure(gate.told_limit), "verdict": gate.told_verdict}
        for gate in gates
    ]
    create_table_artifact(table, key="gates", description=f"{run_key}: gates")
