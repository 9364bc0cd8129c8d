"""`review`: the night's label suspects one by one, for those who have no browser."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from pipeline.runtime.errors import InputError, SwitchtenderError
from switchtender.options import DryRun, Json, TrackOption, agents_named
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from flows.curation.review_session import ReviewSession
    from flows.workspace.project import Project
    from pipeline.data.label_suspects import LabelDecision, Suspect

app = typer.Typer()

KEYS = ("keep", "relabel", "drop", "next", "previous", "undo", "agents", "help", "quit")
"""What a line begins with: the word, or its first letter."""
HELP = """k  keep the label             r  relabel: `r` as suggested, `r sql,email` otherwise
d  drop the row               n, p  next, previous         u  undo, one decision after the other
a  the agents that there are  h  this help                 q  leave; what was decided is kept
A note goes behind a decision, after #:  k # asked the author"""


@app.command(epilog="Examples: switchtender review, or switchtender review --json")
def review(track: TrackOption = "agents", as_json: Json = False, dry_run: DryRun = False) -> None:
    """Decide on the latest night's label suspects as the page does: keep, relabel, drop; undo.

    Exit codes: 0 done, 2 no terminal to ask on, or no night has finished yet.
    """
    from flows.curation.review_session import ReviewSession
    from flows.workspace.project import find_project
    from pipeline.runtime.track import AGENTS

    project = find_project(track=track)
    if as_json:
        print_json(_facts(project))
    elif not sys.stdin.isatty():
        raise InputError("review asks on a terminal, and there is none; run it in one, or list what waits with --json")
    elif project.track is not AGENTS:
        _say_of_models(project)
    else:
        Walk(ReviewSession(project, rehearsal=dry_run), dry_run).run()


def _facts(project: Project) -> dict[str, object]:
    """The suspects that wait, and the feedback that the service was sent."""
    from flows.curation.dataset_cache import DatasetCache
    from flows.curation.label_review import suspects_of
    from flows.service.feedback import latest_hints
    from pipeline.runtime.track import AGENTS

    dataset = DatasetCache(project)
    feedback = [asdict(hint) for hint in latest_hints(project, dataset)]
    if project.track is not AGENTS:
        return {"track": project.track.name, "suspects": [], "feedback": feedback}
    known = suspects_of(project, dataset)
    return {
        "track": project.track.name,
        "night": known.night,
        "listed": len(known.all),
        "left": len(known.left),
        "gone": known.gone,
        "suspects": [asdict(suspect) for suspect in known.left],
        "feedback": feedback,
    }


def _say_of_models(project: Project) -> None:
    from flows.curation.dataset_cache import DatasetCache
    from flows.service.feedback import latest_hints
    from pipeline.data.label_suspects import NO_LABELS

    say(NO_LABELS)
    if hints := latest_hints(project, DatasetCache(project)):
        columns = ["at", "by", "verdict", "chosen", "right", "note", "row"]
        rows = [[h.at, h.by, h.verdict, ", ".join(h.chosen), ", ".join(h.right), h.note, h.row] for h in hints]
        print_table("Feedback, newest first", columns, rows)


class Walk:
    """Goes through what is left, a line at a time, until the person leaves or the input ends."""

    def __init__(self, session: ReviewSession, dry_run: bool) -> None:
        self._session = session
        self._would = "would be " if dry_run else ""
        self._on_show: Suspect | None = None
        self._rank = 0

    def run(self) -> None:
        """Show a suspect, take a line, do what it says; what cannot be done is said, and the suspect stays."""
        self._show(next(iter(self._session.known().left), None))
        say(HELP)
        while True:
            try:
                line = input("review> ")
            except EOFError:
                say("")
                return
            try:
                if not self._goes_on(line):
                    return
            except SwitchtenderError as error:
                say(f"{error}")

    def _goes_on(self, line: str) -> bool:
        """Do what a line says; False where it says to leave."""
        word, agents, note = parsed(line)
        if word == "quit":
            return False
        if word in ("next", "previous"):
            self._show(self._session.known().beside(self._rank, 1 if word == "next" else -1))
        elif word == "undo":
            self._undo()
        elif word == "agents":
            say(", ".join(self._session.known().agents))
        elif word == "help":
            say(HELP)
        elif word:
            self._decide(word, agents, note)
        return True

    def _decide(self, word: str, agents: tuple[str, ...], note: str) -> None:
        if self._on_show is None:
            raise InputError("no suspect is on show; take one back with u, or leave with q")
        try:
            made = self._session.decide(self._on_show, word, agents or self._on_show.likely, note)
        except InputError:
            # Somebody else may have decided meanwhile: the row stays, with that decision beside it.
            now = self._session.known().with_text(self._on_show.prompt_id, self._on_show.text_sha256)
            self._show(now if now != self._on_show else self._on_show)
            raise
        say(f"{made.prompt_id} {self._would}{made.told}. The next night takes it in.")
        self._show(self._session.known().beside(self._rank, 1))

    def _undo(self) -> None:
        last = self._session.undo()
        say(f"{last.prompt_id} is undecided again (it was: {last.told})")
        self._show(self._session.known().with_text(last.prompt_id, last.text_sha256), last)

    def _show(self, suspect: Suspect | None, undone: LabelDecision | None = None) -> None:
        known = self._session.known()
        self._on_show = suspect
        gone = f"; {known.gone} more were changed or removed in the dataset since" if known.gone else ""
        say(f"\n{len(known.left)} of {len(known.all)} left, suspects of {known.night}{gone}")
        if suspect is None:
            everyone = "every suspect is decided; the next night takes the decisions in"
            say(everyone if known.all else "no suspects: the latest night listed none")
            return
        self._rank = suspect.rank
        for told in _card(suspect, undone):
            say(told)


def _card(suspect: Suspect, undone: LabelDecision | None) -> list[str]:
    """What a person judges by, line by line."""
    said = f" · {suspect.reviewer} decided: {suspect.decision}" if suspect.decision else ""
    before = f" · taken back: {undone.told}{f' # {undone.note}' if undone.note else ''}" if undone else ""
    why = [f"given, but unlikely: {suspect.doubted}"] if suspect.doubted else []
    why += [f"likeliest of those not given: {suspect.missing}"] if suspect.missing else []
    return [
        f"{suspect.prompt_id} · suspect {suspect.rank} · label quality {suspect.quality:.2f} of 1{said}{before}",
        "",
        suspect.prompt,
        "",
        f"label given:  {', '.join(suspect.agents)}",
        f"suggested:    {', '.join(suspect.suggested) or 'no agent with confidence'}",
        f"why:          {'; '.join(why) or '-'}",
    ]


def parsed(line: str) -> tuple[str, tuple[str, ...], str]:
    """A typed line: the word of `KEYS` (nothing where it is blank), the agents of a relabelling, the note behind ` #`.

    Raises:
        InputError: another word, or agents or a note behind a word that takes none.
    """
    said, mark, note = f" {line.strip()}".partition(" #")
    first, _, rest = said.strip().partition(" ")
    word = next((key for key in KEYS if first.lower() in (key, key[0])), "") if first else ""
    if (first or mark) and not word:
        raise InputError(f"'{first or line.strip()}' is no key; h lists them")
    if rest.strip() and word != "relabel":
        raise InputError(f"'{word}' takes nothing behind it but a note after #; h lists the keys")
    if mark and word not in ("keep", "relabel", "drop"):
        raise InputError("a note goes behind a decision: k, r or d")
    return word, agents_named(rest) if rest.strip() else (), note.strip()
