"""Where given rows are held outside git's history: DVC objects, the runs' files, MLflow's artifacts, neighbour indexes.

Found by content, in every run, also abandoned and unregistered ones. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.audit.trace import RowInVersion
from flows.records.removal_log import PRUNED, Removed
from flows.registry.mlflow_store import Registry
from flows.registry.versions import Version
from flows.removal.object_references import (
    cached,
    content_of,
    files_of_run,
    local,
    objects_of,
    objects_of_working_copy,
    remote_url,
    run_keys,
)
from flows.workspace.dvc_objects import StoredFile, cache_of, remote_of
from flows.workspace.project import Project
from flows.workspace.runs import clone_of, folder_of
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.track import TRACKS, track_of
from pipeline.versions.folder import EVIDENCE, FOLDER, LINEAGE, MODEL, NEIGHBOURS, VECTORS
from pipeline.versions.row_search import SoughtRows, is_searchable

DATASET_REMOTE = Path("data/remote")
_TRAIN = {(track.stages / track.learnt).as_posix() for track in TRACKS.values()}
_IN_CLONE = (*(track.champion.as_posix() for track in TRACKS.values()), "data", "var")
_VECTOR_NAMES = {Path(name).name for name in VECTORS}
_IN_WORKING_COPY = ("var/gx", "var/reports", *(track.stages.as_posix() for track in TRACKS.values()))
_PAGES = {"gx", "reports"}


@dataclass(frozen=True)
class Known:
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
class Holding:
    """Where rows are: DVC objects by md5, files that may go, files of the dataset's remote inside the repository
    (which git tracks), and what erasing leaves, in words.
    """

    rows: SoughtRows
    objects: tuple[str, ...]
    files: tuple[Path, ...]
    tracked: tuple[Path, ...]
    remaining: tuple[str, ...]


def find(project: Project, known: Known) -> Holding:
    """Search everything that is reached from here.

    Raises:
        SwitchtenderError: a file, store or remote cannot be read, so that nothing may be promised.
    """
    runs = {key: files_of_run(project, key) for key in run_keys(project)}
    named = {file.md5 for files in runs.values() for file in files}
    rows = _with_all_texts(project, named, SoughtRows(frozenset(known.ids), frozenset(known.texts)))
    places = Registry(project, "").artifact_places()
    objects = {md5 for md5, content in _objects(project, named) if rows.are_in(content)}
    files = {path for path, content in _files(project, places) if _is_held(path, content, rows)}
    taught = {row.run_key for row in known.traced if row.taught} | set(_taught(project, runs, objects, files))
    for key in taught:
        vectors = {file.md5 for file in runs.get(key, []) if Path(file.path).name in _VECTOR_NAMES}
        objects |= {
            md5 for md5 in vectors if any(place.digests(md5) for place in (cache_of(project), remote_of(project)))
        }
        files |= set(_vector_files(project, key))
    models, waiting = _models(known, taught)
    return Holding(
        rows,
        tuple(sorted(objects - _kept(project, known))),
        tuple(sorted(files | models)),
        tuple(path for path, content in _older_datasets(project, known.dataset) if rows.are_in(content)),
        (*waiting, *_quoting(known, rows), *_elsewhere(project, places)),
    )


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
        place = local(uri)
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


def _taught(project: Project, runs: dict[str, list[StoredFile]], objects: set[str], files: set[Path]) -> Iterator[str]:
    """Runs whose training table holds the rows, registered or not."""
    for key, named in runs.items():
        cloned = any(clone_of(project, key) / name in files for name in _TRAIN)
        if cloned or any(file.path in _TRAIN and file.md5 in objects for file in named):
            yield key


def _vector_files(project: Project, key: str) -> Iterator[Path]:
    track = track_of(key)
    stages = clone_of(project, key) / track.stages
    made = {stages / "train" / "router", stages / track.router, stages / "optimize"}
    for folder in (*sorted(made), folder_of(project, key) / FOLDER / MODEL):
        yield from (folder / name for name in VECTORS if (folder / name).is_file())


def _models(known: Known, taught: set[str]) -> tuple[set[Path], list[str]]:
    """Vectors inside version folders. The neighbour index of a version in service stays, else nothing could answer."""
    files: set[Path] = set()
    waiting: list[str] = []
    for version in known.versions:
        place = local(version.source)
        model = place / "artifacts" / FOLDER / MODEL if place else None
        if model is None or version.run_key not in taught:
            continue
        held = {name for name in VECTORS if (model / name).is_file()}
        if NEIGHBOURS in held and version.run_key in known.in_service:
            held.remove(NEIGHBOURS)
            waiting.append(
                f"version {version.version} serves by its neighbour index; once another version serves, "
                "run `switchtender forget --erase` again"
            )
        files |= {model / name for name in held}
    return files, waiting


def _kept(project: Project, known: Known) -> set[str]:
    """Objects of the dataset that stays, and of versions that never knew the rows."""
    affected = {row.run_key for row in known.traced}
    removed = {seen.track: Removed(seen) for seen in project.both}
    others = [
        version
        for version in known.versions
        if version.run_key not in affected and not removed[track_of(version.run_key)].version(version.version, PRUNED)
    ]
    return {known.dataset}.union(*(objects_of(project, version) for version in others))


def _quoting(known: Known, rows: SoughtRows) -> Iterator[str]:
    """Signed lineage that quotes a text as the reason of a quarantine."""
    affected = {row.run_key for row in known.traced}
    for version in known.versions:
        place = local(version.source)
        path = place / "artifacts" / FOLDER / EVIDENCE / LINEAGE if place else None
        if path is not None and version.run_key in affected and path.is_file() and rows.are_in(path.read_bytes()):
            yield f"the signed lineage of version {version.version} quotes a text as a reason; prune that version"


def _elsewhere(project: Project, places: list[str]) -> Iterator[str]:
    """Stores that erasing does not enter: MLflow's artifacts on another machine, a dataset remote of one's own."""
    for uri in places:
        if local(uri) is None:
            yield f"{uri}: remove label_noise/suspects.csv and reports/ there, if they name the rows"
    url = remote_url(project, "dataset")
    if url not in (str(project.root / DATASET_REMOTE), remote_url(project, "store")):
        yield f"the dataset's remote {url} keeps older datasets; remove their objects there"
