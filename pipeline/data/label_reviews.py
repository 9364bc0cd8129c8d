"""People's decisions on labels: data/label_reviews.csv. They always win over what a model suspects.

A decision belongs to one text: `text_sha256` ties it, and a decision on a text that has changed since is stale
and does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import split_agents
from pipeline.runtime.errors import TableError, listed
from pipeline.runtime.tables import LINE, read_table, sha256_text

REVIEWS_FILE = Path("data/label_reviews.csv")
KEEP, RELABEL, DROP = "keep", "relabel", "drop"
COLUMNS = ("prompt_id", "text_sha256", "decision", "agents", "reviewer", "reviewed_on", "note")
_TYPED = ("reviewer", "note")
_FORMULA = r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]"
"""How a cell begins that a spreadsheet may compute, also with full-width signs (OWASP, "CSV Injection")."""


def spreadsheet_safe(text: str) -> str:
    """A text as it is written into a CSV cell: an apostrophe goes before one that a spreadsheet would compute."""
    return f"'{text}" if re.match(f"'*(?:{_FORMULA})", text) else text


def as_typed(cell: str) -> str:
    """The text that `spreadsheet_safe` wrote; one that was written without it comes back as it is."""
    return cell[1:] if re.match(f"'+(?:{_FORMULA})", cell) else cell


def cells_of(facts: Mapping[str, str]) -> dict[str, str]:
    """A decision as the file's cells hold it, by column; `facts_of` gives it back."""
    return {name: spreadsheet_safe(fact) if name in _TYPED else fact for name, fact in facts.items()}


def facts_of(cells: Mapping[str, str]) -> dict[str, str]:
    """A line of the file by column, with what people typed as they typed it."""
    return {name: as_typed(cells[name]) if name in _TYPED else cells[name] for name in COLUMNS}


@dataclass(frozen=True)
class LabelReview:
    """One decision; `agents` is the new label of a relabelled row, else empty."""

    prompt_id: str
    text_sha256: str
    decision: str
    agents: str
    reviewer: str
    note: str

    def concerns(self, prompt: str) -> bool:
        """Whether the text is still the one that was judged."""
        return sha256_text(prompt) == self.text_sha256


def read_reviews(names: tuple[str, ...], path: Path = REVIEWS_FILE) -> dict[str, LabelReview]:
    """The latest decision on each prompt id, by line order, in which they stand too; `names` are the known agents.

    Raises:
        TableError: the file or a column is missing, a decision is unknown, or a relabelling names no known agent.
    """
    if path.is_file() and _is_header_only(path.read_bytes()):
        return {}
    frame = read_table(path, required=COLUMNS)
    latest: dict[str, LabelReview] = {}
    for row in frame.itertuples():
        latest.pop(str(row.prompt_id), None)  # so that it stands where its latest line does
        latest[str(row.prompt_id)] = _review(row, names, path)
    return latest


def _is_header_only(content: bytes) -> bool:
    """Whether the one line is the header: a lone decision whose header is lost must not pass as none."""
    lines = content.decode("utf-8-sig", "replace").splitlines()
    return len(lines) == 1 and set(COLUMNS) <= set(lines[0].split(","))


def _review(row: object, names: tuple[str, ...], path: Path) -> LabelReview:
    facts = facts_of({name: str(getattr(row, name)) for name in COLUMNS})
    del facts["reviewed_on"]
    where = f"{path}, line {getattr(row, LINE)}"
    if facts["decision"] not in (KEEP, RELABEL, DROP):
        raise TableError(f"{where}: unknown decision '{facts['decision']}'; write {KEEP}, {RELABEL} or {DROP}")
    agents = split_agents(facts["agents"]) if facts["decision"] == RELABEL else ()
    unknown = [name for name in agents if name not in names]
    if unknown or (facts["decision"] == RELABEL and not agents):
        found = unknown[0] if unknown else ""
        raise TableError(f"{where}: relabel names the unknown agent '{found}'; known are {listed(names)}")
    ordered = sorted(set(agents), key=names.index)
    return LabelReview(**{**facts, "agents": SEPARATOR.join(ordered)})


def decision_on(row: pd.Series, reviews: dict[str, LabelReview]) -> LabelReview | None:
    """The decision that holds for a row with `prompt_id` and `prompt`, if any."""
    review = reviews.get(str(row["prompt_id"]))
    return review if review and review.concerns(str(row["prompt"])) else None
