"""Where given rows are held, in files, DVC's objects, MLflow's artifacts and git: what erasing removes, what it leaves.

Texts are found by content, in every file of the project. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from flows.audit.trace import RowInVersion
from flows.records.removal_log import PRUNED, RemovalLog
from flows.registry.mlflow_store import Registry
from flows.registry.versions import Version
from flows.removal.object_references import (
    current_outputs,
    files_of_run,
    files_of_working_copy,
    objects_of,
    own_folder,
    require_removable,
    run_keys,
)
from flows.removal.project_files import REMOTE_IN_REPOSITORY, files_under, project_files
from flows.removal.training_files import Checkout, material_files, material_objects, material_of_versions
from flows.workspace.dvc_objects import cache_of, content_of, remote_of, remote_url
from flows.workspace.project import Project
from flows.workspace.runs import LOG, clone_of
from pipeline.routers.systems import training_material_in
from pipeline.runtime.errors import SwitchtenderError, listed
from pipeline.runtime.regular_files import irregular
from pipeline.runtime.track import TRACKS, track_of
from pipeline.versions.folder import FOLDER, MODEL
from pipeline.versions.row_search import CannotUnpack, RowMatcher, is_searchable

SCRATCH, JOURNALS = Path("var/scratch"), Path("var/serving")
_IN_CLONE = {*(track.champion.as_posix() for track in TRACKS.values()), "data", "var"}
_MADE = ("var/gx", "var/reports", *(track.stages.as_posix() for track in TRACKS.values()))
_PAGES = {"gx", "reports"}
_BEGINNING = 4096


@dataclass(frozen=True)
class SearchQuery:
    """What a search starts from: ids and texts; the working copy's files that are to have other bytes (None: to go);
    the objects that its pointers then name; the versions of the tracks; what `trace` says; the run keys of what
    serves.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    after: Mapping[Path, bytes | None]
    objects: frozenset[str]
    versions: tuple[Version, ...]
    traced: tuple[RowInVersion, ...]
    in_service: frozenset[str]


@dataclass(frozen=True)
class RowLocations:
    """Where rows are: DVC objects by md5; files that go; folders of work that was cut short, which go whole; files of
    the dataset's remote inside the repository; journals, in which the texts are overwritten; and what erasing leaves
    of all that, in words. Git is asked by `flows.removal.git_history`.
    """

    rows: RowMatcher
    objects: tuple[str, ...]
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    tracked: tuple[Path, ...]
    journals: tuple[Path, ...]
    remaining: tuple[str, ...]


def find(project: Project, query: SearchQuery) -> RowLocations:
    """Search everything that is reached from here.

    Raises:
        SwitchtenderError: a file, store or remote cannot be read, so that nothing may be promised.
    """
    search = _Search(project, query, Registry(project, "").artifact_places())
    checkouts = [
        Checkout(project.root, files_of_working_copy(project)),
        *(Checkout(clone_of(project, key), files_of_run(project, key), key) for key in run_keys(project)),
    ]
    named = {file.md5 for checkout in checkouts for file in checkout.files} | query.objects
    search.learn_texts(named)
    objects = {md5 for md5, content in search.objects(named) if search.holds(md5, content, search.rows.are_in)}
    search.walk(search.every_file())
    taught = {row.run_key for row in query.traced if row.taught}
    learnt = [one for one in checkouts if one.key in taught or one.learnt_from(objects, search.files)]
    objects |= material_objects(project, learnt)
    search.files |= {path for checkout in learnt for path in material_files(project, checkout)}
    taught |= {checkout.key for checkout in learnt if checkout.key}
    models, waiting = material_of_versions(project, query.versions, taught, query.in_service)
    require_removable(project, search.files | models)
    kept = _kept(project, query)
    return RowLocations(
        search.rows,
        tuple(sorted(objects - kept.keys() - query.objects)),
        tuple(sorted(search.files | models)),
        tuple(sorted(search.folders)),
        tuple(sorted(search.tracked)),
        tuple(sorted(search.journals)),
        (
            *waiting,
            *search.left,
            *(f"DVC's object {md5} is an input of version {kept[md5]}, which did not learn from the rows; it stays"
              for md5 in sorted(objects & kept.keys() - query.objects) if kept[md5]),
            *_elsewhere(project, search.places),
        ),
    )  # fmt: skip


def mentions(project: Project, query: SearchQuery) -> tuple[str, ...]:
    """In words, which files of the working copy hold a text of the rows once the curated files are without them.

    Raises:
        SwitchtenderError: a file cannot be read.
    """
    search = _Search(project, query, [])
    search.walk(project_files(project))
    return tuple(search.left)


class _Search:
    """One walk over the project's files, and what it found; `places` are the addresses of MLflow's artifacts."""

    def __init__(self, project: Project, query: SearchQuery, places: list[str]) -> None:
        self.project, self.query, self.places = project, query, places
        self.rows = RowMatcher(frozenset(query.ids), frozenset(query.texts))
        self.files: set[Path] = set()
        self.folders: set[Path] = set()
        self.tracked: set[Path] = set()
        self.journals: set[Path] = set()
        self.left: list[str] = []
        own = [self._own(uri) for uri in places]
        self._made = {*(project.root / name for name in _MADE), *filter(None, own)}
        self._signed = {place: version for version in query.versions if (place := self._own(version.source))}
        self._stores = {_within(project, Path(one.root)) / "files" for one in (cache_of(project), remote_of(project))}

    def _own(self, address: str) -> Path | None:
        """The folder of an artifact address as the walk comes by it."""
        place = own_folder(self.project, address)
        return None if place is None else _within(self.project, place)

    def learn_texts(self, named: set[str]) -> None:
        """Take in every text that the rows ever had in an object or a file."""
        texts = set(self.rows.texts)
        for _, content in (*self.objects(named), *((path, _searchable(path)) for path in self.every_file())):
            texts |= self.rows.texts_in(content) if content else frozenset()
        self.rows = RowMatcher(self.rows.ids, frozenset(texts) - {""})

    def objects(self, named: set[str]) -> Iterator[tuple[str, bytes]]:
        """Every object in DVC's cache and its remote."""
        cache, remote = cache_of(self.project), remote_of(self.project)
        for md5 in sorted({*cache.all(), *remote.all(), *named}):
            content = content_of(md5, (cache, remote))
            if content is not None and is_searchable(content):
                yield md5, content

    def walk(self, files: Iterable[Path]) -> None:
        """Find the rows in files, and say of each what is to become of it."""
        for path in files:
            name = path.relative_to(self.project.root)
            if kind := irregular(path):
                self.left.append(f"{name} is {kind} and was not searched; look into it yourself")
                continue
            content = self.query.after[name] if name in self.query.after else _searchable(path)
            if content is not None:
                self._place(path, name, content)

    def every_file(self) -> Iterator[Path]:
        """The project's files, but for DVC's objects, of which `objects` tells."""
        for path in chain(project_files(self.project), files_under(self.project.var)):
            if self._stores.isdisjoint(path.parents):
                yield path

    def _place(self, path: Path, name: Path, content: bytes) -> None:
        if REMOTE_IN_REPOSITORY in name.parents:
            md5 = path.parent.name + path.name
            if md5 not in self.query.objects and self.holds(name, content, self.rows.are_in):
                self.tracked.add(path)
        elif SCRATCH in name.parents:
            if self.holds(name, content, self.rows.are_in):
                self.folders.add(self.project.root.joinpath(*name.parts[: len(SCRATCH.parts) + 1]))
        elif self._is_made(path):
            if self.holds(name, content, self._are_in_made(path)):
                self.files.add(path)
        elif self.holds(name, content, self.rows.are_quoted_in):
            if JOURNALS in name.parents:
                self.journals.add(path)
            else:
                self.left.extend(self._told(path, name, content))

    def holds(self, name: object, content: bytes, ask: Callable[[bytes], bool]) -> bool:
        """Whether a content holds the rows; one that cannot be looked into is named."""
        try:
            return ask(content)
        except CannotUnpack as error:
            self.left.append(f"{name} {error} and was not searched; look into it yourself")
            return False

    def _is_made(self, path: Path) -> bool:
        """Whether running made a file, and would make it again without the rows."""
        if any(place in path.parents for place in self._signed):
            return False
        runs = self.project.runs
        if runs in path.parents:
            _, *inside = path.relative_to(runs).parts
            tables = {seen.table for seen in self.project.both}
            in_clone = Path(*inside[1:]) if inside[:1] == ["clone"] else Path()
            return (
                inside in (["report.html"], [LOG]) or in_clone in tables or not _IN_CLONE.isdisjoint(in_clone.parts[:1])
            )
        return any(place in path.parents for place in self._made)

    def _are_in_made(self, path: Path) -> Callable[[bytes], bool]:
        """Pages quote rows in part, so there the id is enough."""
        is_page = path.suffix == ".html" or not _PAGES.isdisjoint(path.parts)
        return self.rows.are_named_in if is_page else self.rows.are_in

    def _told_of_own(self, name: Path, content: bytes) -> str:
        """What is said of a file that people keep, or another tool."""
        if others := self.rows.others_in(content):
            return f"{name} has the same text under {listed(sorted(others))}; forget that too, if it is the same"
        lines = [number for number, line in enumerate(content.splitlines(), 1) if self.rows.are_written_in(line)]
        line = f", line {lines[0]}," if lines and b"\0" not in content else ""
        return f"{name}{line} holds a text of the rows; take it out there"

    def _told(self, path: Path, name: Path, content: bytes) -> Iterator[str]:
        """What is said of a file that stays; nothing of one that goes with its version's training files."""
        version = next((self._signed[place] for place in path.parents if place in self._signed), None)
        if version is None:
            yield self._told_of_own(name, content)
            return
        folder = next(place for place in path.parents if place in self._signed) / "artifacts" / FOLDER
        if path not in {folder / MODEL / material.file for material in training_material_in(folder / MODEL)}:
            shown = path.relative_to(folder).as_posix() if folder in path.parents else name.as_posix()
            yield f"the signed file {shown} of version {version.version} quotes a text; prune that version"


def _within(project: Project, place: Path) -> Path:
    """A place by the way over the project's folder, where `var` is a link to another disk."""
    for home in (project.var, project.root):
        if place.is_relative_to(home.resolve()):
            return home / place.relative_to(home.resolve())
    return place


def _searchable(path: Path) -> bytes | None:
    """A file's bytes, or None where its beginning shows that it holds numbers or pictures, or where it is no file."""
    try:
        if irregular(path):
            return None
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
            return beginning + file.read() if is_searchable(beginning) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SwitchtenderError(f"{path} cannot be read ({error.strerror}); make it readable, then again") from error


def _kept(project: Project, query: SearchQuery) -> dict[str, str]:
    """The objects of stages that are not stale, and of versions that never knew the rows, with their numbers."""
    affected = {row.run_key for row in query.traced}
    removed = {seen.track: RemovalLog(seen) for seen in project.both}
    kept = dict.fromkeys(current_outputs(project, query.after), "")
    for version in query.versions:
        if version.run_key not in affected and not removed[track_of(version.run_key)].version(version.version, PRUNED):
            kept |= {md5: kept.get(md5, version.version) for md5 in objects_of(project, version)}
    return kept


def _elsewhere(project: Project, places: list[str]) -> Iterator[str]:
    """Stores that erasing does not enter: artifacts outside this project, a dataset remote of one's own."""
    for uri in places:
        if own_folder(project, uri) is None:
            yield f"{uri}: remove suspects/ (label_noise/ of older nights) and reports/ there, if they name the rows"
    url = remote_url(project, "dataset")
    if url and url not in (str((project.root / REMOTE_IN_REPOSITORY).resolve()), remote_url(project, "store")):
        yield f"the dataset's remote {url} keeps older datasets; remove their objects there"
