"""The documents lead to rooms that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sandbox import ROOT

PATHS = re.compile(r"(?<![\w/])(?:pipeline|flows|switchtender|tests|mlflow|benchmarks)/[\w/]*\w(?:\.py|/)")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUESTIONS = {
    "add a gate", "add a router", "change how thresholds are chosen", "add a column to prompts.csv",
    "put another store behind the registry", "add a tab", "add an importer", "add a method of augmentation",
    "change retries", "add a policy", "add a metric to the report", "add a verb", "change what makes a night new",
    "change how long prompts are read", "change what `forget --erase` removes", "change how a version is signed",
    "change micro-batching", "change the audit", "change the loss", "change where int8 is allowed",
}  # fmt: skip


def table() -> dict[str, list[str]]:
    """What to do, and the paths that CONTRIBUTING.md names for it."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return {
        what.strip(): re.findall(r"`((?:pipeline|flows|switchtender|tests|mlflow|data)/[^`]*)`", where)
        for what, where in rows
    }


def test_each_question_of_a_newcomer_has_a_door() -> None:
    answered = table()
    for question in QUESTIONS:
        assert [paths for what, paths in answered.items() if what.startswith(question) and paths], question


def test_every_door_is_there() -> None:
    missing = {path for paths in table().values() for path in paths if not (ROOT / path).exists()}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_of_code_in_a_document_is_there(page: Path) -> None:
    named = set(PATHS.findall(page.read_text()))
    assert {path for path in named if not (ROOT / path).exists()} - RETIRED.get(page.name, set()) == set()


RETIRED = {"0001-rooms-and-the-command-line.md": {"flows/__main__.py"}}
"""Paths that a page names because they are not there."""
