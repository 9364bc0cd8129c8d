"""DVC's objects by md5: in the cache, and in the remote, which may be a folder or anything that DVC can reach."""

from __future__ import annotations

import configparser
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from flows.workspace.own_files import refuse_foreign, remove
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError, TableError, VerificationFailed, one_line
from pipeline.runtime.tables import read_json, write_whole

REMOTE = "store"
DIRECTORY = ".dir"
_NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Digests:
    """What an object's bytes give."""

    md5: str
    sha256: str


class ObjectStore:
    """A folder that holds objects by md5, on this machine or behind a DVC filesystem."""

    def __init__(self, name: str, root: str, files: Any = None) -> None:
        self.name = name
        self.root = root
        self._files = files

    def path(self, md5: str) -> str:
        """Where an object lies."""
        return f"{self.root}/files/md5/{md5[:2]}/{md5[2:]}"

    def digests(self, md5: str) -> Digests | None:
        """Both digests of an object as it lies there, or None where it is not there.

        Raises:
            SwitchtenderError: the place cannot be reached.
        """
        hashes = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        try:
            with self.open(md5) as file:
                while block := file.read(_BLOCK):
                    for one in hashes:
                        one.update(block)
        except FileNotFoundError:
            return None
        return Digests(*(one.hexdigest() for one in hashes))

    def open(self, md5: str) -> BinaryIO:
        """An object's bytes.

        Raises:
            FileNotFoundError: it is not there.
            SwitchtenderError: the place cannot be reached.
        """
        path = self.path(md5)
        try:
            file: BinaryIO = self._files.open(path, "rb") if self._files else Path(path).open("rb")  # noqa: SIM115
        except FileNotFoundError:
            raise
        except OSError as error:
            raise SwitchtenderError(f"{self.name} {path} cannot be read ({error}); try again") from error
        return file

    def all(self) -> list[str]:
        """The md5 of every object that lies there.

        Raises:
            SwitchtenderError: the place cannot be reached.
        """
        folder = f"{self.root}/files/md5"
        try:
            if self._files is None:
                names = [path.relative_to(folder).as_posix() for path in Path(folder).glob("??/*") if path.is_file()]
            else:
                names = ["/".join(name.split("/")[-2:]) for name in self._files.find(folder)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SwitchtenderError(f"{self.name} {folder} cannot be listed ({error}); try again") from error
        return sorted(md5 for name in names if _NAME.fullmatch(md5 := name.replace("/", "")))

    def add(self, md5: str, content: bytes) -> None:
        """Keep an object, whole or not at all, read-only as DVC itself keeps it.

        Raises:
            SwitchtenderError: the place cannot be written.
        """
        path = self.path(md5)
        try:
            if self._files is not None:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(path, content)
            elif not Path(path).is_file():
                write_whole(Path(path), lambda to: _write_protected(to, content))
        except TableError as error:
            raise SwitchtenderError(f"DVC's {self.name}: {error}") from error
        except OSError as error:
            raise SwitchtenderError(f"{self.name} {path} cannot be written ({error}); try again") from error

    def remove(self, md5: str) -> None:
        """Remove an object; it may be gone already.

        Raises:
            SwitchtenderError: it may not be removed.
        """
        path = self.path(md5)
        if self._files is None:
            remove(Path(path))
            return
        try:
            if self._files.exists(path):
                self._files.remove(path)
        except OSError as error:
            raise SwitchtenderError(f"{self.name} {path} cannot be removed ({error}); try again") from error


def _write_protected(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o444)


def remote_url(project: Project, name: str) -> str:
    """Where one of DVC's remotes is: an absolute folder, or a URL; nothing where there is none of that name.

    Raises:
        InputError: DVC's settings cannot be read.
    """
    settings = configparser.ConfigParser()
    for path in (project.root / ".dvc" / "config", project.root / ".dvc" / "config.local"):
        try:
            settings.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read ({one_line(error, 100)}); restore it") from error
    url = settings.get(f"'remote \"{name}\"'", "url", fallback="")
    return url if "://" in url or not url else str((project.root / ".dvc" / url).resolve())


def store_url(project: Project) -> str:
    """Where the remote of what nights make is: an absolute folder, or a URL."""
    return remote_url(project, REMOTE) or str(project.dvc_remote)


def refuse_foreign_remote(project: Project, url: str) -> None:
    """Refuse a remote that is a folder of another project: a setting that came along with a copy.

    Raises:
        InputError: names that project.
    """
    if url and "://" not in url:
        mend = "change its url in .dvc/config.local or .dvc/config"
        refuse_foreign(project, Path(url), f"DVC's remote {url}", mend)


def cache_of(project: Project) -> ObjectStore:
    """DVC's cache."""
    return ObjectStore("cache", str(project.dvc_cache))


def remote_of(project: Project, name: str = REMOTE) -> ObjectStore:
    """One of DVC's remotes.

    Raises:
        SwitchtenderError: DVC cannot reach it.
    """
    url = store_url(project) if name == REMOTE else remote_url(project, name)
    if "://" not in url:
        return ObjectStore("remote", url)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        store = Repo(str(project.root)).cloud.get_remote_odb(name, "verify", hash_name="md5")
    except DvcException as error:
        raise SwitchtenderError(f"the remote {url} cannot be reached ({error}); check .dvc/config") from error
    return ObjectStore("remote", store.path.removesuffix("/files/md5"), store.fs)


def content_of(md5: str, places: Iterable[ObjectStore]) -> bytes | None:
    """An object's bytes from the first place that has it."""
    for place in places:
        try:
            with place.open(md5) as file:
                return file.read()
        except FileNotFoundError:
            continue
    return None


@dataclass(frozen=True)
class StoredFile:
    """A file that DVC keeps: its path in the project, its md5, and the stage that wrote it (empty for the dataset)."""

    path: str
    md5: str
    stage: str


def stored_files(project: Project, lock: str, chosen: Collection[str] | None = None) -> Iterator[StoredFile]:
    """The dataset and every output that a `dvc.lock` names, or those of `chosen` stages (the dataset's is empty); of a
    folder the listing and each file in it.

    Raises:
        VerificationFailed: the lock or a folder's listing cannot be read.
    """
    try:
        stages = yaml.safe_load(lock)["stages"]
        first = stages[f"{project.track.prefix}validate"]
        data = [dep for dep in first["deps"] if dep["path"] == project.table.as_posix()]
        named = [
            (str(out["path"]), str(out["md5"]), stage) for stage in stages for out in stages[stage].get("outs", [])
        ]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise VerificationFailed(f"dvc.lock cannot be read ({error}); restore it from its run's commit") from error
    every = [*((str(dep["path"]), str(dep["md5"]), "") for dep in data), *named]
    for path, md5, stage in every:
        if chosen is not None and stage not in chosen:
            continue
        yield StoredFile(path, md5, stage)
        if md5.endswith(DIRECTORY):
            listing = read_json(Path(cache_of(project).path(md5)))
            yield from (StoredFile(f"{path}/{item['relpath']}", str(item["md5"]), stage) for item in listing)
