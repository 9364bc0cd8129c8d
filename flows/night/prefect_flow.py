"""The Prefect side of a night; imported only when a night has something to do."""

from __future__ import annotations

from typing import Any

from httpx import HTTPError
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import PrefectException

from flows.workspace.dvc_stages import StageDone, TransientFailure, run_stage, stage_names
from flows.workspace.project import Project
from flows.workspace.recorded_outputs import require_recorded
from flows.workspace.runs import Run, clone_of
from pipeline.runtime.errors import SwitchtenderError, one_line

Timings = tuple[tuple[str, float, str], ...]


def run_flow(project: Project, run: Run, params: Any, tell: Any, echo: bool) -> Timings:
    """Run every stage in order as a task of one flow run named by the run key; returns (stage, seconds, how).

    Raises:
        SwitchtenderError: a stage failed, or Prefect's server is gone.
    """
    clone = clone_of(project, run.key)

    @task(
        retries=params.retries,
        retry_delay_seconds=params.retry_delay_seconds,
        retry_condition_fn=_is_transient,
        # Only a backstop: `run_stage` keeps its own limit, and ends the stage's processes, as Prefect would not.
        timeout_seconds=params.stage_timeout_minutes * 60 + 60,
        persist_result=False,
    )
    def stage(name: str) -> StageDone:
        done = run_stage(project, clone, name, params.stage_timeout_minutes * 60, echo)
        require_recorded(project, clone, [name])
        create_markdown_artifact(_markdown(done), key=f"{name.replace('_', '-')}", description=f"{run.key}: {name}")
        tell(f"{done.how:>9} {done.seconds:6.1f} s  {done.said}")
        return done

    @flow(name=project.track.flow, flow_run_name=run.key, validate_parameters=False, persist_result=False)
    def nightly() -> list[StageDone]:
        return [stage.with_options(name=name)(name) for name in stage_names(clone, project.track)]

    try:
        return tuple((done.stage, round(done.seconds, 2), done.how) for done in nightly())
    except (HTTPError, PrefectException, RuntimeError) as error:
        raise SwitchtenderError(
            f"Prefect's server does not answer any more ({one_line(error, 100)}); run the night again, it goes on from "
            f"where {run.key} stopped"
        ) from error


def _is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a task failed by a TransientFailure; nothing else is retried."""
    try:
        state.result()
    except TransientFailure:
        return True
    except BaseException:
        return False
    return False


def _markdown(done: StageDone) -> str:
    facts = done.said.partition(": ")[2].split(", ")
    rows = "\n".join(f"| {fact.rpartition(' ')[0]} | {fact.rpartition(' ')[2]} |" for fact in facts)
    return f"## {done.stage}\n\n{done.how}, {done.seconds:.1f} s\n\n| figure | value |\n|---|---|\n{rows}\n"
