"""Label review on a project: the suspects that are still to be decided, and decisions written down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.curation.dataset_cache import DatasetCache
from flows.records.promotion_log import who_am_i
from flows.workspace import runs
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.data.agents import AGENTS_FILE, read_agents
from pipeline.data.label_reviews import COLUMNS, DROP, KEEP, RELABEL, REVIEWS_FILE, LabelReview, cells_of, read_reviews
from pipeline.data.label_suspects import LabelDecision, Suspect, Suspects
from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import split_agents
from pipeline.data.row_removal import read_utf8, without_last
from pipeline.runtime.csv_rows import with_rows
from pipeline.runtime.errors import InputError, listed, suggestion
from pipeline.runtime.stage import STAGES
from pipeline.runtime.tables import read_table, sha256_text, write_text
from pipeline.versions.folder import suspects_in

if TYPE_CHECKING:
    import pandas as pd

WAIT_SECONDS = 10.0


def suspects_of(project: Project, dataset: DatasetCache) -> Suspects:
    """The suspects of the latest night that finished, as far as the dataset still has those rows.

    Raises:
        InputError: no night has finished.
        SwitchtenderError: a file cannot be read.
    """
    night, table = _latest_suspects(project)
    names = _names(project)
    reviews = read_reviews(names, project.root / REVIEWS_FILE)
    found = [_suspect(row, reviews) for row in table.to_dict("records")]
    there = tuple(suspect for suspect in found if _is_there(suspect, dataset))
    return Suspects(night, there, len(found) - len(there), names)


def decided_by(project: Project, dataset: DatasetCache, reviewer: str) -> tuple[LabelDecision, ...]:
    """What one person has decided on the suspects of the latest night since then, as far as it stands, the latest last.

    `reviewer` is empty where nobody had to give a name. What that night took in already is history.

    Raises:
        InputError, SwitchtenderError: as for `suspects_of`.
    """
    _, table = _latest_suspects(project)
    open_then = set(table["prompt_id"][table["review"] == ""])
    name = reviewer or who_am_i(project)
    reviews = read_reviews(_names(project), project.root / REVIEWS_FILE).values()
    mine = [review for review in reviews if review.reviewer == name and review.prompt_id in open_then]
    return tuple(_decision_of(one) for one in mine if (row := dataset.row(one.prompt_id)) and one.concerns(row.prompt))


def _decision_of(review: LabelReview) -> LabelDecision:
    agents = split_agents(review.agents)
    return LabelDecision(
        review.prompt_id, review.text_sha256, review.decision, agents, review.reviewer, review.note
    )  # fmt: skip


def _latest_suspects(project: Project) -> tuple[str, pd.DataFrame]:
    """The latest night that finished, and its table of suspects."""
    last = runs.latest_finished(project)
    if last is None:
        raise InputError(f"no night has finished yet, so that there are no suspects; run '{project.night_command}'")
    return last.key, read_table(suspects_in(runs.clone_of(project, last.key) / STAGES))


def _names(project: Project) -> tuple[str, ...]:
    return tuple(agent.name for agent in read_agents(project.root / AGENTS_FILE))


def _suspect(row: dict[Any, Any], reviews: dict[str, LabelReview]) -> Suspect:
    review = reviews.get(str(row["prompt_id"]))
    decided = review if review and review.concerns(str(row["prompt"])) else None
    return Suspect(
        rank=int(row["rank"]),
        prompt_id=str(row["prompt_id"]),
        text_sha256=sha256_text(str(row["prompt"])),
        prompt=str(row["prompt"]),
        agents=split_agents(str(row["agents"])),
        suggested=split_agents(str(row["suggested"])),
        quality=float(row["quality"]),
        doubted=str(row["doubted"]),
        missing=str(row["missing"]),
        decision=decided.decision if decided else "",
        reviewer=decided.reviewer if decided else "",
    )


def _is_there(suspect: Suspect, dataset: DatasetCache) -> bool:
    """Whether the dataset has the text, and still with the label that was suspected or one that a person decided."""
    row = dataset.row(suspect.prompt_id)
    if row is None or row.prompt != suspect.prompt:
        return False
    return bool(suspect.decision) or set(row.agents) == set(suspect.agents)


def add_decision(project: Project, dataset: DatasetCache, decision: LabelDecision, day: str) -> None:
    """Append one row to data/label_reviews.csv, under a lock, whole or not at all; `day` is the date (ISO).

    Raises:
        InputError: the row is not (any more) as it was judged, the label names no known agent, or somebody else
            has decided on it meanwhile.
        HeldByAnotherRun: somebody else kept the lock for too long.
        TableError: the file is malformed or cannot be written.
    """
    with held(project.reviews_lock, f"a decision on {decision.prompt_id}", WAIT_SECONDS):
        require_possible(project, dataset, decision)
        path = project.root / REVIEWS_FILE
        write_text(_appended(project, path, decision, day), path)


def require_possible(project: Project, dataset: DatasetCache, decision: LabelDecision) -> None:
    """Hold a decision against the dataset and the decisions so far, and write nothing; raises as `add_decision`."""
    names = _names(project)
    _require_valid(decision, names)
    row = dataset.row(decision.prompt_id)
    if row is None or sha256_text(row.prompt) != decision.text_sha256:
        raise InputError(f"{decision.prompt_id} was changed or removed in the dataset meanwhile; go on")
    reviews = read_reviews(names, project.root / REVIEWS_FILE)
    _require_unseen(reviews.get(decision.prompt_id), row.prompt, decision)


def take_back(project: Project, decision: LabelDecision) -> None:
    """Take one row out of data/label_reviews.csv again; what had been decided on it before holds once more.

    Raises:
        InputError: it is not the latest decision on its row (any more).
        HeldByAnotherRun, TableError: as for `add_decision`.
    """
    path = project.root / REVIEWS_FILE
    with held(project.reviews_lock, f"taking back a decision on {decision.prompt_id}", WAIT_SECONDS):
        review = read_reviews(_names(project), path).get(decision.prompt_id)
        if review != _review_of(project, decision):
            by = f"{review.reviewer} has decided on {decision.prompt_id}" if review else "it was taken out of the file"
            raise InputError(f"the decision on {decision.prompt_id} is not undone: {by} meanwhile; that stands")
        write_text(without_last(read_utf8(path), decision.prompt_id, str(REVIEWS_FILE)), path)


def _review_of(project: Project, decision: LabelDecision) -> LabelReview:
    """A decision as it is read back from the file."""
    ordered = SEPARATOR.join(name for name in _names(project) if name in decision.agents)
    reviewer = decision.reviewer or who_am_i(project)
    return LabelReview(
        decision.prompt_id, decision.text_sha256, decision.decision, ordered, reviewer, _plain(decision.note)
    )


def _require_valid(decision: LabelDecision, names: tuple[str, ...]) -> None:
    """Refuse an unknown decision or agent, a relabelling without a label, and a label without a relabelling."""
    if decision.decision not in (KEEP, RELABEL, DROP):
        raise InputError(f"unknown decision '{decision.decision}'; known are {KEEP}, {RELABEL}, {DROP}")
    unknown = [name for name in decision.agents if name not in names]
    if unknown:
        hint = suggestion(unknown[0], names, f"known are {listed(names)}", 0.8)
        raise InputError(f"a relabelling names known agents (found: {listed(unknown)}); {hint}")
    if (decision.decision == RELABEL) != bool(decision.agents):
        raise InputError(f"a relabelling names known agents (found: {listed(decision.agents)})")


def _require_unseen(review: LabelReview | None, prompt: str, decision: LabelDecision) -> None:
    """Refuse a decision by somebody who was not shown the present one: of two people, the first one's stands."""
    present = review.decision if review and review.concerns(prompt) else ""
    if review and present and present != decision.seen:
        raise InputError(f"{review.reviewer} has decided on {decision.prompt_id} meanwhile: {present}; that stands")


def _appended(project: Project, path: Path, decision: LabelDecision, day: str) -> str:
    """The file's text with the decision as one more row."""
    facts = {
        "prompt_id": decision.prompt_id,
        "text_sha256": decision.text_sha256,
        "decision": decision.decision,
        "agents": SEPARATOR.join(decision.agents),
        "reviewer": decision.reviewer or who_am_i(project),
        "reviewed_on": day,
        "note": _plain(decision.note),
    }
    return with_rows(read_utf8(path), [cells_of(facts)], COLUMNS)


def _plain(note: str) -> str:
    """A note with its line ends as newlines and without control characters, which a CSV cannot hold safely."""
    unified = note.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(letter for letter in unified if letter in "\n\t" or letter.isprintable())
    return kept if kept.strip() else ""
