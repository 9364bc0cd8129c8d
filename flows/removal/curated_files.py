"""What people curate, and what a commit without some rows holds in its place: tables, lists, pointers, objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.removal.dvc_pointers import objects_named, pointers
from flows.removal.project_files import REMOTE_IN_REPOSITORY, files_under
from flows.workspace.dvc_objects import cache_of, remote_of, remote_url
from flows.workspace.dvc_pointers import Pointer, md5_of
from flows.workspace.git import git
from flows.workspace.identity import CANDIDATES
from flows.workspace.project import Project
from pipeline.data.dataset import DATASET
from pipeline.data.forgetting import FORGOTTEN_FILE, CuratedFiles, FilesWithoutRows, files_without_rows
from pipeline.data.holdout import HOLDOUT_FILE
from pipeline.data.label_reviews import REVIEWS_FILE
from pipeline.data.row_removal import ENDINGS, table_without_rows
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.track import AGENTS, MODELS

_DATA = Path("data")


@dataclass(frozen=True)
class CuratedWithoutRows:
    """The curated files of the tracks in `both`, and what is left of them without the rows `ids`; nothing is written.

    Raises on making: InputError where a file that DVC keeps was not fetched, or is kept as a part of a folder;
    TableError where a track's table is missing or malformed.
    """

    project: Project
    both: tuple[Project, ...]
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        for pointer in self.pointers:
            if not (self.project.root / pointer.out).exists():
                raise InputError(f"{pointer.out} is not there; fetch it with 'dvc pull {pointer.path}', or make setup")
        for path in self.cut.files:
            keeper = self.pointer_of(path)
            if keeper is not None and keeper.is_folder:
                raise InputError(
                    f"{path} holds the rows, and DVC keeps its folder as a whole; take it out of {keeper.path} with "
                    "'dvc remove', add its files one by one, commit that, then forget"
                )

    @cached_property
    def pointers(self) -> list[Pointer]:
        return pointers(self.project)

    def pointer_of(self, path: Path) -> Pointer | None:
        """The pointer that keeps a file, or None where git does, or nobody."""
        return next((pointer for pointer in self.pointers if pointer.covers(path)), None)

    @cached_property
    def curated(self) -> CuratedFiles:
        tracks = {seen.track for seen in self.both}
        tables = {seen.table for seen in self.both if self._is_used(seen.table)}
        lists = {seen.holdout for seen in self.both if (self.project.root / seen.holdout).is_file()}
        joined: frozenset[Path] = frozenset()
        if AGENTS in tracks:
            tables, lists = tables | {DATASET, REVIEWS_FILE}, lists | {HOLDOUT_FILE}
        if MODELS in tracks:
            joined = frozenset(self._tables_in(CANDIDATES))
            tables |= joined | {path for path in self._tables_in(_DATA) if self._names_prompts(path)}
        ours = {DATASET, *(seen.table for seen in self.project.both)} - {seen.table for seen in self.both}
        others = ours - ({DATASET} if AGENTS in tracks else set())
        return CuratedFiles(tuple(sorted(tables - others)), tuple(sorted(lists)), joined)

    def _is_used(self, table: Path) -> bool:
        """Whether a track's table is one of this project's files; a track that was never set up has none."""
        known = (self.project.root / table).is_file() or bool(git(self.project.root, "ls-files", "--", str(table)))
        return known and not table.is_absolute()

    def _tables_in(self, folder: Path) -> Iterator[Path]:
        for path in files_under(self.project.root / folder):
            name = path.relative_to(self.project.root)
            if path.suffix.lower() in ENDINGS and name != FORGOTTEN_FILE and REMOTE_IN_REPOSITORY not in name.parents:
                yield name

    def _names_prompts(self, path: Path) -> bool:
        """Whether a table is one of prompts; what cannot be read as one is searched as a text all the same."""
        try:
            table_without_rows((self.project.root / path).read_bytes(), (), path)
        except (TableError, OSError):
            return False
        return True

    @cached_property
    def cut(self) -> FilesWithoutRows:
        return files_without_rows(self.project.root, self.ids, self.curated)

    def meant_twice(self) -> str:
        """Says of an id that is another prompt in one track's table than in the other's; nothing where none is."""
        other = self.project.on(MODELS).table
        agents, models = (self.cut.texts_by_file.get(path, {}) for path in (DATASET, other))
        for one in sorted(agents.keys() & models.keys()):
            if models[one] and not set(agents[one]) & set(models[one]):
                return (
                    f"'{one}' is another prompt in {DATASET} than in {other}; say --track {AGENTS.name} or "
                    f"--track {MODELS.name}"
                )
        return ""

    def changed(self) -> set[Path]:
        """The curated files that are changed and not committed.

        Raises:
            InputError: others than the reviews are, which people write all day.
        """
        ours = {*self.curated.tables, *self.curated.lists, FORGOTTEN_FILE, *(one.path for one in self.pointers)}
        paths = sorted({"data", *(path.as_posix() for path in ours)})
        entries = git(
            self.project.root, "status", "--porcelain", "--no-renames", "-z", "-uall", "--", *paths, strip=False
        )
        states = {Path(entry[3:]): entry[:2] for entry in entries.split("\0") if entry}
        states |= {one.out: " M" for one in self.pointers if not one.is_folder and self._differs(one)}
        # What git has never seen is in no commit that would go on holding the rows; so only where it holds them itself.
        changed = {path for path, state in states.items() if path in ours and (state != "??" or path in self.cut.files)}
        if others := sorted(changed - {REVIEWS_FILE}):
            raise InputError(f"{others[0]} is changed and not committed; commit it, then forget")
        return changed

    def _differs(self, pointer: Pointer) -> bool:
        return md5_of((self.project.root / pointer.out).read_bytes()) != pointer.md5

    @cached_property
    def objects(self) -> set[str]:
        """The objects that pointers name once the rows are out: none of them is ever deleted."""
        gone = {one for path in self.cut.files if (one := self.pointer_of(path)) is not None}
        new = {md5_of(content) for path, content in self.cut.files.items() if content and self.pointer_of(path)}
        return new | objects_named(self.project, [one for one in self.pointers if one not in gone])

    def keep_objects(self) -> None:
        """Put the new tables that DVC keeps into its cache and their remotes: spare bytes till a commit names them.

        Raises:
            SwitchtenderError: a place cannot be written.
        """
        for pointer, content in self._kept_by_dvc():
            if content is not None:
                cache_of(self.project).add(md5_of(content), content)
                if not self._is_in_repository(pointer):
                    remote_of(self.project, pointer.remote).add(md5_of(content), content)

    def contents(self) -> dict[str, bytes | None]:
        """What the commit has to hold of tables, lists and pointers, and of objects whose remote git itself keeps."""
        known = set(git(self.project.root, "ls-files", "-z").split("\0"))
        found = {path.as_posix(): content for path, content in self.cut.files.items() if path.as_posix() in known}
        texts: dict[Path, str] = {}
        for pointer, content in self._kept_by_dvc():
            if content is None:
                found[pointer.path.as_posix()] = None
                continue
            text = texts.get(pointer.path) or (self.project.root / pointer.path).read_text(encoding="utf-8")
            texts[pointer.path] = pointer.text_for(text, content)
            found[pointer.path.as_posix()] = texts[pointer.path].encode()
            if self._is_in_repository(pointer):
                md5 = md5_of(content)
                found[(REMOTE_IN_REPOSITORY / "files" / "md5" / md5[:2] / md5[2:]).as_posix()] = content
        return found

    def _kept_by_dvc(self) -> Iterator[tuple[Pointer, bytes | None]]:
        for path, content in self.cut.files.items():
            if (pointer := self.pointer_of(path)) is not None:
                yield pointer, content

    def _is_in_repository(self, pointer: Pointer) -> bool:
        return remote_url(self.project, pointer.remote) == str((self.project.root / REMOTE_IN_REPOSITORY).resolve())
