"""The second half of `make setup`, after pip: dataset, signing key, MLflow's store. Twice does no harm."""

from __future__ import annotations

import sys

from flows.records.signed_logs import signer_of
from flows.registry.mlflow_store import Registry
from flows.registry.versions import RegisterParams
from flows.workspace.processes import run
from flows.workspace.project import Project, find_project
from flows.workspace.snapshot import POINTER
from pipeline.data.dataset import DATASET
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.params import read
from pipeline.runtime.terminal import for_terminal
from pipeline.versions.signing import make_key


def set_up(project: Project) -> None:
    """Fetch the dataset where it is missing (a changed one is left alone), make a signing key and MLflow's store.

    Raises:
        SwitchtenderError: the dataset's bytes are not in any remote, or the store cannot be made.
    """
    there = (project.root / DATASET).exists()
    # After `make clean` the table is still there, but its object has left the cache.
    command = [sys.executable, "-m", "dvc", "fetch" if there else "pull", "--quiet", str(POINTER)]
    done = run(command, cwd=project.root, env=project.environment())
    if done.code != 0 and not there:
        raise SwitchtenderError(f"{DATASET} could not be fetched: {' '.join(done.output.split())[-300:]}")
    signer = signer_of(project)
    if signer.params.method == "key":
        make_key(signer.private_key, signer.public_key)
    model = read("register", RegisterParams, project.root / "params.yaml").model
    Registry(project, model).prepare()


if __name__ == "__main__":
    try:
        set_up(find_project())
    except SwitchtenderError as error:
        print(for_terminal(f"setup: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
