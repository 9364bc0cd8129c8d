"""Forgetting rows: out of the curated files as one recorded commit, every version that was made with them marked.

Augmented rows go with their parents at the next night, since they are made anew. `--erase` also removes the bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from flows.audit.trace import RowInVersion, tracing
from flows.promotion.promotion import FORGOTTEN_TAG
from flows.records.promotion_log import who_am_i
from flows.records.removal_log import FORGOTTEN, RemovalEntry, record_removal, removals
from flows.registry.mlflow_store import Registry
from flows.registry.versions import Version, Versions
from flows.removal.curated_files import CuratedWithoutRows
from flows.removal.erase import erase, erase_vectors
from flows.removal.git_history import GitCopies, copies_in_git
from flows.removal.row_locations import RowLocations, SearchQuery, find, mentions
from flows.workspace import forgetting, runs
from flows.workspace.forgetting import Forgetting
from flows.workspace.git import git
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.data.agents import AGENTS_FILE, read_agents
from pipeline.data.forgetting import FORGOTTEN_FILE, ForgottenRow, forgotten_rows, with_forgotten
from pipeline.data.label_reviews import REVIEWS_FILE, read_reviews
from pipeline.data.row_removal import lines_of, read_utf8
from pipeline.runtime.errors import InputError, listed
from pipeline.runtime.tables import sha256_text
from pipeline.runtime.track import track_named

_PATIENCE = 10.0
"""Seconds to wait for a decision that is being written."""


@dataclass(frozen=True)
class AffectedTrack:
    """What forgetting touches of one track: rows in its versions, the versions by number, and what serves now."""

    project: Project
    rows: tuple[RowInVersion, ...]
    in_service: frozenset[str]
    versions: Versions | None

    @property
    def listed(self) -> dict[str, Version]:
        return {version.version: version for version in self.versions.all} if self.versions else {}

    @property
    def marked(self) -> tuple[str, ...]:
        """Versions that were made with a row: it taught them, or was in the holdout that judged them."""
        return tuple(sorted({row.version for row in self.rows if row.held}, key=int))

    @property
    def affected(self) -> tuple[str, ...]:
        """Versions whose night saw a row, also where it only went to quarantine."""
        return tuple(sorted({row.version for row in self.rows}, key=int))

    def unmarked(self) -> dict[str, str]:
        """What is to stand beside each version, by number, where that does not yet name the rows."""
        found = {}
        for number in filter(self.listed.__contains__, self.marked):
            before = self.listed[number].tags.get(FORGOTTEN_TAG, "")
            rows = {row.prompt_id for row in self.rows if row.version == number and row.held}
            merged = "|".join(sorted({*filter(None, before.split("|")), *rows}))
            if merged != before:
                found[number] = merged
        return found


@dataclass(frozen=True)
class ForgetPlan:
    """What forgetting touches. `exact` says that the ids name other rows in the other track, so that only texts count.

    `reviews` counts the decisions on labels that are not committed yet, which the commit takes along.
    """

    ids: tuple[str, ...]
    curated: CuratedWithoutRows
    touched: tuple[AffectedTrack, ...]
    exact: bool
    reviews: int

    @property
    def rows(self) -> tuple[RowInVersion, ...]:
        """All rows in versions of the tracks, also augmented ones."""
        return tuple(row for part in self.touched for row in part.rows)

    @cached_property
    def query(self) -> SearchQuery:
        """What the search for bytes starts from."""
        versions = tuple(version for part in self.touched for version in part.listed.values())
        serving = {part.listed[number].run_key for part in self.touched for number in part.in_service}
        cut = self.curated.cut
        return SearchQuery(
            () if self.exact else self.ids,
            tuple(text for found in cut.texts.values() for text in found),
            cut.files,
            frozenset(self.curated.objects),
            versions,
            self.rows,
            frozenset(serving),
        )


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
    if not reason.strip():
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
            _complete(project, earlier, [_traced(seen, earlier.ids) for seen in _tracks(project, earlier.track)])
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


def plan(project: Project, ids: Sequence[str], track: str = "") -> ForgetPlan:
    """What forgetting these rows touches; nothing is changed.

    Raises:
        InputError: unknown ids, an id that means two rows, curated files other than the reviews that are changed and
            not committed, or decisions that cannot be read.
    """
    named = tuple(dict.fromkeys(ids))
    if not all(one.strip() for one in named):
        raise InputError("an id is empty; name the rows by their ids")
    every = CuratedWithoutRows(project, project.both, named)
    ambiguous = every.meant_twice()
    if ambiguous and not track:
        raise InputError(ambiguous)
    both = _tracks(project, track)
    curated = CuratedWithoutRows(project, both, named) if track else every
    changed = curated.changed()
    touched = tuple(_traced(seen, named) for seen in both)
    traced = {row.prompt_id for part in touched for row in part.rows}
    known = traced | curated.cut.texts.keys() | {name for name, _ in forgotten_rows(project.root)}
    unknown = [one for one in named if one not in known]
    if unknown:
        raise InputError(
            f"no row {listed(unknown)} in {listed(curated.curated.tables)} or in any version; see 'switchtender trace'"
        )
    reviews = _new_reviews(project, named) if REVIEWS_FILE in changed else 0
    return ForgetPlan(named, curated, touched, bool(ambiguous), reviews)


def _tracks(project: Project, track: str) -> tuple[Project, ...]:
    return (project.on(track_named(track)),) if track else project.both


def _new_reviews(project: Project, ids: Sequence[str]) -> int:
    """How many decisions on other rows are not committed yet; a file that a night could not read is refused."""
    read_reviews(tuple(agent.name for agent in read_agents(project.root / AGENTS_FILE)), project.root / REVIEWS_FILE)
    where = str(REVIEWS_FILE)
    committed = git(project.root, "ls-tree", "--name-only", "HEAD", "--", where)
    before = git(project.root, "cat-file", "blob", f"HEAD:{where}", strip=False) if committed else ""
    lines = [Counter(lines_of(text, where)) for text in (read_utf8(project.root / REVIEWS_FILE), before)]
    return sum(count for (prompt_id, _), count in (lines[0] - lines[1]).items() if prompt_id not in ids)


def _traced(project: Project, ids: Sequence[str]) -> AffectedTrack:
    """Every row in every version that `trace` finds, what serves, and the versions; nothing before a first night."""
    if not project.has_store:
        return AffectedTrack(project, (), frozenset(), None)
    with tracing(project) as asked:
        rows = tuple(row for one in ids for row in asked.row(one))
        return AffectedTrack(project, rows, frozenset(asked.in_service), asked.versions)


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


def _complete(project: Project, done: Forgetting, touched: Iterable[AffectedTrack]) -> None:
    """Note what was forgotten, mark the versions, and end it; each step bears repeating."""
    for part in touched:
        unmarked = part.unmarked()
        entry = RemovalEntry(done.at, done.who, FORGOTTEN, done.reason, part.marked, rows=tuple(sorted(done.ids)))
        known = {replace(one, sequence=0) for one in removals(part.project)}
        if (done.commit or unmarked) and entry not in known:
            record_removal(part.project, entry)
        if part.versions is not None:
            registry = Registry(part.project, part.versions.model)
            for number, rows in unmarked.items():
                registry.set_tag(number, FORGOTTEN_TAG, rows)
    forgetting.end(project)
