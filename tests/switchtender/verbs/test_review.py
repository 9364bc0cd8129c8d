"""`review` on a terminal: the page's decisions, line by line, and nothing where there is no terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import ROOT
from suspected_labels import prompt_of, suspected

from flows.curation.dataset_cache import DatasetCache
from flows.curation.label_review import add_decision
from flows.curation.review_session import ReviewSession
from flows.workspace.project import Project
from pipeline.data.label_reviews import DROP, KEEP
from pipeline.data.label_suspects import LabelDecision
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import sha256_text
from switchtender.verbs.review import Walk, parsed

REVIEWS = Path("data/label_reviews.csv")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Rows p0, p1, ... all suspected, in a folder that is a project to the command line."""
    (tmp_path / "params.yaml").write_text("models: {validate: {table: data/prompts.csv}}\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return suspected(tmp_path)


def review(project: Project, *arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the verb; what is typed comes from a terminal, and without it there is none."""
    ours, theirs = os.openpty() if typed is not None else (-1, -1)
    try:
        if typed is not None:
            os.write(ours, typed.encode())
        return subprocess.run(
            [sys.executable, "-m", "switchtender", "review", *arguments],
            cwd=project.root,
            env=os.environ | {"PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull},
            stdin=theirs if typed is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    finally:
        for end in (ours, theirs):
            if end >= 0:
                os.close(end)


def decisions(project: Project) -> list[list[str]]:
    """Id, decision and agents of each line that was written."""
    return [
        line.split(",")[:1] + line.split(",")[2:4] for line in (project.root / REVIEWS).read_text().splitlines()[1:]
    ]


def test_what_is_typed_is_written_as_the_page_writes_it(project: Project) -> None:
    done = review(project, typed="k # asked, twice\nr\nr email,sql\nn\np\nd\nr coding\nr cooking\nu\nu\nx\nq\n")
    assert done.returncode == 0, done.stderr
    assert decisions(project) == [["p0", "keep", ""], ["p1", "relabel", "sql"]]
    assert "asked, twice" in (project.root / REVIEWS).read_text()
    for said in (
        "24 of 24 left, suspects of nightly-1",
        prompt_of(0),
        "label given:  coding",
        "suggested:    sql",
        "given, but unlikely: coding 0.10; likeliest of those not given: sql 0.80",
        "p2 relabelled to email, sql. The next night takes it in.",
        "that is the label it has",
        "relabelling names known agents (found: cooking)",
        "p3 is undecided again (it was: dropped)",
        "taken back: relabelled to email, sql",
        "'x' is no key",
        "22 of 24 left",
    ):
        assert said in done.stdout, said


def test_undo_reaches_what_was_decided_in_an_earlier_walk(project: Project) -> None:
    review(project, typed="k\nd\nq\n")
    done = review(project, typed="u\nu\nu\nq\n")
    assert decisions(project) == []
    assert "p0 is undecided again (it was: kept" in done.stdout
    assert "nothing is left to undo" in done.stdout


def test_a_dry_run_asks_and_writes_nothing(project: Project) -> None:
    before = (project.root / REVIEWS).read_bytes()
    done = review(project, "--dry-run", typed="d\nr email\nr coding\nu\nq\n")
    assert done.returncode == 0, done.stderr
    assert "p0 would be dropped" in done.stdout
    assert "22 of 24 left" in done.stdout
    assert "p1 is undecided again (it was: relabelled to email)" in done.stdout
    assert (project.root / REVIEWS).read_bytes() == before


def test_without_a_terminal_nothing_is_asked(project: Project) -> None:
    done = review(project)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--json" in done.stderr
    facts = json.loads(review(project, "--json").stdout)
    assert (facts["left"], facts["night"], facts["suspects"][0]["suggested"]) == (24, "nightly-1", ["sql"])


def test_on_the_models_track_there_are_no_labels(project: Project) -> None:
    done = review(project, "--track", "models", typed="")
    assert (done.returncode, "Labels are reviewed on the agents' track" in done.stdout) == (0, True)
    assert json.loads(review(project, "--track", "models", "--json").stdout)["suspects"] == []


def test_what_somebody_decided_meanwhile_is_shown_beside_the_row(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second person's terminal: what is typed there comes after the first one's decision."""

    def typed(_: str) -> str:
        if (line := next(lines)) == "d":
            other = LabelDecision("p0", sha256_text(prompt_of(0)), KEEP, (), "ana", "")
            add_decision(project, DatasetCache(project), other, "2026-11-22")
        return line

    lines = iter(["d", "q"])
    monkeypatch.setattr("builtins.input", typed)
    Walk(ReviewSession(project), dry_run=False).run()
    said = capsys.readouterr().out
    assert "ana has decided on p0 meanwhile: keep" in said
    assert "p0 · suspect 1 · label quality 0.10 of 1 · ana decided: keep" in said
    assert decisions(project) == [["p0", KEEP, ""]]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("", ("", (), "")),
        ("K", ("keep", (), "")),
        ("relabel a|b", ("relabel", ("a", "b"), "")),
        (" r  c# , d # why not", ("relabel", ("c#", "d"), "why not")),
        ("drop # says # twice", (DROP, (), "says # twice")),
    ],
)
def test_lines_are_read(line: str, meant: tuple[str, tuple[str, ...], str]) -> None:
    assert parsed(line) == meant


@pytest.mark.parametrize("line", ["z", "kk", "k sql", "n # a note", "# a note", "r a,,b"])
def test_lines_that_mean_nothing_are_refused(line: str) -> None:
    with pytest.raises(InputError):
        parsed(line)
