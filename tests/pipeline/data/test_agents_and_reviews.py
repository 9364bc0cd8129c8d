"""The taxonomy and people's decisions: what is malformed is told in one line, and a person always wins."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sandbox import ROOT

from pipeline.data.agents import read_agents
from pipeline.data.fates import EXCLUDED, KEPT, RELABELLED, TRAIN
from pipeline.data.label_reviews import (
    COLUMNS,
    as_typed,
    cells_of,
    decision_on,
    facts_of,
    read_reviews,
    spreadsheet_safe,
)
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import sha256_text
from pipeline.stages.label_noise import apply_reviews

DATA = ROOT / "data"
NAMES = ("coding", "email", "sql")
HEADER = ",".join(COLUMNS) + "\n"
AGENT = {
    "name": "coding", "owner": "tools", "usd_per_call": 0.01, "latency_ms": 900,
    "description": "Writes and mends programs. Does not run servers (devops).",
}  # fmt: skip


def test_the_shipped_taxonomy_has_twenty_agents_each_with_its_border() -> None:
    agents = read_agents(DATA / "agents.yaml")
    assert len(agents) == len({agent.name for agent in agents}) == 20
    for agent in agents:
        assert re.search(r"\b(does not|do not|not)\b", agent.description, re.IGNORECASE), agent.name
        assert agent.usd_per_call > 0


def put_agents(tmp_path: Path, *entries: object) -> Path:
    path = tmp_path / "agents.yaml"
    path.write_text(yaml.safe_dump(list(entries)), encoding="utf-8")
    return path


def test_agents_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = put_agents(tmp_path, {**AGENT, "name": "sql"}, AGENT)
    assert [agent.name for agent in read_agents(path)] == ["sql", "coding"]


MALFORMED: list[tuple[str, object, str]] = [
    ("no_owner", {key: AGENT[key] for key in AGENT if key != "owner"}, "agent 2: owner: field required; mend it"),
    ("misspelt", {**AGENT, "latency": 3}, "agent 2: latency: extra inputs are not permitted; mend it"),
    ("no_name", {**AGENT, "name": " "}, "agent 2: name: has an empty name"),
    ("separator_in_name", {**AGENT, "name": "A|b"}, "agent 2: name: has the name 'A|b' with '|' or a control"),
    ("endless_cost", {**AGENT, "usd_per_call": float("inf")}, "agent 2: usd_per_call: input should be a finite"),
    (
        "paid_to_call",
        {**AGENT, "usd_per_call": -1},
        "agent 2: usd_per_call: input should be greater than or equal to 0",
    ),
    ("no_time", {**AGENT, "latency_ms": 0}, "agent 2: latency_ms: input should be greater than 0"),
    ("says_nothing", {**AGENT, "description": "Codes."}, "agent 2: description: string should have at least 40"),
    ("no_mapping", "coding", "agent 2: entry: input should be a valid dictionary"),
    ("twice", AGENT, "names the agent 'coding' twice; rename one"),
    (
        "column",
        {**AGENT, "name": "chosen"},
        "names a candidate 'chosen', as a column of a night's tables is; rename it",
    ),
]


@pytest.mark.parametrize(("entry", "message"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_agent_is_told_in_one_line(entry: object, message: str, tmp_path: Path) -> None:
    path = put_agents(tmp_path, AGENT, entry)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_agents(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a list of agents"),
        (b"[]", "is not a list of agents"),
        (b"coding: {}\n", "is not a list of agents"),
        (b"- {name: coding\n", "cannot be read"),
        (b"- name: \xff\n", "cannot be read"),
    ],
    ids=["empty", "no_agents", "mapping", "not_yaml", "not_utf8"],
)
def test_a_malformed_taxonomy_is_told_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_agents(path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="is missing; restore it"):
        read_agents(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_agents(tmp_path)


# --- data/label_reviews.csv.


def put_reviews(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "label_reviews.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def decision(prompt_id: str, prompt: str, word: str, agents: str = "") -> str:
    return f"{prompt_id},{sha256_text(prompt)},{word},{agents},ana,2026-11-22,seen"


ROWS = pd.DataFrame(
    {
        "prompt_id": ["p1", "p2", "p3", "p4"],
        "prompt": ["fix the loop", "mail Bo", "count rows", "query it"],
        "agents": ["coding", "sql", "sql", "sql"],
    }
)


def test_keep_relabel_and_drop_each_do_what_the_person_said(tmp_path: Path) -> None:
    reviews = read_reviews(NAMES, put_reviews(
        tmp_path, decision("p1", "fix the loop", "keep"), decision("p2", "mail Bo", "relabel", "sql|email"),
        decision("p3", "count rows", "drop"),
    ))  # fmt: skip
    stays, fates = apply_reviews(ROWS, reviews, TRAIN)
    assert stays[["prompt_id", "agents"]].to_numpy().tolist() == [["p1", "coding"], ["p2", "email|sql"], ["p4", "sql"]]
    assert [fate.fate for fate in fates] == [KEPT, RELABELLED, EXCLUDED, KEPT]
    assert [fate.reason for fate in fates] == ["", "ana: was sql", "ana: seen", ""]
    assert [fate.agents for fate in fates] == ["coding", "email|sql", "sql", "sql"]
    assert ROWS["agents"].tolist() == ["coding", "sql", "sql", "sql"], "the rows given were changed"


def test_a_relabelling_to_the_label_that_stands_is_no_change(tmp_path: Path) -> None:
    reviews = read_reviews(NAMES, put_reviews(tmp_path, decision("p2", "mail Bo", "relabel", "sql")))
    assert [fate.fate for fate in apply_reviews(ROWS, reviews, TRAIN)[1]] == [KEPT] * 4


@pytest.mark.parametrize("word", ["relabel", "drop", "keep"])
def test_a_decision_on_a_text_that_has_changed_does_nothing(word: str, tmp_path: Path) -> None:
    reviews = read_reviews(NAMES, put_reviews(tmp_path, decision("p2", "mail Bob", word, "email")))
    stays, fates = apply_reviews(ROWS, reviews, TRAIN)
    assert decision_on(ROWS.iloc[1], reviews) is None
    pd.testing.assert_frame_equal(stays, ROWS)
    assert {fate.fate for fate in fates} == {KEPT}


def test_the_latest_decision_on_a_prompt_holds(tmp_path: Path) -> None:
    lines = [decision("p2", "mail Bo", word, "email") for word in ("drop", "keep", "relabel")]
    reviews = read_reviews(NAMES, put_reviews(tmp_path, *lines))
    assert apply_reviews(ROWS, reviews, TRAIN)[0]["agents"].tolist() == ["coding", "email", "sql", "sql"]


@pytest.mark.parametrize("typed", [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\nx", "  =1", "\uff1d1", "'=1", "''=1", "'\t", "-", "=",
    "'tis plain", "''", "a=b", "plain", "", " two",
])  # fmt: skip
def test_no_spreadsheet_computes_what_a_person_typed_and_it_reads_back_as_typed(typed: str) -> None:
    cell = spreadsheet_safe(typed)
    assert as_typed(cell) == typed
    assert cell.lstrip(" ")[:1] not in tuple("=+-@\t\r\n\uff1d")
    line = dict.fromkeys(COLUMNS, "p1") | {"reviewer": typed, "note": typed}
    assert facts_of(cells_of(line)) == line


def test_a_note_that_was_written_before_notes_were_guarded_reads_as_it_stands() -> None:
    assert [as_typed(note) for note in ("=1+1", "'quoted'", "it's")] == ["=1+1", "'quoted'", "it's"]


def test_a_file_of_only_a_header_holds_no_decisions(tmp_path: Path) -> None:
    assert read_reviews(NAMES, put_reviews(tmp_path)) == {}
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + HEADER.rstrip().encode())
    assert read_reviews(NAMES, tmp_path / "bom.csv") == {}
    assert read_reviews(NAMES, DATA / "label_reviews.csv") is not None


UNREADABLE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is empty; it needs a header"),
    ("header_lost", decision("p2", "mail Bo", "drop").encode(), "lacks the column 'prompt_id'"),
    ("wrong_header", HEADER.replace("decision", "verdict").encode(), "lacks the column 'decision'"),
    ("not_utf8", HEADER.encode() + b"p1,x,drop,,J\xf6rg,2026-11-22,\n", "line 2: not UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), [c[1:] for c in UNREADABLE], ids=[c[0] for c in UNREADABLE])
def test_a_file_that_cannot_be_understood_is_never_taken_for_no_decisions(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "label_reviews.csv").write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_reviews(NAMES, tmp_path / "label_reviews.csv")
    with pytest.raises(TableError, match="does not exist"):
        read_reviews(NAMES, tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("word", "agents", "message"),
    [
        ("delete", "", "line 3: unknown decision 'delete'; write keep, relabel or drop"),
        ("relabel", "", "line 3: relabel names the unknown agent ''; known are coding, email, sql"),
        ("relabel", "sql|juggling", "line 3: relabel names the unknown agent 'juggling'; known are coding, email, sql"),
    ],
)
def test_a_decision_that_cannot_be_followed_is_told_with_its_line(
    word: str, agents: str, message: str, tmp_path: Path
) -> None:
    path = put_reviews(tmp_path, decision("p1", "fix the loop", "keep"), decision("p2", "mail Bo", word, agents))
    with pytest.raises(TableError, match=re.escape(f"{path}, {message}")):
        read_reviews(NAMES, path)
