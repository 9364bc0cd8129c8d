"""Make the golden version of a release: a night of today's code with a small router, kept as files.

python tests/golden/make.py 0.1.0
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox import Sandbox, copy_project

from flows.registry.versions import Versions
from flows.workspace.project import Project
from pipeline.runtime.tables import write_json

HERE = Path(__file__).resolve().parent
MODEL = "agent-router"
NEEDED = {"data", "pipeline", "flows", "switchtender", "mlflow", "champion", ".dvc"}


def make(release: str) -> Path:
    """Run the night and keep what it made; returns the folder."""
    folder = HERE / release
    if folder.exists():
        raise SystemExit(f"{folder} is there already; a golden version is never made again")
    with tempfile.TemporaryDirectory() as place:
        sandbox = copy_project(Path(place) / "project")
        _make_small(sandbox)
        night = sandbox.night()
        project = Project(sandbox.root)
        version = Versions(project, MODEL).number(night["version"])
        folder.mkdir()
        artifact = Path(version.source.removeprefix("file://"))
        shutil.copytree(artifact, folder / "artifact")
        shutil.copytree(project.dvc_remote, folder / "remote")
        shutil.copyfile(project.var / "keys" / "signing.pub", folder / "signing.pub")
        sandbox.git("bundle", "create", str(folder / "run.bundle"), f"refs/switchtender/runs/{night['run_key']}")
        write_json({"version": version.version, "tags": version.tags}, folder / "facts.json")
    return folder


def _make_small(sandbox: Sandbox) -> None:
    """A linear router with open gates, and no tests, pages or benchmarks in the commit."""
    sandbox.set_params(
        train__router="linear", evaluate__resamples=100, gate__micro_f1=0.0, gate__macro_f1=0.0,
        gate__rare_recall=0.0, gate__calibration_error=1.0, gate__resamples=100,
    )  # fmt: skip
    for path in sandbox.root.iterdir():
        if path.is_dir() and path.name not in NEEDED | {".git", "var"}:
            shutil.rmtree(path)
    shutil.rmtree(sandbox.root / "data" / "remote")
    sandbox.git("checkout", "--quiet", "--orphan", "small")
    sandbox.git("add", "-A")
    sandbox.git("commit", "--quiet", "-m", "the project")
    sandbox.git("checkout", "--quiet", "--detach")


if __name__ == "__main__":
    print(make(sys.argv[1]))
