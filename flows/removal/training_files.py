"""The files in which routers that learnt from given rows keep something of them, wherever a router lies.

What is kept without its text is known by the names that each system declares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.registry.versions import Version
from flows.removal.object_references import own_folder
from flows.workspace.dvc_objects import StoredFile, cache_of, remote_of
from flows.workspace.project import Project
from flows.workspace.runs import folder_of
from pipeline.routers.systems import all_training_material, training_material_in
from pipeline.runtime.errors import listed
from pipeline.runtime.track import TRACKS
from pipeline.versions.folder import FOLDER, MODEL

_TRAIN = {(track.stages / track.learnt).as_posix() for track in TRACKS.values()}


@dataclass(frozen=True)
class Checkout:
    """Where stages ran: the clone of the run `key`, or the working copy (no key); `files` are those of its dvc.lock."""

    root: Path
    files: list[StoredFile]
    key: str = ""

    def learnt_from(self, objects: set[str], files: set[Path]) -> bool:
        """Whether its training table is among what holds the rows, registered or not."""
        cloned = any(self.root / name in files for name in _TRAIN)
        return cloned or any(file.path in _TRAIN and file.md5 in objects for file in self.files)


def material_objects(project: Project, learnt: list[Checkout]) -> set[str]:
    """DVC objects in which routers that learnt from the rows keep something of them."""
    names = {Path(material.file).name for material in all_training_material()}
    named = {file.md5 for checkout in learnt for file in checkout.files if Path(file.path).name in names}
    places = (cache_of(project), remote_of(project))
    return {md5 for md5 in named if any(place.digests(md5) for place in places)}


def material_files(project: Project, checkout: Checkout) -> Iterator[Path]:
    """The same files in a checkout, and in the folder that a run assembled."""
    stages = [(checkout.root / track.stages, track) for track in TRACKS.values()]
    folders = {
        folder for at, track in stages for folder in (at / "train" / "router", at / track.router, at / "optimize")
    }
    if checkout.key:
        folders.add(folder_of(project, checkout.key) / FOLDER / MODEL)
    for folder in sorted(folders):
        yield from (folder / material.file for material in training_material_in(folder))


def material_of_versions(
    project: Project, versions: Collection[Version], taught: set[str], in_service: Collection[str]
) -> tuple[set[Path], list[str]]:
    """Files of the folders of versions, of which `taught` names the run keys of those that learnt from the rows.

    What a version in service (by run key) needs to answer stays till another serves, and is named.
    """
    files: set[Path] = set()
    waiting: list[str] = []
    for version in versions:
        place = own_folder(project, version.source)
        if place is None or version.run_key not in taught:
            continue
        model = place / "artifacts" / FOLDER / MODEL
        found = training_material_in(model)
        needed = [material.file for material in found if material.needed and version.run_key in in_service]
        if needed:
            waiting.append(
                f"version {version.version} serves, and keeps training prompts in {listed(needed)}; once another "
                "version serves, run `switchtender forget --erase` again"
            )
        files |= {model / material.file for material in found if material.file not in needed}
    return files, waiting
