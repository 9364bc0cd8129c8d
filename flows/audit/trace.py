"""Which versions a row taught, directly or through augmented rows, and when those versions served.

The answers are those of the versions' own lineage tables. The index `var/trace.db` makes them quick; a version that
it lacks, or knows by another provenance, is read from its own table at each question. Reads write nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from flows.audit.trace_index import index_signer, take_in
from flows.promotion.in_service import version_named
from flows.records.promotion_log import promotions
from flows.records.removal_log import PRUNED, RemovalLog
from flows.records.serving_log import ServingPeriod, serving_periods
from flows.registry.versions import CHAMPION, PROVENANCE_TAG, Versions, versions_of
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.tables import sha256_text
from pipeline.versions.trace_index import SEPARATOR, Found, Indexed, TraceIndex, in_memory, read_index

HOLDOUT = "holdout"


@dataclass(frozen=True)
class RowInVersion:
    """A row in one version. `through` is empty where the version held the row itself; else it is the id of the
    augmented row made from it, and all but `prompt_id` tell of that one. `agents` is the label at the time.
    """

    version: str
    run_key: str
    prompt_id: str
    text_sha256: str
    through: str
    fate: str
    stage: str
    reason: str
    split: str
    agents: tuple[str, ...]
    taught: bool
    served: tuple[ServingPeriod, ...]

    @property
    def held(self) -> bool:
        """Whether the version was made with it: it taught, or was in the holdout that judged."""
        return self.taught or self.split == HOLDOUT


class Tracing:
    """Answers from the index where it is fresh, else from the versions' own tables.

    Raises everywhere: VerificationFailed where a version's files are missing without having been pruned, or are not
    as recorded; SwitchtenderError where a store cannot be read.
    """

    def __init__(self, project: Project, versions: Versions, index: TraceIndex, direct: TraceIndex) -> None:
        self.project, self.versions = project, versions
        self._index, self._direct = index, direct
        self._removed = RemovalLog(project)
        self._listed = {version.version: version for version in versions.all}
        self._spells: dict[str, list[ServingPeriod]] = defaultdict(list)
        for spell in serving_periods(project):
            self._spells[spell.version].append(spell)
        self._fresh = {number for number, known in index.versions().items() if self._is_fresh(number, known)}
        self._read: set[str] = set()
        last = next(reversed(promotions(project)), None)
        self.serving = last.version_to if last else ""

    def _is_fresh(self, number: str, known: Indexed) -> bool:
        if number not in self._listed:
            return self._removed.version(number, PRUNED) is not None
        return self._listed[number].tags.get(PROVENANCE_TAG, "") == known.provenance_sha256

    @property
    def in_service(self) -> set[str]:
        """The version that was put into service last, and any that still answers somewhere."""
        answering = {number for number, spells in self._spells.items() if any(not spell.until for spell in spells)}
        return answering | ({self.serving} if self.serving else set())

    @property
    def read_directly(self) -> int:
        """How many versions had to be read from their own tables so far."""
        return len(self._read)

    def unknown(self) -> list[str]:
        """Versions of which nothing can be said any more: pruned before they were indexed, or served and then deleted
        in MLflow.
        """
        gone = {number for removal in self._removed.all if removal.kind == PRUNED for number in removal.versions}
        candidates = (gone | self._spells.keys()) - self._fresh - self._read
        return sorted((number for number in candidates if not self._load(number)), key=int)

    def row(self, prompt_id: str = "", text: str = "") -> list[RowInVersion]:
        """A row in every version that knew it, by id (whatever its text) or by exact text (whatever its id); then the
        augmented rows made from it.
        """
        for number in self._listed:
            self._load(number)
        if prompt_id:
            found = [(row, "") for row in self._ask(lambda index: index.of_id(prompt_id))]
            found += [(row, prompt_id) for row in self._ask(lambda index: index.of_parent(prompt_id))]
        else:
            direct = self._ask(lambda index: index.of_text(sha256_text(text)))
            found = [(row, "") for row in direct] + self._children(direct)
        rows = [self._told(row, parent) for row, parent in found]
        return sorted(rows, key=lambda row: (int(row.version), row.through, row.text_sha256, row.reason))

    def require_known(self) -> None:
        """Refuse to say that no version has known a row where there never was a version.

        Raises:
            InputError: nothing was ever registered.
        """
        if not self.versions.all and not self._fresh:
            raise self.versions.none()

    def agent(self, agent: str) -> tuple[str, list[RowInVersion]]:
        """The version that serves (else the champion, else the latest), and the rows that taught an agent there.

        Raises:
            InputError: nothing is registered.
        """
        champion = self.versions.at(CHAMPION)
        number = self.serving or (champion.version if champion else self._latest())
        self._need(number)
        return number, self._sorted(self._ask(lambda index: index.of_agent(agent, number)))

    def removed_since(self, number: str) -> tuple[str, list[RowInVersion]]:
        """The latest version, and the rows of an older one (number or alias) that the latest does not know, by id and
        text; augmented rows are left out.

        Raises:
            InputError: nothing is registered, or no such version.
        """
        latest = self._latest()
        number = number if number.isdigit() else version_named(self.project, self.versions, number).version
        for each in (number, latest):
            self._need(each)
        present = {_key(row) for row in self._ask(lambda index: index.of_version(latest))}
        before = self._ask(lambda index: index.of_version(number))
        gone = [row for row in before if not row.row.parents and _key(row) not in present]
        return latest, self._sorted(gone)

    def _latest(self) -> str:
        if not self.versions.all:
            raise self.versions.none()
        return self.versions.all[-1].version

    def _need(self, number: str) -> None:
        if number not in self._fresh and number not in self._listed and not self._removed.version(number, PRUNED):
            self.versions.number(number)
        if not self._load(number):
            raise SwitchtenderError(f"version {number} was pruned before it was indexed; nothing is known of its rows")

    def _load(self, number: str) -> bool:
        """See that one of the two indexes knows a version; False where nothing can know it any more."""
        if number in self._fresh or number in self._read:
            return True
        if number not in self._listed:
            return False
        if not take_in(self._direct, self._listed[number], self._removed):
            return False
        self._read.add(number)
        return True

    def _ask(self, question: Callable[[TraceIndex], list[Found]]) -> list[Found]:
        return [row for row in question(self._index) if row.version in self._fresh] + question(self._direct)

    def _children(self, direct: list[Found]) -> list[tuple[Found, str]]:
        """Augmented rows of the same version: elsewhere the same id may have had another text."""
        by_id: dict[str, set[str]] = defaultdict(set)
        for row in direct:
            by_id[row.row.prompt_id].add(row.version)
        found: list[tuple[Found, str]] = []
        for parent, numbers in by_id.items():
            children = self._ask(partial(TraceIndex.of_parent, prompt_id=parent))
            found += [(child, parent) for child in children if child.version in numbers]
        return found

    def _sorted(self, rows: Iterable[Found]) -> list[RowInVersion]:
        return sorted((self._told(row, "") for row in rows), key=lambda row: (row.prompt_id, row.text_sha256))

    def _told(self, found: Found, parent: str) -> RowInVersion:
        row = found.row
        return RowInVersion(
            found.version, found.run_key, parent or row.prompt_id, row.text_sha256, row.prompt_id if parent else "",
            row.fate, row.stage, row.reason, row.split, tuple(filter(None, row.agents.split(SEPARATOR))), row.taught,
            tuple(self._spells.get(found.version, ())),
        )  # fmt: skip


def _key(found: Found) -> tuple[str, str]:
    return found.row.prompt_id, found.row.text_sha256


@contextmanager
def tracing(project: Project) -> Iterator[Tracing]:
    """All versions as they are now, ready to be asked.

    Raises:
        InputError: nothing was ever registered.
        VerificationFailed: the record of promotions, of what served or of removals is broken.
        SwitchtenderError: MLflow's store cannot be read.
    """
    versions = versions_of(project)
    with read_index(project.trace_index, index_signer(project)) as index, in_memory() as direct:
        yield Tracing(project, versions, index, direct)
