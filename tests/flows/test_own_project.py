"""A project of one's own: made whole or not at all, and what its data lack is told. Its nights: tests/e2e."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from sandbox import ROOT

from flows import own_project
from flows.own_project import make
from flows.workspace.git import git
from flows.workspace.installed_code import require_recorded
from pipeline.data.holdout import read_holdout
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.tables import read_table
from pipeline.validation import prompt_table

SHIPPED = ROOT / "data" / "agents.yaml"


@pytest.fixture(autouse=True)
def _remembered(minilm: FrozenEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is embedded is remembered from test to test."""

    def remembered(prompts: Sequence[str], _: str) -> FloatMatrix:
        return minilm.embed(prompts)

    monkeypatch.setattr(prompt_table, "embed_for_comparison", remembered)


def table(path: Path, rows: Sequence[Sequence[str]], header: str = "prompt,agents") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


ASKED = {"translation": "Translate the menu of {} into English", "travel": "Find a quiet hotel near the port of {}"}
CITIES = ("Kiel", "Bonn", "Riga", "Oslo", "Porto", "Lima", "Quito", "Accra", "Turin", "Leeds", "Graz", "Perth")


def test_an_empty_project_has_headers_and_is_told_what_to_fill_in(tmp_path: Path) -> None:
    made = make(tmp_path / "mine")
    root = made.folder
    assert (made.agents, made.prompts, made.holdout) == (0, 0, 0)
    assert [lack.of for lack in made.lacks] == ["agents", "prompts"]
    assert (root / "data/prompts.csv").read_text() == "prompt_id,prompt,agents,annotator,source,added_on\n"
    assert (root / "data/label_reviews.csv").read_text().count("\n") == 1
    assert "- name: travel" in (root / "data/agents.yaml").read_text()
    assert yaml.safe_load((root / "params.yaml").read_text())["nightly"]["tracks"] == ["agents"]
    assert git(root, "status", "--porcelain") == ""
    assert not git(root, "ls-files", "data/prompts.csv", "var", "pipeline", "flows")
    require_recorded(root)


@pytest.mark.parametrize("name", ["100% mine", "mine?", "a\nb", "a\x7f", "a\udcff", "."])
def test_a_place_in_which_no_project_works_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"project's path; choose another|the folder that you are in"):
        make(Path(name))
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_leaves_no_folder(tmp_path: Path) -> None:
    make(tmp_path / "some" / "where" / "mine", dry_run=True)
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_an_empty_folder_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to("far")
    assert make(tmp_path / "near").folder == (tmp_path / "far").resolve()
    assert (tmp_path / "near" / "params.yaml").is_file()


def test_what_the_data_lack_is_told(tmp_path: Path) -> None:
    rows = [(ask.format(city), agent) for city in CITIES for agent, ask in ASKED.items()]
    rows += [rows[0], ("Sum this up for me please", "summarizing"), ("", "travel")]
    made = make(tmp_path / "mine", prompts=table(tmp_path / "rows.csv", rows))
    lacks = {lack.of: lack for lack in made.lacks}
    assert lacks["description"].found == "none of summarizing, translation, travel"
    assert (lacks["agent summarizing"].found, lacks["agent summarizing"].mend) == ("1 prompt", "write at least 5 more")
    assert lacks["second label"].found == "no prompt names two agents"
    assert "line 26 of data/prompts.csv" in lacks["prompt_text_unique"].found
    assert "line 28" in lacks["prompt_present"].found
    assert lacks["holdout"].found.endswith("candidate 2 holdout prompts (summarizing has 1 in all)")
    assert lacks["enough_prompts_per_agent"].found.startswith("stops a night: 1 unexpected, summarizing: 1")
    assert "enough_prompts" not in lacks, "limits of the whole table are those of this one"
    assert "holdout_size" in lacks
    found = read_table(made.folder / "data/prompts.csv")
    assert found["prompt_id"].tolist()[:2] == ["p0001", "p0002"]
    assert set(found["source"]) == {"rows"}


def test_a_holdout_is_drawn_from_sound_rows(tmp_path: Path) -> None:
    """Each row twice: of a pair that is held out the second would be put aside, and with it the night."""
    with (ROOT / "data" / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            (row["prompt_id"], row["prompt"], row["agents"], "2026-01-02")
            for row in csv.DictReader(file)
            if set(row["agents"].split("|")) <= {"coding", "sql", "travel"}
        ]
    rows += [(f"{name}b", *rest) for name, *rest in rows]
    made = make(tmp_path / "mine", prompts=table(tmp_path / "rows.csv", rows, "prompt_id,prompt,agents,added_on"))
    held_out = read_holdout(made.folder / "data/holdout.txt")
    assert made.holdout == len(held_out) > 10
    assert not any(name.endswith("b") for name in held_out)
    assert set(read_table(made.folder / "data/prompts.csv")["added_on"]) == {"2026-01-02"}
    lacks = {lack.of for lack in made.lacks}
    assert {"prompt_text_unique", "prompt_not_in_holdout"} <= lacks
    assert not {"holdout", "holdout_sound", "holdout_size"} & lacks


def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    made = make(tmp_path / "mine", SHIPPED, dry_run=True)
    assert [lack.of for lack in made.lacks] == ["prompts"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["a file in it", "a file"])
def test_what_is_there_is_not_touched(there: str, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    kept = place / "own.txt" if there == "a file in it" else place
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(InputError, match="is there and not empty; name a new folder"):
        make(place)
    assert (list(tmp_path.rglob("*.*")), kept.read_text()) == ([kept] if kept.suffix else [], "mine")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    make(tmp_path / "mine")
    assert (tmp_path / "mine" / ".git").is_dir()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("Write a mail to Ana", "emial")], "rows.csv, line 2: unknown agent 'emial'; did you mean 'email'"),
        ([("Write a mail to Ana", "email|")], "rows.csv, line 2: agents is 'email|'"),
        ([], "has no rows"),
    ],
)
def test_a_table_that_cannot_be_used_leaves_nothing(rows: list[tuple[str, str]], said: str, tmp_path: Path) -> None:
    prompts = table(tmp_path / "rows.csv", rows)
    with pytest.raises(InputError, match=said.replace("|", r"\|")):
        make(tmp_path / "mine", SHIPPED, prompts)
    assert list(tmp_path.iterdir()) == [prompts]


@pytest.mark.parametrize("struck", ["_lay_out", "_track", "git"])
def test_a_failure_on_the_way_leaves_nothing(struck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SwitchtenderError("the disk is full")

    monkeypatch.setattr(own_project, struck, fail)
    with pytest.raises(SwitchtenderError, match="the disk is full"):
        make(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []
