"""The second half of `make setup`, after pip: the dataset out of DVC, and MLflow's store. Twice does no harm."""

from __future__ import annotations

import sys

from flows.processes import run
from flows.project import Project, find_project
from flows.registry import RegisterParams, Registry
from flows.snapshot import DATASET, POINTER
from pipeline.errors import SwitchtenderError
from pipeline.params import read


def set_up(project: Project) -> None:
    """Fetch the dataset where it is missing (a changed one is left alone) and create MLflow's store.

    Raises:
        SwitchtenderError: the dataset's bytes are not in any remote, or the store cannot be made.
    """
    if not (project.root / DATASET).exists():
        command = [sys.executable, "-m", "dvc", "pull", "--quiet", str(POINTER)]
        done = run(command, cwd=project.root, env=project.environment())
        if done.code != 0:
            raise SwitchtenderError(f"{DATASET} could not be fetched: {' '.join(done.output.split())[-300:]}")
    model = read("register", RegisterParams, project.root / "params.yaml").model
    Registry(project, model).prepare()


if __name__ == "__main__":
    try:
        set_up(find_project())
    except SwitchtenderError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
