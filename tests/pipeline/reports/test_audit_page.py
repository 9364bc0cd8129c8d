"""The page that a compliance officer reads: whole, safe whatever the data says, and frank about faults."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_versions import GATE, Recipe, row, write_folder

from pipeline.reports.audit_export import export
from pipeline.reports.audit_page import build_page, render
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import sha256_text
from pipeline.versions.audit import Answered, Audit, FileLocation, KeptFile, Removal, Term, as_json
from pipeline.versions.audit_facts import read_version
from pipeline.versions.provenance import BASE_MODELS

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)> https://example.org/a.png"
SECTIONS = ["service", "decisions", "data", "rows", "labels", "gates", "metrics", "params", "chain", "check"]
LOADING = {"src", "srcset", "poster", "data", "background", "action", "formaction"}
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """The tags of a page with their attributes, the visible text, and tags that were not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes another"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += " ".join(data.split()) + " "


def term(version: str, reason: str, **facts: Any) -> Term:
    known = {"since": "2026-02-01T10:00:00+00:00", "until": "", "who": "Ana", "action": "promoted",
             "forced": False, "gates": {"micro_f1": "passed"}}  # fmt: skip
    return Term(**{**known, "version": version, "reason": reason, **facts})


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    rows = (row("p1", "coding", "flagged", reason="suspect 1"), row("p2", "sql", split="holdout"))
    reviews = (f"p1,{sha256_text('p1')},keep,,bo,2026-01-01,checked",)
    weak = {**GATE, "gate": "champion_micro_f1", "verdict": "undecidable", "reason": "too few prompts"}
    gates = (GATE, weak, {**GATE, "gate": "cost_usd", "value": 0.002, "limit": None, "reason": "no ceiling is set"})
    facts = read_version(write_folder(tmp_path / "router", Recipe(rows=rows, reviews=reviews, gates=gates)))
    places = (FileLocation("cache", "/c", "there"), FileLocation("remote", "/r", "erased", "bo: request 17"))
    return Audit(
        asked="2026-02-03T09:00:00+00:00",
        model="agent-router",
        version="2",
        run_key="nightly-2",
        mlflow_run="run",
        aliases=("champion",),
        terms=(term("2", "better on sql"),),
        before=(term("1", "the first", until="2026-02-01T10:00:00+00:00"),),
        after=None,
        answered=(Answered("command", "2026-02-01T10:00:01+00:00", ""),),
        commit="c" * 40,
        ref="refs/switchtender/runs/nightly-2",
        provenance_sha256="d" * 64,
        forgotten=(),
        pruned=None,
        alias_moved_to=None,
        uncommitted_params=(),
        records="",
        key="",
        faults=(),
        files=(KeptFile("data/prompts.csv", "data", "e" * 64, places),),
        facts=facts,
    )


def test_it_answers_in_the_order_in_which_one_asks(audit: Audit) -> None:
    page = Page(render(audit))
    assert [facts["id"] for tag, facts in page.tags if tag == "section"] == SECTIONS
    assert page.open == []
    order = ["is in service", "Since 2026-02-01 10:00 UTC", "better on sql", "e" * 64, "remote: erased", "request 17",
             "suspect 1", "checked", "too few prompts", "the first", "switchtender verify 2"]  # fmt: skip
    places = [page.words.index(words) for words in order]
    assert places == sorted(places)


def test_a_gate_without_a_ceiling_says_none(audit: Audit) -> None:
    row = render(audit).split(">cost_usd</td>")[1].split("</tr>")[0]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", row)[:2] == ["0.002", "none"]


@pytest.mark.parametrize("role", BASE_MODELS)
def test_published_models_stand_in_it_by_what_they_did(audit: Audit, role: str) -> None:
    page = Page(render(replace(audit, files=(KeptFile("someone/model", role, "4" * 40, ()),))))
    assert f"Published models: {role} (1)" in page.words
    assert page.words.count("Published models: ") == 1


def test_all_rows_stand_in_it_folded_away(audit: Audit) -> None:
    html = render(audit)
    folded = html[html.index("All 2 rows") :]
    assert sha256_text("p1") in folded[: folded.index("</details>")]
    assert sha256_text("p2") in folded[: folded.index("</details>")]


def test_it_loads_nothing_and_refers_to_nothing_outside(audit: Audit) -> None:
    page = Page(render(audit))
    assert not [(tag, facts) for tag, facts in page.tags if LOADING & facts.keys() or tag == "script"]
    assert all(str(facts["href"]).startswith(("#", "data:")) for _, facts in page.tags if "href" in facts)
    assert {facts["href"] for tag, facts in page.tags if tag == "a"} == {f"#{name}" for name in SECTIONS}


def test_hostile_words_anywhere_are_only_words(audit: Audit, tmp_path: Path) -> None:
    rows = (row(ATTACK, ATTACK, "quarantined", reason=ATTACK),)
    reviews = (f"p1,{sha256_text('p1')},keep,{ATTACK},{ATTACK},{ATTACK},{ATTACK}",)
    gate = {**GATE, "gate": ATTACK, "reason": ATTACK, "verdict": ATTACK}
    facts = read_version(write_folder(tmp_path / "hostile", Recipe(rows=rows, reviews=reviews, gates=(gate,))))
    bad = term(ATTACK, ATTACK, who=ATTACK, action=ATTACK, forced=True, gates={ATTACK: ATTACK})
    files = (KeptFile(ATTACK, "data", ATTACK, (FileLocation(ATTACK, ATTACK, ATTACK, ATTACK),)),)
    hostile = replace(
        audit, facts=facts, terms=(bad,), before=(bad,), after=bad, files=files, faults=(ATTACK,), run_key=ATTACK,
        forgotten=(ATTACK,), alias_moved_to=ATTACK, aliases=(ATTACK,), version=ATTACK, model=ATTACK,
    )  # fmt: skip
    html = render(hostile)
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") > 20
    assert {tag for tag, _ in Page(html).tags} == {tag for tag, _ in Page(render(audit)).tags} | {"ul", "li"} | {
        tag for tag, _ in Page(html).tags if tag in ("h3", "small")
    }


def test_a_long_chain_of_champions_is_folded_after_the_latest(audit: Audit) -> None:
    html = render(replace(audit, before=tuple(term(str(n), f"reason {n}.") for n in range(30, 0, -1))))
    shown, folded = html[html.index('id="chain"') :].split("<details>")
    assert ("reason 30." in shown, "reason 30." in folded) == (True, False)
    assert ("reason 1." in shown, "reason 1." in folded) == (False, True)


def test_a_forced_promotion_names_the_gate_that_was_shut(audit: Audit) -> None:
    forced = term("2", "urgent", forced=True, gates={"micro_f1": "passed", "rare_recall": "failed"})
    assert "forced past rare_recall" in Page(render(replace(audit, terms=(forced,)))).words


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({}, "Version 2 is in service"),
        ({"faults": ("version: router/a is changed",)}, "Version 2 is not as it was recorded"),
        ({"terms": ()}, "Version 2 has never been in service"),
        ({"terms": (term("2", "why", until="2026-02-02T10:00:00+00:00"),)}, "Version 2 is no longer in service"),
        ({"facts": None, "pruned": Removal("2026-03-01T10:00:00+00:00", "bo", "old")}, "was removed on purpose"),
    ],
)
def test_the_headline_says_the_worst_first(audit: Audit, changes: dict[str, Any], headline: str) -> None:
    page = Page(render(replace(audit, **changes)))
    start = page.words.index(headline)
    assert start < page.words.index("What is in service")
    assert all(word in page.words for word in changes.get("faults", ()))


def test_a_pruned_version_still_says_who_decided(audit: Audit) -> None:
    gone = replace(audit, facts=None, files=(), pruned=Removal("2026-03-01T10:00:00+00:00", "bo", "making room"))
    words = Page(render(gone)).words
    assert "making room" in words
    assert "better on sql" in words
    assert as_json(gone)["sound"] is None


def test_what_it_learnt_and_should_not_have_and_a_moved_alias_are_at_the_top(audit: Audit) -> None:
    words = Page(render(replace(audit, forgotten=("p9", "p8"), alias_moved_to="1"))).words
    assert words.index("p9, p8") < words.index("What is in service")
    assert words.index("names version 1") < words.index("What is in service")


def test_the_same_facts_give_the_same_file(audit: Audit, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "a.html"
    build_page(audit, page)
    assert page.read_text(encoding="utf-8") == render(audit)
    assert list(page.parent.iterdir()) == [page]


def test_a_folder_to_hand_over_holds_documentation_events_facts_and_the_page(audit: Audit, tmp_path: Path) -> None:
    decided = replace(audit, terms=(term("2", "better | on\nsql", until="2026-02-02T10:00:00+00:00", forced=True),))
    files = {path.name: path.read_text() for path in export(decided, tmp_path / "handed over")}
    events = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    assert [event["event"] for event in events] == ["promoted", "began to answer", "replaced"]
    assert json.loads(files["audit.json"]) == json.loads(json.dumps(as_json(decided)))
    assert "| promoted by force | better \\| on sql |" in files["documentation.md"]
    assert f"| data/prompts.csv | {'e' * 64} |" in files["documentation.md"]
    assert files["audit.html"] == render(decided)
    with pytest.raises(InputError, match="is not empty"):
        export(decided, tmp_path / "handed over")
