"""What forgetting given rows would touch: curated files of the tracks, and the versions that knew the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flows.audit.trace import RowInVersion, tracing
from flows.registry.forgotten import FORGOTTEN_TAG, tagged_rows
from flows.registry.versions import Version, Versions
from flows.removal.curated_files import CuratedWithoutRows
from flows.removal.row_locations import SearchQuery
from flows.workspace import runs
from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.data.agents import AGENTS_FILE, read_agents
from pipeline.data.forgetting import forgotten_rows
from pipeline.data.label_reviews import REVIEWS_FILE, read_reviews
from pipeline.data.row_removal import lines_of, read_utf8
from pipeline.runtime.errors import InputError, listed
from pipeline.runtime.track import track_named


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
            merged = "|".join(sorted(tagged_rows(self.listed[number]) | rows))
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
    both = tracks_meant(project, track)
    curated = CuratedWithoutRows(project, both, named) if track else every
    changed = curated.changed()
    touched = tuple(affected_track(seen, named) for seen in both)
    traced = {row.prompt_id for part in touched for row in part.rows}
    known = traced | curated.cut.texts.keys() | {name for name, _ in forgotten_rows(project.root)}
    unknown = [one for one in named if one not in known]
    if unknown:
        raise InputError(
            f"no row {listed(unknown)} in {listed(curated.curated.tables)} or in any version; see 'switchtender trace'"
        )
    reviews = _new_reviews(project, named) if REVIEWS_FILE in changed else 0
    return ForgetPlan(named, curated, touched, bool(ambiguous), reviews)


def tracks_meant(project: Project, track: str) -> tuple[Project, ...]:
    """The project seen from the track of that name, or from each where none is named.

    Raises:
        InputError: no track has that name.
    """
    return (project.on(track_named(track)),) if track else project.both


def _new_reviews(project: Project, ids: Sequence[str]) -> int:
    """How many decisions on other rows are not committed yet; a file that a night could not read is refused."""
    read_reviews(tuple(agent.name for agent in read_agents(project.root / AGENTS_FILE)), project.root / REVIEWS_FILE)
    where = str(REVIEWS_FILE)
    committed = git(project.root, "ls-tree", "--name-only", "HEAD", "--", where)
    before = git(project.root, "cat-file", "blob", f"HEAD:{where}", strip=False) if committed else ""
    lines = [Counter(lines_of(text, where)) for text in (read_utf8(project.root / REVIEWS_FILE), before)]
    return sum(count for (prompt_id, _), count in (lines[0] - lines[1]).items() if prompt_id not in ids)


def affected_track(project: Project, ids: Sequence[str]) -> AffectedTrack:
    """Every row in every version that `trace` finds, what serves, and the versions; nothing before a first night.

    Raises:
        InputError: a night registered a version, and the registry has none.
        VerificationFailed: a version's lineage, or a log, is not as recorded.
    """
    if not project.has_store:
        _require_unregistered(project)
        return AffectedTrack(project, (), frozenset(), None)
    with tracing(project) as asked:
        if not asked.versions.all:
            _require_unregistered(project)
        rows = tuple(row for one in ids for row in asked.row(one))
        return AffectedTrack(project, rows, frozenset(asked.in_service), asked.versions)


def _require_unregistered(project: Project) -> None:
    """Refuse to take a registry that holds no version for the one in which a night registered its own.

    Raises:
        InputError: says which version is not there.
    """
    registered = [run for run in runs.all_runs(project) if run.version]
    if registered:
        place = project.tracking_uri.rsplit("@", 1)[-1]
        raise InputError(
            f"{registered[-1].key} registered version {registered[-1].version}, and the registry {place} has none; set "
            "MLFLOW_TRACKING_URI to the one that has it, so that it can be marked"
        )
