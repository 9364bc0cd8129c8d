"""A project after two nights, and one made by hand whose row stands in each kind of curated file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from made_versions import MadeProject
from removing import commit_data
from sandbox import Sandbox
from second_night import SecondNight

from flows.workspace.project import Project

PROMPTS = "prompt_id,prompt,agents\np1,the planted prompt,coding\np2,another,email\n"
OUTCOMES = '{"prompt_id": "q1", "prompt": "x", "candidate": "a", "quality": 1}\n'
FILES = {
    "data/label_reviews.csv": "prompt_id,text_sha256,decision,agents,reviewer,reviewed_on,note\np1,ab,keep,,ana,,\n",
    "data/holdout.txt": "p1\np2\n",
    "data/candidates/new.csv": "prompt_id,candidate,quality\np1,new,1\n",
    "data/outcomes.jsonl": OUTCOMES + OUTCOMES.replace("q1", "p1").replace('"x"', '"the planted prompt"'),
    "data/.gitignore": "/prompts.csv\n",
    ".dvc/config": "[cache]\n    dir = ../var/dvc/cache\n['remote \"store\"']\n    url = ../var/dvc/remote\n"
    "['remote \"dataset\"']\n    url = ../data/remote\n",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeProject:
    """A project whose table DVC keeps, its object in git, with no version; a row is in each kind of curated file."""
    project = MadeProject(tmp_path_factory.mktemp("made") / "project")
    root = project.project.root
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    params = (root / "params.yaml").read_text()
    models = "models:\n  register: {model: model-router, first_becomes_champion: true}\n"
    (root / "params.yaml").write_text(f"{params}{models}  validate: {{table: data/outcomes.jsonl}}\n")
    (root / "data/prompts.csv").write_text(PROMPTS)
    md5 = project.store("data/prompts.csv", PROMPTS, "data").notes["md5"]
    place = root / "data/remote/files/md5" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True)
    place.write_text(PROMPTS)
    pointer = f"outs:\n- md5: {md5}\n  size: {len(PROMPTS)}\n  hash: md5\n  path: prompts.csv\n  remote: dataset\n"
    (root / "data/prompts.csv.dvc").write_text(pointer)
    project.commit("data")
    return project


@pytest.fixture
def copies(made: MadeProject, tmp_path: Path) -> Callable[[], Project]:
    """Makes one copy after the other."""
    numbers = count()

    def copy() -> Project:
        place = tmp_path / str(next(numbers))
        shutil.copytree(made.project.root, place)
        return Project(place)

    return copy


@pytest.fixture
def project(two_versions: Sandbox, tmp_path: Path) -> Sandbox:
    """A copy with everything committed; version 1 serves."""
    copy = two_versions.copy_to(tmp_path / "copy")
    commit_data(copy)
    return copy


@pytest.fixture(scope="session")
def kept_row(second_night: SecondNight) -> str:
    """A row of train that both versions learnt from."""
    return second_night.relabelled


@pytest.fixture(scope="session")
def reviewed(second_night: SecondNight) -> str:
    """Another, with a decision on its label."""
    return second_night.reviewed


@pytest.fixture(scope="session")
def left(second_night: SecondNight) -> str:
    """A row that only version 1 learnt from, also through an augmented row; the dataset has it no more."""
    return second_night.forgotten
