"""`init` with a built wheel: a project without code of its own, whose nights run and name the installed package."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import ROOT, Sandbox, make_tiny

pytestmark = pytest.mark.nights
AGENTS = {"coding", "sql", "travel", "calendar"}


def offline(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments, "-q", "--no-deps", "--no-index"], check=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the code as it is now, installed in a folder outside the checkout."""
    place = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place / "source" / name)
    offline("wheel", "--no-build-isolation", "-w", str(place), str(place / "source"))
    (wheel,) = place.glob("*.whl")
    offline("install", "--target", str(place / "installed"), str(wheel))
    return place / "installed"


@pytest.fixture(scope="module")
def own(installed: Path, tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, prefect_address: str) -> Sandbox:
    """A tiny project made by `init` from the shipped rows that need some agents."""
    place = tmp_path_factory.mktemp("own")
    with (ROOT / "data" / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if set(row["agents"].split("|")) <= AGENTS]
    lines = [json.dumps({"prompt": row["prompt"], "agents": row["agents"].split("|"), "note": ""}) for row in rows]
    (place / "rows.jsonl").write_text("\n".join(lines) + "\n")
    before = Sandbox(place, prefect_address, (("PYTHONPATH", str(installed)),))
    done = before.run("init", "mine", "--prompts", "rows.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["prompts"], facts["agents"], facts["passed_over"]) == (len(rows), len(AGENTS), ["note"])
    assert [lack["of"] for lack in facts["lacks"]] == ["description"]
    assert sorted(path.name for path in place.iterdir()) == ["mine", "rows.jsonl"], "nothing else is left"
    sandbox = Sandbox(place / "mine", *(before.prefect, before.settings))
    assert sandbox.git("status", "--porcelain") == ""
    sandbox.set_params(augment__enabled=False)
    make_tiny(sandbox, tiny_encoder)
    return sandbox


def python(sandbox: Sandbox, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sandbox.root, env=sandbox.env(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


IDENTITY = """
from flows.workspace.identity import identify
from flows.workspace.project import find_project
print(identify(find_project()).digest)
"""


def test_a_night_runs_and_its_version_names_the_installed_code(own: Sandbox, installed: Path) -> None:
    night = own.night()
    assert (night["new"], night["verdict"], night["version"]) == (True, "passed", "1")
    assert not own.night()["new"]
    statement = json.loads(next(own.root.glob("var/artifacts/**/provenance.json")).read_text())
    recorded = {one["name"]: one for one in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert recorded["code/pipeline/routers.sha256"]["annotations"]["role"] == "code"
    assert own.run("verify", "--all").returncode == 0
    routers = (own.root / "code" / "pipeline" / "routers.sha256").read_text()
    assert subprocess.run(["sha256sum", "-c", "--quiet"], cwd=installed, input=routers, text=True).returncode == 0


def test_other_bytes_of_what_a_stage_reads_make_another_night(own: Sandbox, installed: Path) -> None:
    """And what no stage reads makes none, as in a project with code of its own."""
    found = [python(own, IDENTITY)]
    for name in ("pipeline/serving/page/rendering.py", "pipeline/routers/classifier.py"):
        with (installed / name).open("a") as file:
            file.write("# another release\n")
        found.append(python(own, IDENTITY))
    assert found[0] == found[1] != found[2]
    refused = own.run("replay", "1")
    assert refused.returncode == 2
    assert "pipeline/routers/classifier.py differs; install that release again" in refused.stderr
