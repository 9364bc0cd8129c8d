"""Forgetting rows: out of the curated files as one recorded commit, every version that was made with them marked.

Augmented rows go with their parents at the next night, since they are made anew. `--erase` also removes the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flows.records.promotion_log import who_am_i
from flows.records.removal_log import FORGOTTEN, RemovalEntry, record_removal, removals
from flows.registry.forgotten import FORGOTTEN_TAG
from flows.registry.mlflow_store import Registry
from flows.removal.erase import erase, erase_vectors
from flows.removal.forget_plan import AffectedTrack, ForgetPlan, affected_track, plan, tracks_meant
from flows.removal.git_history import GitCopies, copies_in_git
from flows.removal.row_locations import RowLocations, find, mentions
from flows.workspace import forgetting, runs
from flows.workspace.forgetting import Forgetting
from flows.workspace.git import git
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.data.forgetting import FORGOTTEN_FILE, ForgottenRow, with_forgotten
from pipeline.data.label_reviews import REVIEWS_FILE
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import sha256_text
from pipeline.runtime.text import is_blank

_PATIENCE = 10.0
"""Seconds to wait for a decision that is being written."""


@dataclass(frozen=True)
class ForgetResult:
    """What was done, or would be: the plan, the commit (empty where no curated file held the rows), the bytes.

    `in_git` is what git goes on holding. Where nothing is erased, `left` names in words the files of the working copy
    that still hold a text and that nobody but a person can mend.
    """

    plan: ForgetPlan
    commit: str
    erased: RowLocations | None
    in_git: GitCopies | None
    left: tuple[str, ...]


def forget(
    project: Project,
    ids: Sequence[str],
    reason: str,
    *,
    track: str = "",
    erasing: bool = False,
    dry_run: bool = False,
) -> ForgetResult:
    """Take rows out of what people curate, mark the versions made with them and, where asked, erase their bytes.

    `track` names the one track whose rows are meant; without it they are those of both. Again, it changes nothing but
    what an earlier try left undone.

    Raises:
        InputError: no reason, unknown ids, an id that means two rows, or curated files other than the reviews that are
            changed and not committed.
        SwitchtenderError: git, DVC or a store failed; before the commit, nothing was changed.
        VerificationFailed: a version's lineage, or a log, is not as recorded.
        HeldByAnotherRun: a night or a promotion is under way.
    """
    if is_blank(reason):
        raise InputError('a reason is needed; say --reason "why"')
    if dry_run:
        found = plan(project, ids, track)
        return _result(project, found, "", find(project, found.query) if erasing else None)
    who = who_am_i(project)
    purpose = f"forgetting rows, by {who}"
    with (
        held(project.lock, purpose),
        held(project.promotion_lock, purpose),
        held(project.reviews_lock, purpose, _PATIENCE),  # a decision written meanwhile would be lost
    ):
        project.claim()
        if (earlier := forgetting.settle(project)) is not None:
            both = tracks_meant(project, earlier.track)
            _complete(project, earlier, [affected_track(seen, earlier.ids) for seen in both])
        found = plan(project, ids, track)
        search = find(project, found.query) if erasing else None
        under_way = _under_way(found, track, who, reason)
        commit = _record(project, found, search, under_way)
        _complete(project, replace(under_way, commit=commit), found.touched)
        if search:
            left = erase([(part.project, part.affected) for part in found.touched], search, who, reason)
            erase_vectors(search.rows.texts)
            search = replace(search, remaining=(*search.remaining, *left))
        return _result(project, found, commit, search)


def _result(project: Project, found: ForgetPlan, commit: str, search: RowLocations | None) -> ForgetResult:
    if search is None:
        return ForgetResult(found, commit, None, None, mentions(project, found.query))
    # Asked after the commit, which may hold a text of its own: that of a file that a person has to mend.
    return ForgetResult(found, commit, search, copies_in_git(project, search.rows), ())


def _under_way(found: ForgetPlan, track: str, who: str, reason: str) -> Forgetting:
    files = found.curated.curated
    tables, lists, joined = (
        tuple(path.as_posix() for path in paths) for paths in (files.tables, files.lists, sorted(files.joined))
    )
    return Forgetting(found.ids, track, tables, lists, joined, who, reason, runs.now())


def _record(project: Project, found: ForgetPlan, search: RowLocations | None, under_way: Forgetting) -> str:
    """The commit without the rows, and the working copy in line with it; nothing where there was none to make."""
    curated, contents = found.curated, found.curated.contents()
    if found.reviews:
        contents.setdefault(REVIEWS_FILE.as_posix(), (project.root / REVIEWS_FILE).read_bytes())
    entries = _entries(found, under_way)
    if entries:
        contents[FORGOTTEN_FILE.as_posix()] = with_forgotten(project.root, entries)
    known = set(git(project.root, "ls-files", "-z").split("\0"))
    older = {project.name_of(path) for path in search.tracked} if search else set()
    contents |= dict.fromkeys(older & known)
    curated.keep_objects()
    return forgetting.record(project, under_way, contents, _message(found, under_way))


def _entries(found: ForgetPlan, under_way: Forgetting) -> list[ForgottenRow]:
    """One for each text of each row: those of curated tables, and those that versions knew."""
    keys = [(one, sha256_text(text)) for one, texts in found.curated.cut.texts.items() for text in texts]
    keys += [(row.prompt_id, row.text_sha256) for row in found.rows if not row.through]
    return [ForgottenRow(*key, under_way.at[:10], under_way.who, under_way.reason) for key in sorted(set(keys))]


def _message(found: ForgetPlan, under_way: Forgetting) -> str:
    shown = ", ".join(found.ids[:3]) + (f" and {len(found.ids) - 3} more" if len(found.ids) > 3 else "")
    along = f"\nDecisions on labels taken along: {found.reviews}" if found.reviews else ""
    return f"Forget {shown}\n\n{under_way.reason}\n\nRows: {' '.join(found.ids)}\nAsked by: {under_way.who}{along}"


def _complete(project: Project, done: Forgetting, touched: Sequence[AffectedTrack]) -> None:
    """Note what was forgotten, mark the versions, and end it; each step bears repeating.

    It stands in the log of each track whose versions knew a row; in the first where none did.
    """
    for part in [part for part in touched if part.rows] or touched[:1]:
        unmarked = part.unmarked()
        entry = RemovalEntry(done.at, done.who, FORGOTTEN, done.reason, part.marked, rows=tuple(sorted(done.ids)))
        known = set(removals(part.project))
        if (done.commit or unmarked) and entry not in known:
            record_removal(part.project, entry)
        if unmarked and part.versions is not None:
            registry = Registry(part.project, part.versions.model)
            for number, rows in unmarked.items():
                registry.set_tag(number, FORGOTTEN_TAG, rows)
    forgetting.end(project)
