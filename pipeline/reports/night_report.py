"""The report of one night: a single HTML file that needs nothing else, neither network nor neighbours.

Whether the night passed, and why not, stands at the top. Every text from the data is escaped by the template
engine, and a content security policy in the page forbids it to load or run anything.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.outcomes import split_agents
from pipeline.gating.results import NOT_ASKED, PASSED, UNDECIDABLE
from pipeline.learning.augmentation import WAYS
from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.reports.night_facts import UNCHANGED, NightFacts
from pipeline.reports.night_history import StageTime
from pipeline.runtime.stage import ORDER, Summary
from pipeline.runtime.tables import write_text
from pipeline.runtime.text import counted, to_digits
from pipeline.runtime.track import AGENTS
from pipeline.versions.diff import dotted

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "report.html.j2"
MOST_SUSPECTS, MOST_QUARANTINED, MOST_IDS = 20, 50, 60
SYSTEMS = {
    "router": "this router",
    "tfidf": "TF-IDF + logistic regression",
    "linear": "frozen embeddings + linear",
    "knn": "k nearest neighbours",
    "clusters": "k-means clusters",
    "random": "any candidate at random",
    "cheapest": "always the cheapest",
    "dearest": "always the dearest",
    "best_single": "always the best single one",
    "best_per_dataset": "told the data set's name",
    "oracle": "oracle: the best answer to each",
}
METRICS = {
    "micro_f1": "micro-F1", "macro_f1": "macro-F1", "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss", "calibration_error": "calibration error",
    "label_count_error": "labels expected against given",
    "quality": "quality", "cost_usd": "USD a prompt", "gap_closed": "gap to the oracle closed",
    "accept_rate": "accept rate", "mean_rank": "rank",
}  # fmt: skip
LOWER_IS_BETTER = {"hamming_loss", "calibration_error", "label_count_error", "cost_usd", "mean_rank"}
CAPTIONS = {
    "per_agent": (
        "Agent by agent",
        (
            "Pale bars are F1, the upright mark is precision, the dot recall. In brackets, how many prompts of the "
            "holdout ask for the agent: with few, one prompt moves the bar far."
        ),
    ),
    "precision_recall": (
        "Precision and recall",
        (
            "The line is what one threshold for all agents would give. The orange dot is the router with its own "
            "threshold for each agent. Grey lines join points of equal F1."
        ),
    ),
    "reliability": (
        "Can the probabilities be believed?",
        (
            "Left: points on the dashed line keep their promise; below it the router is too sure. Right: the gap in "
            "each tenth of all prompt and agent pairs, which average to the calibration error."
        ),
    ),
    "cooccurrence": (
        "What is taken for what",
        (
            "Blue: prompts in which the agent was rightly chosen. Orange: the agent on the left was missed in a prompt "
            "where the agent below was chosen without need; “nothing” where no other took its place."
        ),
    ),
    "cost_quality": (
        "Quality for cost",
        (
            "Points are candidates and what the router chose. Lines are swept on these very prompts, which flatters "
            "them; the router's own point is not."
        ),
    ),
    "task_map": (
        "The tasks that were discovered",
        "Each dot is a train prompt; near dots are alike. The legend names the largest tasks and who is best there.",
    ),
    "slices": (
        "Where the router leads",
        "Mean quality on parts of the holdout, beside the best single candidate and the oracle.",
    ),
}


@dataclass(frozen=True)
class Banner:
    """The first thing read on a page: tone `good`, `bad` or `plain`, a headline, and what to look at next."""

    tone: str
    headline: str
    detail: str


def build_report(facts: NightFacts, path: Path) -> None:
    """Draw the report and write it whole.

    Raises:
        TableError: the place cannot be written.
    """
    write_text(render(facts), path)


def render(facts: NightFacts) -> str:
    """The page as HTML; the same facts give the same text."""
    rank = {PASSED: 2, UNDECIDABLE: 1}
    figures = _router_figures(facts)
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            facts=facts,
            banner=banner(facts),
            gates=sorted(facts.gates, key=lambda gate: rank.get(gate.verdict, 0)),
            headline=figures.get(facts.track.headline),
            shown=[name for name in METRICS if name in figures],
            pictures=[(*CAPTIONS[name], _data_address(png)) for name, png in facts.pictures.items()],
            stages=stage_rows(facts),
            fates=fate_rows(facts.fates),
            environment=_one_level(facts.environment or {}),
            captions=CAPTIONS,
            of_agents=facts.track is AGENTS,
            ways=WAYS,
        )
    )


def banner(facts: NightFacts) -> Banner:
    """Whether the night passed. Anything but an open door is bad news: no verdict is not a pass."""
    if facts.stopped is not None or facts.verdict is None:
        return Banner(
            "bad",
            "Stopped before a verdict",
            facts.stopped or "The gate stage wrote no verdict.",
        )
    if not facts.passed:
        count = f"{len(facts.closed)} of {counted(len(facts.gates), 'gate')}"
        headline = f"Not passed: {count} did not open" if facts.closed else "Not passed"
        return Banner("bad", headline, "Nothing was registered." if facts.version is None else "")
    asked = sum(gate.told_verdict != NOT_ASKED for gate in facts.gates)
    opened = "its one gate" if len(facts.gates) == 1 else f"all {counted(asked, 'gate')}"
    opened += f"; {len(facts.gates) - asked} not asked" if asked < len(facts.gates) else ""
    if facts.version is None:
        return Banner("good", f"Passed {opened}", "No version was registered.")
    role = f" as {facts.alias}" if facts.alias else ""
    return Banner("good", f"Passed {opened}", f"Version {facts.version} is registered{role}.")


def _router_figures(facts: NightFacts) -> dict[str, Estimate]:
    """The router's figures on the holdout; none where the night did not come so far."""
    return facts.metrics.systems.get(ROUTER, {}) if facts.metrics else {}


@dataclass(frozen=True)
class StageRow:
    """A stage that was timed or left a summary; `width` is that of its bar, in per cent of the longest."""

    stage: str
    time: StageTime | None
    width: float
    summary: Summary | None


def stage_rows(facts: NightFacts) -> list[StageRow]:
    """The stages that were timed, and below them those that only left a summary."""
    times = {time.stage.removeprefix(facts.track.prefix): time for time in facts.timings}
    longest = max((time.seconds for time in facts.timings), default=0.0) or 1.0
    names = dict.fromkeys([*times, *(name for name in ORDER if name in facts.summaries)])
    width = {name: 100 * time.seconds / longest for name, time in times.items()}
    return [StageRow(name, times.get(name), width.get(name, 0), facts.summaries.get(name)) for name in names]


def fate_rows(
    fates: dict[str, dict[str, int]] | None,
) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """The table of fates: its columns, most frequent first, and one row of counts a stage."""
    totals: dict[str, int] = {}
    for counts in (fates or {}).values():
        for fate, count in counts.items():
            totals[fate] = totals.get(fate, 0) + count
    columns = sorted(totals, key=lambda fate: (-totals[fate], fate))
    return columns, [(stage, [counts.get(fate, 0) for fate in columns]) for stage, counts in (fates or {}).items()]


def _one_level(facts: Mapping[str, object]) -> dict[str, object]:
    """Nested facts as `outer.inner`; a list becomes its items joined by commas."""
    flat = dotted(facts).items()
    return {name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value for name, value in flat}


def page_environment() -> Environment:
    """Where every page is rendered: all values escaped, an unknown name an error, the shared filters and names."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "agents": split_agents}
    environment.globals |= {"SYSTEMS": SYSTEMS, "METRICS": METRICS, "LOWER_IS_BETTER": LOWER_IS_BETTER}
    return environment


def _environment() -> Environment:
    environment = page_environment()
    environment.filters |= {"duration": duration, "counted": counted}
    environment.globals |= {
        "UNCHANGED": UNCHANGED,
        "MOST_SUSPECTS": MOST_SUSPECTS, "MOST_QUARANTINED": MOST_QUARANTINED, "MOST_IDS": MOST_IDS,
    }  # fmt: skip
    return environment


def _data_address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def figure(value: object, digits: int = 3) -> str:
    """A value as it is read: whole numbers with separators, others to some digits, nothing as a dash."""
    if value is None or value == "" or (isinstance(value, float) and isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and abs(value) >= 10 and value.is_integer()):
        return f"{int(value):,}"
    if isinstance(value, float):
        return to_digits(value, digits)
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as `0.4 s`, `12 s` or `2 min 05 s`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
