from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.data.fates import KEPT, QUARANTINED, fate_of, write_fates
from pipeline.evaluation.label_report import LabelReport
from pipeline.gating.results import GateResult
from pipeline.learning.augmentation import AugmentationTrial
from pipeline.reports.night_facts import (
    UNCHANGED,
    DataChanges,
    NightFacts,
    collect,
)
from pipeline.reports.night_history import StageTime
from pipeline.reports.night_report import banner, build_report, duration, figure, render, stage_rows
from pipeline.runtime.errors import InputError
from pipeline.runtime.plain import parsed
from pipeline.runtime.track import MODELS

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)> see https://example.org/a.png"
LOADING = {
    "src",
    "srcset",
    "poster",
    "data",
    "background",
    "action",
    "formaction",
    "xlink:href",
}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f"
    "0005000201ff26d5fd0a0000000049454e44ae426082"
)


class Page(HTMLParser):
    """The tags of a page with their attributes, the visible text, and the text of the banner alone."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.hidden = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def top(self) -> str:
        """What stands above the first section: all that is read in the first seconds."""
        return self.text.split("A gate that failed or could not decide", 1)[0]


TRIAL = AugmentationTrial(True, 130, 0.9, 1.2, 0.05, {"compose": (1.0, 0.04)})


def _interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.04}


def _gate(
    name: str,
    verdict: str = "passed",
    value: float | None = 0.88,
    reason: str = "at least the floor",
) -> GateResult:
    return GateResult(name, value, 0.87, verdict, reason)


def _metrics() -> dict[str, Any]:
    names = (
        "micro_f1",
        "macro_f1",
        "hamming_loss",
        "subset_accuracy",
        "calibration_error",
    )
    systems = {"router": 0.881, "tfidf": 0.702, "linear": 0.764}
    return {
        "systems": {system: {name: _interval(value) for name in names} for system, value in systems.items()},
        "micro_f1_over": {"tfidf": _interval(0.179), "linear": _interval(0.117)},
        "per_agent": [
            {
                "candidate": "coding",
                "precision": 0.9,
                "recall": 0.8,
                "f1": 0.847,
                "support": 10,
            },
            {
                "candidate": "legal",
                "precision": 0.0,
                "recall": 0.0,
                "f1": 0.0,
                "support": 0,
            },
        ],
        "slices": [{"slice": "one agent", "prompts": 60, "labels": 60, **_interval(0.9)}],
        "prompts": 112,
        "holdout_version": "ab" * 32,
        "unsupported_languages": [{"language": "Cyrillic letters", "prompts": 3, "prompt_ids": ["p9", "p12"]}],
    }


def _facts() -> NightFacts:
    suspect = {
        "rank": "1", "prompt_id": "p7", "prompt": ATTACK, "agents": "coding|sql", "quality": "0.123456",
        "doubted": "sql 0.08", "missing": "email 0.91", "suggested": "coding|email", "review": "",
    }  # fmt: skip
    return NightFacts(
        run_key="nightly-2026-11-22-1",
        verdict="passed",
        gates=(_gate("micro_f1"), _gate("macro_f1")),
        version="12",
        alias="challenger",
        timings=(StageTime("validate", 8.0, UNCHANGED), StageTime("train", 125.0)),
        changes=DataChanges("version 11, champion", added=("p503",), changed=("p9", ATTACK)),
        uncommitted=("data/agents.yaml",),
        summaries={"train": {"rows": 414, "loss": 0.25, "note": ATTACK}},
        metrics=parsed(LabelReport, _metrics()),
        pictures={"per_agent": PIXEL},
        suspects=[suspect],
        quarantine=[
            {
                "line": "17",
                "prompt_id": "p16",
                "prompt": ATTACK,
                "agents": "emial",
                "reasons": ATTACK,
            }
        ],
        fates={
            "validate": {"kept": 502, "quarantined": 1},
            "augment": {"augmented": 24},
        },
        lineage={"rows": 526, "taught": 414},
        environment={"python": "3.11", "packages": {"torch": "2"}, "flags": [1, 2]},
        params="run:\n  seed: 7 # " + ATTACK,
        digests={"data/prompts.csv": "cd" * 32},
        links={"Data Docs": "data_docs/index.html"},
    )


def test_each_stage_of_the_models_track_is_one_row() -> None:
    facts = NightFacts(
        "models-1", MODELS, timings=(StageTime("models_validate", 4.7),), summaries={"validate": {"rows": 3}}
    )
    (row,) = stage_rows(facts)
    assert (row.stage, row.time.seconds if row.time else None, row.summary) == ("validate", 4.7, {"rows": 3})


def test_a_passed_night_says_so_with_version_and_interval_at_the_top() -> None:
    top = Page(render(_facts())).top
    for words in (
        "✓ Passed all 2 gates",
        "Version 12 is registered as challenger",
        "0.881",
        "0.831 to 0.921",
    ):
        assert words in top
    assert "Not passed" not in top


@pytest.mark.parametrize("verdict", ["failed", "undecidable"])
def test_a_gate_that_did_not_open_is_named_with_its_reason_in_the_banner(
    verdict: str,
) -> None:
    closed = _gate("rare_recall", verdict, None, "fewer than 2 holdout prompts of legal")
    facts = replace(
        _facts(),
        verdict="failed",
        gates=(_gate("micro_f1"), closed),
        version=None,
        alias=None,
    )
    page = render(facts)
    top = Page(page).top
    assert "✕ Not passed: 1 of 2 gates did not open" in top
    assert "Nothing was registered" in top
    assert f"rare_recall {verdict}" in top
    assert "fewer than 2 holdout prompts of legal" in top
    assert 'class="banner bad"' in page
    rows = page.split('id="gates"')[1]
    assert rows.index("rare_recall") < rows.index("micro_f1")


def test_a_gate_without_a_ceiling_says_none() -> None:
    free = GateResult("cost_usd", 0.002, None, "passed", "no ceiling is set")
    rows = render(replace(_facts(), gates=(_gate("micro_f1"), free))).split('id="gates"')[1]
    assert re.search(r"cost_usd</td>.*0\.002</td><td[^>]*>none</td>", rows)


@pytest.mark.parametrize(
    "change",
    [
        {"gates": (_gate("micro_f1", "failed"),)},
        {"gates": (_gate("micro_f1", "no such verdict"),)},
        {"gates": ()},
        {"verdict": "failed"},
        {"verdict": None},
        {"stopped": "train: out of memory"},
    ],
    ids=[
        "a gate failed",
        "a strange verdict",
        "no gates",
        "verdict failed",
        "no verdict",
        "stopped",
    ],
)
def test_only_an_open_door_is_good_news(change: dict[str, Any]) -> None:
    assert banner(_facts()).tone == "good"
    assert banner(replace(_facts(), **change)).tone == "bad"


def test_a_night_that_stopped_early_says_where_and_shows_what_there_is() -> None:
    text = Page(render(NightFacts("nightly-1", stopped="validate: 13 of 502 rows are in quarantine"))).text
    assert "Stopped before a verdict" in text
    assert "validate: 13 of 502 rows are in quarantine" in text
    assert "The router was not evaluated this night." in text
    assert "the data was not validated" in text
    assert "No row was quarantined" not in text


def test_none_found_and_could_not_look_read_differently() -> None:
    looked = Page(render(replace(_facts(), quarantine=[], suspects=[]))).text
    assert "No row was quarantined." in looked
    assert "No label looks wrong." in looked


def test_prompts_are_shown_as_text_and_never_become_tags() -> None:
    html = render(
        replace(
            _facts(),
            stopped=ATTACK,
            run_key=ATTACK,
            gates=(_gate(ATTACK, "failed", reason=ATTACK),),
        )
    )
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert html.count("<img ") == 1
    assert page.text.count("<script>alert(1)</script>") >= 8


def test_nothing_is_requested_from_elsewhere() -> None:
    html = render(_facts())
    page = Page(html)
    loaded = [
        v for tag, attrs in page.tags for k, v in attrs.items() if k in LOADING or (tag == "link" and k == "href")
    ]
    assert len(loaded) == 2
    assert all(value and value.startswith("data:") for value in loaded)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    policies = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policies[0])


def test_links_lead_where_the_caller_says() -> None:
    assert ("a", {"href": "data_docs/index.html"}) in Page(render(_facts())).tags


def test_every_section_shows_its_facts() -> None:
    text = Page(render(_facts())).text
    for words in (
        "TF-IDF + logistic regression", "+0.179", "not asked for in the holdout", "one agent", "version 11, champion",
        "p503", "data/agents.yaml", "sql 0.08", "email 0.91", "2 min 05 s", "unchanged", "taught 414",
        "packages.torch", "1, 2", "Cyrillic letters", "p9, p12", "cd" * 32, "seed: 7",
    ):  # fmt: skip
        assert words in text, words


def test_what_augmentation_brought_is_told_with_and_without_an_ablation() -> None:
    told = Page(render(replace(_facts(), augmentation=TRIAL))).text
    for words in ("on 130 prompts of train", "They are used", "prompts joined to another alone", "-0.200", "-0.300"):
        assert words in told, words
    told = Page(render(replace(_facts(), augmentation=replace(TRIAL, used=False, alone={})))).text
    assert "They are left out" in told
    assert "train.ablation: true also tells" in told
    assert "Other wordings" not in Page(render(_facts())).text


def test_without_a_champion_there_is_nothing_to_compare_with() -> None:
    text = Page(render(replace(_facts(), changes=None))).text
    assert "there is no earlier dataset" in text
    assert "New rows" not in text


def test_the_same_facts_give_the_same_page_written_whole(tmp_path: Path) -> None:
    build_report(_facts(), tmp_path / "one.html")
    build_report(_facts(), tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.html", "two.html"]


def _night(folder: Path) -> Path:
    stages = folder / "var" / "stages"
    files: dict[str, Any] = {
        "gate/verdict.json": {
            "verdict": "failed",
            "gates": [_gate("micro_f1", "failed").to_json()],
        },
        "gate/summary.json": {"verdict": "failed"},
        "validate/summary.json": {"rows": 3},
        "evaluate/metrics.json": _metrics(),
        "train/environment.json": {"python": "3.11"},
        "lineage/summary.json": {"rows": 3},
        "train/router/classifier.json": {"augmentation": asdict(TRIAL)},
    }
    for name, value in files.items():
        (stages / name).parent.mkdir(parents=True, exist_ok=True)
        (stages / name).write_text(json.dumps(value), encoding="utf-8")
    (stages / "evaluate" / "plots").mkdir()
    (stages / "evaluate" / "plots" / "per_agent.png").write_bytes(PIXEL)
    (stages / "validate" / "quarantine.csv").write_text("line,prompt_id,prompt,agents,reasons\n", encoding="utf-8")
    write_fates(
        "validate",
        [
            fate_of("a", "x", KEPT),
            fate_of("b", "y", KEPT),
            fate_of("c", "z", QUARANTINED),
        ],
        stages / "fates",
    )
    write_fates("augment", [], stages / "fates")
    (folder / "data").mkdir()
    (folder / "data" / "prompts.csv").write_bytes(b"abc")
    (folder / "data" / "README.md").write_bytes(b"words")
    (folder / "params.yaml").write_text("run: {seed: 7}\n", encoding="utf-8")
    return folder


def test_collect_reads_what_the_stages_left(tmp_path: Path) -> None:
    facts = collect(_night(tmp_path), "nightly-1")
    assert (facts.verdict, len(facts.closed), facts.passed) == ("failed", 1, False)
    assert list(facts.summaries) == ["validate", "gate", "lineage"]
    assert facts.quarantine == []
    assert facts.suspects is None
    assert facts.fates == {"validate": {"kept": 2, "quarantined": 1}, "augment": {}}
    assert facts.lineage == {"rows": 3}
    assert facts.augmentation == TRIAL
    assert facts.pictures == {"per_agent": PIXEL}
    assert set(facts.digests) == {"data/prompts.csv", "params.yaml"}
    assert facts.digests["data/prompts.csv"].startswith("ba7816bf8f01cfea")
    assert isinstance(facts.metrics, LabelReport)
    assert facts.metrics.slices[0].slice == "one agent"
    assert "Not passed: 1 of 1 gate did not open" in Page(render(facts)).top


def test_collect_keeps_a_prompt_of_several_lines_in_one_row(tmp_path: Path) -> None:
    prompts = ['one,\n"two"', "no quotes\u2028but\x85odd\x0bends"]
    rows = [{"line": "2", "prompt_id": "a", "prompt": prompt, "agents": "", "reasons": "r"} for prompt in prompts]
    pd.DataFrame(rows).to_csv(_night(tmp_path) / "var" / "stages" / "validate" / "quarantine.csv", index=False)
    assert collect(tmp_path, "nightly-1").quarantine == rows


def test_collect_of_an_empty_folder_is_a_night_without_a_verdict(
    tmp_path: Path,
) -> None:
    facts = collect(tmp_path, "nightly-1")
    assert facts.verdict is None
    assert facts.fates is None
    assert "The gate stage wrote no verdict." in Page(render(facts)).top


@pytest.mark.parametrize("text", ['{"verdict": "pas', "[]", ""])
def test_a_damaged_verdict_is_an_error_and_not_a_missing_one(text: str, tmp_path: Path) -> None:
    verdict = _night(tmp_path) / "var" / "stages" / "gate" / "verdict.json"
    verdict.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(str(verdict))):
        collect(tmp_path, "nightly-1")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), ("", "–"), (0.87, "0.870"), (0.0, "0.000"), (-0.05, "-0.050"), (0.00042, "0.00042"),
        (390.0, "390"), (1234567, "1,234,567"), (True, "yes"), ("minilm", "minilm"),
    ],
)  # fmt: skip
def test_figures_are_short(value: Any, shown: str) -> None:
    assert figure(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (12.4, "12 s"), (59.7, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_durations_are_read_at_a_glance(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
