"""Which files rows are taken out of, and when that is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flows.removal import forget as verb
from flows.removal.curated_files import CuratedWithoutRows
from flows.removal.object_references import current_outputs
from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError

OTHER = '{"prompt_id": "p2", "prompt": "not that of the agents", "candidate": "a", "quality": 1}\n'


@pytest.fixture
def project(copies: Callable[[], Project], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy in which nothing is marked, as before a first night."""
    found = copies()
    found.mlflow_database.unlink()
    return found


def commit(project: Project) -> None:
    git(project.root, "add", "-A")
    git(project.root, "commit", "--quiet", "-m", "data")


def test_a_row_of_the_models_table_alone_is_known_by_its_id(project: Project) -> None:
    done = verb.forget(project, ["q1"], "request 17")
    assert done.plan.curated.cut.gone == {Path("data/outcomes.jsonl"): 1}
    assert "q1" not in (project.root / "data/outcomes.jsonl").read_text()
    assert "data/outcomes.jsonl" in git(project.root, "show", "--name-only", "--format=", "HEAD").splitlines()
    with pytest.raises(InputError, match="no row p7 in data/label_reviews"):
        verb.forget(project, ["q1", "p7"], "request 17", track="agents")


def test_an_id_that_means_two_rows_needs_the_track(project: Project) -> None:
    with (project.root / "data/outcomes.jsonl").open("a") as file:
        file.write(OTHER)
    commit(project)
    with pytest.raises(InputError, match="'p2' is another prompt in data/prompts"):
        verb.forget(project, ["p2"], "request 17")
    verb.forget(project, ["p2"], "request 17", track="models")
    assert OTHER not in (project.root / "data/outcomes.jsonl").read_text()
    assert "p2,another" in (project.root / "data/prompts.csv").read_text()


def untracked(project: Project) -> None:
    (project.root / "data/answers.csv").write_text("prompt_id,prompt,quality\np1,the planted prompt,1\n")


def deleted(project: Project) -> None:
    (project.root / "data/outcomes.jsonl").unlink()


def without_the_bytes(project: Project) -> None:
    (project.root / "data/prompts.csv").unlink()


def in_a_folder_of_dvc(project: Project) -> None:
    folder = project.root / "data/sheets"
    folder.mkdir()
    (folder / "sheet.csv").write_text("prompt_id,prompt\np1,the planted prompt\n")
    pointer = {"outs": [{"md5": f"{'ab' * 16}.dir", "size": 9, "nfiles": 1, "path": "sheets"}]}
    (project.root / "data/sheets.dvc").write_text(yaml.safe_dump(pointer))
    (project.root / "data/.gitignore").write_text("/prompts.csv\n/sheets\n")
    commit(project)


def malformed(project: Project) -> None:
    (project.root / "data/candidates/new.csv").write_text('prompt_id,candidate,quality\n"p1,new,1\n')


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (untracked, "data/answers.csv is changed and not committed"),
        (deleted, r"data/outcomes.jsonl cannot be read"),
        (without_the_bytes, r"fetch it with 'dvc pull data/prompts\.csv\.dvc'"),
        (in_a_folder_of_dvc, "DVC keeps its folder as a whole"),
        (malformed, "data/candidates/new.csv, line 2"),
    ],
)
def test_what_cannot_be_looked_into_or_committed_stops_it(
    project: Project, damage: Callable[[Project], None], said: str
) -> None:
    damage(project)
    before = {path: path.read_bytes() for path in (project.root / "data").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=said):
        verb.forget(project, ["p1"], "request 17")
    assert {path: path.read_bytes() for path in (project.root / "data").rglob("*") if path.is_file()} == before
    assert git(project.root, "log", "--format=%s", "-1") != "Forget p1"


def test_what_git_does_not_keep_is_changed_where_it_lies(project: Project) -> None:
    (project.root / "data/.gitignore").write_text("/prompts.csv\n/mine.csv\n")
    commit(project)
    (project.root / "data/mine.csv").write_text("prompt_id,prompt\np1,the planted prompt\np2,another\n")
    (project.root / "data/others.csv").write_text("prompt_id,prompt\np7,another\n")
    done = verb.forget(project, ["p1"], "request 17")
    assert (project.root / "data/mine.csv").read_text() == "prompt_id,prompt\np2,another\n"
    assert git(project.root, "status", "--porcelain", "-uall") == "?? data/others.csv"
    assert done.left == ()


def test_a_file_that_quotes_a_text_is_named_with_the_line(project: Project) -> None:
    (project.root / "data/prices.yaml").write_text("version: 1\n# as for 'the planted prompt'\n")
    (project.root / "data/more.csv").write_text("prompt_id,prompt\np7,the planted prompt\n")
    commit(project)
    done = verb.forget(project, ["p1"], "request 17")
    assert done.left == (
        "data/more.csv has the same text under p7; forget that too, if it is the same",
        "data/prices.yaml, line 2, holds a text of the rows; take it out there",
    )


def test_outputs_are_current_until_an_input_changes(project: Project) -> None:
    md5 = {name: f"{n:032d}" for n, name in enumerate(("validate", "split", "other"))}
    table, holdout = CuratedWithoutRows(project, project.both, ()).pointers[0], "data/holdout.txt"
    inputs = {
        "validate": ("data/prompts.csv", table.md5),
        "split": ("validate", md5["validate"]),
        "other": ("pipeline", ".dir"),
    }
    stages = {
        name: {"deps": [{"path": path, "md5": known}], "outs": [{"path": name, "md5": md5[name]}]}
        for name, (path, known) in inputs.items()
    }
    (project.root / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    assert current_outputs(project, {Path(holdout): b""}) == set(md5.values())
    assert current_outputs(project, {Path("data/prompts.csv"): b"less"}) == {md5["other"]}


def test_a_pointer_that_cannot_be_read_stops_it(project: Project) -> None:
    (project.root / "data/prompts.csv.dvc").write_text("outs: [1\n")
    with pytest.raises(InputError, match=r"data/prompts\.csv\.dvc cannot be read"):
        verb.forget(project, ["p1"], "request 17")
