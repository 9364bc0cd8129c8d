"""Where given rows are held outside git's history: DVC objects, the runs' files, MLflow's artifacts, routers' files.

Texts are found by content, in every run, also abandoned and unregistered ones. What a router keeps of its training
prompts without their texts is known by the names that each system declares. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.audit.trace import RowInVersion
from flows.records.removal_log import PRUNED, RemovalLog
from flows.registry.mlflow_store import Registry
from flows.registry.versions import Version
from flows.removal.object_references import (
    cached,
    content_of,
    files_of_run,
    files_of_working_copy,
    objects_of,
    objects_of_working_copy,
    own_folder,
    remote_url,
    require_removable,
    run_keys,
)
from flows.workspace.dvc_objects import StoredFile, cache_of, remote_of
from flows.workspace.project import Project
from flows.workspace.runs import clone_of, folder_of
from pipeline.routers.systems import all_training_material, training_material_in
from pipeline.runtime.errors import SwitchtenderError, listed
from pipeline.runtime.track import TRACKS, track_of
from pipeline.versions.folder import FOLDER, MODEL
from pipeline.versions.row_search import SoughtRows, is_searchable

DATASET_REMOTE = Path("data/remote")
_TRAIN = {(track.stages / track.learnt).as_posix() for track in TRACKS.values()}
_IN_CLONE = (*(track.champion.as_posix() for track in TRACKS.values()), "data", "var")
_IN_WORKING_COPY = ("var/gx", "var/reports", *(track.stages.as_posix() for track in TRACKS.values()))
_PAGES = {"gx", "reports"}


@dataclass(frozen=True)
class SearchedRows:
    """What is known before the search: ids and texts, the md5 of the dataset that stays, the registered versions of
    both tracks, what `trace` says, and the run keys of what serves.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    dataset: str
    versions: tuple[Version, ...]
    traced: tuple[RowInVersion, ...]
    in_service: frozenset[str]


@dataclass(frozen=True)
class RowLocations:
    """Where rows are: DVC objects by md5, files that may go, files of the dataset's remote inside the repository
    (which git tracks), and what erasing leaves, in words.
    """

    rows: SoughtRows
    objects: tuple[str, ...]
    files: tuple[Path, ...]
    tracked: tuple[Path, ...]
    remaining: tuple[str, ...]


def find(project: Project, known: SearchedRows) -> RowLocations:
    """Search everything that is reached from here.

    Raises:
        SwitchtenderError: a file, store or remote cannot be read, so that nothing may be promised.
    """
    checkouts = [
        _Checkout(project.root, files_of_working_copy(project)),
        *(_Checkout(clone_of(project, key), files_of_run(project, key), key) for key in run_keys(project)),
    ]
    named = {file.md5 for checkout in checkouts for file in checkout.files}
    rows = _with_all_texts(project, named, SoughtRows(frozenset(known.ids), frozenset(known.texts)))
    places = Registry(project, "").artifact_places()
    objects = {md5 for md5, content in _objects(project, named) if rows.are_in(content)}
    files = {path for path, content in _files(project, places) if _is_held(path, content, rows)}
    taught = {row.run_key for row in known.traced if row.taught}
    learnt = [checkout for checkout in checkouts if checkout.key in taught or checkout.learnt_from(objects, files)]
    objects |= _material_objects(project, learnt)
    files |= {path for checkout in learnt for path in _material_files(project, checkout)}
    taught |= {checkout.key for checkout in learnt if checkout.key}
    models, waiting = material_of_versions(project, known, taught)
    require_removable(project, files | models)
    return RowLocations(
        rows,
        tuple(sorted(objects - _kept(project, known))),
        tuple(sorted(files | models)),
        tuple(path for path, content in _older_datasets(project, known.dataset) if rows.are_in(content)),
        (*waiting, *_quoting(project, known, rows), *_elsewhere(project, places)),
    )


@dataclass(frozen=True)
class _Checkout:
    """Where stages ran: the clone of the run `key`, or the working copy (no key); `files` are those of its dvc.lock."""

    root: Path
    files: list[StoredFile]
    key: str = ""

    def learnt_from(self, objects: set[str], files: set[Path]) -> bool:
        """Whether its training table is among what holds the rows, registered or not."""
        cloned = any(self.root / name in files for name in _TRAIN)
        return cloned or any(file.path in _TRAIN and file.md5 in objects for file in self.files)


def _material_objects(project: Project, learnt: list[_Checkout]) -> set[str]:
    """DVC objects in which routers that learnt from the rows keep something of them."""
    names = {Path(material.file).name for material in all_training_material()}
    named = {file.md5 for checkout in learnt for file in checkout.files if Path(file.path).name in names}
    places = (cache_of(project), remote_of(project))
    return {md5 for md5 in named if any(place.digests(md5) for place in places)}


def _material_files(project: Project, checkout: _Checkout) -> Iterator[Path]:
    """The same files in a checkout, and in the folder that a run assembled."""
    stages = [(checkout.root / track.stages, track) for track in TRACKS.values()]
    folders = {
        folder for at, track in stages for folder in (at / "train" / "router", at / track.router, at / "optimize")
    }
    if checkout.key:
        folders.add(folder_of(project, checkout.key) / FOLDER / MODEL)
    for folder in sorted(folders):
        yield from (folder / material.file for material in training_material_in(folder))


def _with_all_texts(project: Project, named: set[str], rows: SoughtRows) -> SoughtRows:
    """The rows with every text that they ever had in an object or a run's file."""
    found = set(rows.texts)
    for _, content in (*_objects(project, named), *_run_files(project), *_texts_under(project.root / DATASET_REMOTE)):
        found |= rows.texts_in(content)
    return SoughtRows(rows.ids, frozenset(found) - {""})


def _objects(project: Project, named: set[str]) -> Iterator[tuple[str, bytes]]:
    """Every object in the cache, and those in the remote that a run or the working copy names."""
    cache, remote = cache_of(project), remote_of(project)
    for md5 in sorted(cached(project) | named | objects_of_working_copy(project)):
        path = Path(cache.path(md5))
        content = _searchable(path) if path.is_file() else content_of(md5, (remote,))
        if content is not None:
            yield md5, content


def _files(project: Project, places: list[str]) -> Iterator[tuple[Path, bytes]]:
    """Runs' reports and clones, what was made in the working copy, and the artifacts of MLflow's runs."""
    yield from _run_files(project)
    for name in _IN_WORKING_COPY:
        yield from _texts_under(project.root / name)
    for uri in places:
        place = own_folder(project, uri)
        if place is not None:
            yield from _texts_under(place)


def _run_files(project: Project) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(project.runs.glob("*/report.html")):
        yield path, path.read_bytes()
    for clone in sorted(project.runs.glob("*/clone")):
        for name in _IN_CLONE:
            yield from _texts_under(clone / name)


def _older_datasets(project: Project, stays: str) -> Iterator[tuple[Path, bytes]]:
    """The objects of the dataset's remote inside the repository, but for the one that stays."""
    for path, content in _texts_under(project.root / DATASET_REMOTE):
        if path.parent.name + path.name != stays:
            yield path, content


def _texts_under(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = _searchable(path)
            if content is not None:
                yield path, content


def _searchable(path: Path) -> bytes | None:
    """A file's bytes, or None where its beginning shows that it holds numbers or pictures."""
    try:
        with path.open("rb") as file:
            return path.read_bytes() if is_searchable(file.read(4096)) else None
    except OSError as error:
        raise SwitchtenderError(f"{path} cannot be read ({error.strerror}); make it readable, then again") from error


def _is_held(path: Path, content: bytes, rows: SoughtRows) -> bool:
    """Pages quote rows in part, so there the id is enough."""
    if path.suffix == ".html" or not _PAGES.isdisjoint(path.parts):
        return rows.are_named_in(content.decode("utf-8", "replace"))
    return rows.are_in(content)


def material_of_versions(project: Project, known: SearchedRows, taught: set[str]) -> tuple[set[Path], list[str]]:
    """Files of version folders. What a version in service needs to answer stays till another serves, and is named."""
    files: set[Path] = set()
    waiting: list[str] = []
    for version in known.versions:
        place = own_folder(project, version.source)
        if place is None or version.run_key not in taught:
            continue
        model = place / "artifacts" / FOLDER / MODEL
        found = training_material_in(model)
        needed = [material.file for material in found if material.needed and version.run_key in known.in_service]
        if needed:
            waiting.append(
                f"version {version.version} serves, and keeps training prompts in {listed(needed)}; once another "
                "version serves, run `switchtender forget --erase` again"
            )
        files |= {model / material.file for material in found if material.file not in needed}
    return files, waiting


def _kept(project: Project, known: SearchedRows) -> set[str]:
    """Objects of the dataset that stays, and of versions that never knew the rows."""
    affected = {row.run_key for row in known.traced}
    removed = {seen.track: RemovalLog(seen) for seen in project.both}
    others = [
        version
        for version in known.versions
        if version.run_key not in affected and not removed[track_of(version.run_key)].version(version.version, PRUNED)
    ]
    return {known.dataset}.union(*(objects_of(project, version) for version in others))


def _quoting(project: Project, known: SearchedRows, rows: SoughtRows) -> Iterator[str]:
    """Signed files that quote a text: lineage as the reason of a quarantine, a router the beginning of many prompts."""
    affected = {row.run_key for row in known.traced}
    for version in known.versions:
        place = own_folder(project, version.source)
        if place is None or version.run_key not in affected:
            continue
        folder = place / "artifacts" / FOLDER
        erasable = {folder / MODEL / material.file for material in training_material_in(folder / MODEL)}
        for path, content in _texts_under(folder):
            if path not in erasable and rows.are_quoted_in(content):
                name = path.relative_to(folder).as_posix()
                yield f"the signed file {name} of version {version.version} quotes a text; prune that version"


def _elsewhere(project: Project, places: list[str]) -> Iterator[str]:
    """Stores that erasing does not enter: artifacts outside this project, a dataset remote of one's own."""
    for uri in places:
        if own_folder(project, uri) is None:
            yield f"{uri}: remove label_noise/suspects.csv and reports/ there, if they name the rows"
    url = remote_url(project, "dataset")
    if url not in (str(project.root / DATASET_REMOTE), remote_url(project, "store")):
        yield f"the dataset's remote {url} keeps older datasets; remove their objects there"
