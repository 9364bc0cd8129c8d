"""Forgetting rows: out of the dataset as one recorded commit, every version that was made with them marked.

Augmented rows go with their parents at the next night, since they are made anew. `--erase` also removes the bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.audit.trace import RowInVersion, tracing
from flows.promotion.promotion import FORGOTTEN_TAG
from flows.records.promotion_log import who_am_i
from flows.registry.mlflow_store import Registry
from flows.registry.versions import Version, Versions
from flows.removal.erase import erase, erase_vectors, remove_file
from flows.removal.row_locations import DATASET_REMOTE, RowLocations, SearchedRows, find
from flows.workspace import runs
from flows.workspace.commits import commit_only
from flows.workspace.git import git
from flows.workspace.lock import held
from flows.workspace.project import Project
from flows.workspace.snapshot import POINTER, dvc, uncommitted_data
from pipeline.data.agents import AGENTS_FILE, read_agents
from pipeline.data.dataset import DATASET
from pipeline.data.forgetting import (
    FORGOTTEN_FILE,
    FilesWithoutRows,
    ForgottenRow,
    files_without_rows,
    forgotten_rows,
    lines_of,
    read_utf8,
    with_forgotten,
)
from pipeline.data.holdout import HOLDOUT_FILE
from pipeline.data.label_reviews import REVIEWS_FILE, read_reviews
from pipeline.runtime.errors import InputError, listed
from pipeline.runtime.tables import sha256_text, write_whole

_PATIENCE = 10.0
"""Seconds to wait for a decision that is being written."""
CHANGED = (DATASET, POINTER, HOLDOUT_FILE, REVIEWS_FILE, FORGOTTEN_FILE)


@dataclass(frozen=True)
class ForgetPlan:
    """What forgetting touches. `dataset` is the md5 of prompts.csv without the rows.

    `reviews` counts the decisions on labels that are not committed yet, which the commit takes along.
    """

    ids: tuple[str, ...]
    cut: FilesWithoutRows
    dataset: str
    touched: tuple[AffectedTrack, ...]
    reviews: int = 0

    @property
    def rows(self) -> tuple[RowInVersion, ...]:
        """All rows in versions of both tracks, also augmented ones."""
        return tuple(row for part in self.touched for row in part.rows)

    @property
    def known(self) -> SearchedRows:
        """What the search for bytes starts from."""
        texts = tuple(text for found in self.cut.texts.values() for text in found)
        versions = tuple(version for part in self.touched for version in part.listed.values())
        serving = {part.listed[number].run_key for part in self.touched for number in part.in_service}
        return SearchedRows(self.ids, texts, self.dataset, versions, self.rows, frozenset(serving))


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


@dataclass(frozen=True)
class ForgetResult:
    """What was done, or would be: the plan, the commit (empty where the dataset did not hold the rows), the bytes."""

    plan: ForgetPlan
    commit: str
    erased: RowLocations | None


def forget(
    project: Project, ids: Sequence[str], reason: str, *, erasing: bool = False, dry_run: bool = False
) -> ForgetResult:
    """Take rows out of the dataset, mark the versions made with them and, where asked, erase their bytes.

    Again, it changes nothing but what an earlier try left undone.

    Raises:
        InputError: no reason, unknown ids, or curated files other than the reviews that are changed and not committed.
        SwitchtenderError: git, DVC or a store failed; before the commit, everything is put back.
        VerificationFailed: a version's lineage, or a log, is not as recorded.
        HeldByAnotherRun: a night or a promotion is under way.
    """
    if not reason.strip():
        raise InputError('a reason is needed; say --reason "why"')
    if dry_run:
        found = plan(project, ids)
        return ForgetResult(found, "", find(project, found.known) if erasing else None)
    who = who_am_i(project)
    purpose = f"forgetting rows, by {who}"
    with (
        held(project.lock, purpose),
        held(project.promotion_lock, purpose),
        held(project.reviews_lock, purpose, _PATIENCE),  # a decision written meanwhile would be lost
    ):
        found = plan(project, ids)
        search = find(project, found.known) if erasing else None
        project.claim()
        commit = _record(project, found, search, who, reason)
        for part in found.touched:
            _mark(part)
        if search:
            erase([(part.project, part.affected) for part in found.touched], search, who, reason)
            erase_vectors(search.rows.texts)
        return ForgetResult(found, commit, search)


def plan(project: Project, ids: Sequence[str]) -> ForgetPlan:
    """What forgetting these rows touches; nothing is changed.

    Raises:
        InputError: unknown ids, curated files other than the reviews that are changed and not committed, or
            decisions that cannot be read.
    """
    if not (project.root / DATASET).is_file():
        raise InputError(f"{DATASET} is not there; fetch it with 'dvc pull {POINTER}', or make setup")
    changed = _uncommitted(project)
    named = tuple(dict.fromkeys(ids))
    taken = files_without_rows(project.root, named)
    touched = tuple(_traced(seen, named) for seen in project.both)
    traced = {row.prompt_id for part in touched for row in part.rows}
    known = traced | taken.texts.keys() | {name for name, _ in forgotten_rows(project.root)}
    unknown = [one for one in named if one not in known]
    if unknown:
        raise InputError(f"no row {listed(unknown)} in {DATASET} or in any version; see 'switchtender trace'")
    stays = hashlib.md5(taken.files.get(DATASET) or (project.root / DATASET).read_bytes(), usedforsecurity=False)
    reviews = _new_reviews(project, named) if REVIEWS_FILE.as_posix() in changed else 0
    return ForgetPlan(named, taken, stays.hexdigest(), touched, reviews)


def _uncommitted(project: Project) -> set[str]:
    """The curated files that are changed and not committed; but for the reviews, which people write all day, none."""
    ours = {path.as_posix() for path in CHANGED}
    changed = {name for name in uncommitted_data(project) if name in ours}
    if others := sorted(changed - {REVIEWS_FILE.as_posix()}):
        raise InputError(f"{others[0]} is changed and not committed; commit it, then forget")
    return changed


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


def _record(project: Project, found: ForgetPlan, search: RowLocations | None, who: str, reason: str) -> str:
    """Write the files, keep the new dataset in its remote, and commit both; or put everything back."""
    tracked = search.tracked if search else ()
    with _all_or_nothing(project, tracked):
        listed = with_forgotten(project.root, _entries(found, who, reason))
        for path, content in {**found.cut.files, FORGOTTEN_FILE: listed}.items():
            write_whole(project.root / path, lambda to, content=content: to.write_bytes(content))  # type: ignore[misc]
        if DATASET in found.cut.files:
            dvc(project, project.root, "add", "--quiet", str(DATASET))
            dvc(project, project.root, "push", "--quiet", "--remote", "dataset", str(POINTER))
        for path in tracked:
            remove_file(path)
        paths = {path.as_posix() for path in CHANGED if path != DATASET}
        return commit_only(
            project.root, paths | _of_dataset_remote(project, found.dataset, tracked), _message(found, who, reason)
        )


def _entries(found: ForgetPlan, who: str, reason: str) -> list[ForgottenRow]:
    """One for each text of each row: the dataset's, and those that versions knew."""
    keys = [(one, sha256_text(text)) for one, texts in found.cut.texts.items() for text in texts]
    keys += [(row.prompt_id, row.text_sha256) for row in found.rows if not row.through]
    day = runs.now()[:10]
    return [ForgottenRow(*key, day, who, reason) for key in sorted(set(keys))]


def _message(found: ForgetPlan, who: str, reason: str) -> str:
    shown = ", ".join(found.ids[:3]) + (f" and {len(found.ids) - 3} more" if len(found.ids) > 3 else "")
    along = f"\nDecisions on labels taken along: {found.reviews}" if found.reviews else ""
    return f"Forget {shown}\n\n{reason}\n\nRows: {' '.join(found.ids)}\nAsked by: {who}{along}"


def _of_dataset_remote(project: Project, md5: str, removed: Sequence[Path]) -> set[str]:
    """The new dataset's object, and those that are removed, where that remote lies in the repository."""
    new = DATASET_REMOTE / "files" / "md5" / md5[:2] / md5[2:]
    had = set(git(project.root, "ls-files", "--", str(DATASET_REMOTE)).splitlines())
    gone = {path.relative_to(project.root).as_posix() for path in removed} & had
    return gone | ({new.as_posix()} if (project.root / new).is_file() else set())


@contextmanager
def _all_or_nothing(project: Project, tracked: Sequence[Path]) -> Iterator[None]:
    """Put the files back if the block fails before its commit is made."""
    root = project.root
    head = git(root, "rev-parse", "HEAD")
    paths = [*(root / path for path in CHANGED), *tracked]
    before = {path: path.read_bytes() if path.is_file() else None for path in paths}
    objects = {path for path in (root / DATASET_REMOTE).rglob("*") if path.is_file()}
    try:
        yield
    except BaseException:
        if git(root, "rev-parse", "HEAD") == head:
            _put_back(before)
            for path in {path for path in (root / DATASET_REMOTE).rglob("*") if path.is_file()} - objects:
                remove_file(path)
        raise


def _put_back(before: dict[Path, bytes | None]) -> None:
    for path, content in before.items():
        if content is None:
            path.unlink(missing_ok=True)
        elif not path.is_file() or path.read_bytes() != content:
            write_whole(path, lambda to, content=content: to.write_bytes(content))  # type: ignore[misc]


def _mark(found: AffectedTrack) -> None:
    """Tag the versions, beside rows that were forgotten earlier; promotion refuses them from now on."""
    if found.versions is None:
        return
    registry, listed = Registry(found.project, found.versions.model), found.listed
    for number in filter(listed.__contains__, found.marked):
        before = listed[number].tags.get(FORGOTTEN_TAG, "")
        rows = {row.prompt_id for row in found.rows if row.version == number and row.held}
        merged = "|".join(sorted({*filter(None, before.split("|")), *rows}))
        if merged != before:
            registry.set_tag(number, FORGOTTEN_TAG, merged)
