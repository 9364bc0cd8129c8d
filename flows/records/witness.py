"""A signed head of the logs where the project's own writer cannot undo it, and the logs held against it.

Places: a file (each head is one more line), `git:REMOTE` (the ref itself, never forced), or a URL that fsspec knows,
such as `s3://bucket/prefix` (each head is an object of its own; let the bucket lock its objects).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import rfc8785

from flows.records.signed_logs import HEAD, REF, SignedLogs
from flows.workspace.git import git
from flows.workspace.json_lines import append_text
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError, VerificationFailed, one_line
from pipeline.runtime.params import PARAMS_FILE, Section, read
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.tables import sha256_text
from pipeline.runtime.text import parse_json
from pipeline.versions.signed_head import SignedHead
from pipeline.versions.timestamp import check_timestamp, timestamp

_GIT = "git:"
_FETCHED = "refs/switchtender/witnessed"


class WitnessParams(Section):
    """Where each night writes the signed head, besides its report; and who stamps it with the time (RFC 3161)."""

    to: list[str]
    timestamp_url: str
    timestamp_root: str


def witness_params(project: Project) -> WitnessParams:
    """As the checkout's params.yaml says, for both tracks; files start in the project's folder, wherever one stands."""
    params = read("witness", WitnessParams, project.root / PARAMS_FILE)
    places = [place if place.startswith(_GIT) or "://" in place else str(project.root / place) for place in params.to]
    return params.model_copy(update={"to": places})


@dataclass(frozen=True)
class WitnessedHead:
    """A head as a witness keeps it: with a time-stamp, in base64, or without."""

    head: SignedHead
    timestamp: str = ""

    def to_line(self) -> str:
        """The head's own line, or one that holds it and the time-stamp."""
        line = self.head.to_line()
        return json.dumps({"head": parse_json(line), "timestamp": self.timestamp}) if self.timestamp else line


def witness(project: Project, params: WitnessParams) -> WitnessedHead:
    """The signed head as it is now, time-stamped where params say by whom.

    Raises:
        InputError: nothing was signed yet.
        VerificationFailed: the logs are not as they were signed.
        SwitchtenderError: the time-stamping service cannot be reached.
    """
    logs = SignedLogs(project)
    logs.proved()
    if logs.head is None:
        raise InputError("nothing was signed yet; the first night does, run 'make nightly'")
    stamp = timestamp(params.timestamp_url, logs.head.to_line().encode()) if params.timestamp_url else b""
    return WitnessedHead(logs.head, base64.b64encode(stamp).decode("ascii"))


def keep(project: Project, kept: WitnessedHead, place: str) -> None:
    """Write a head to a place.

    Raises:
        VerificationFailed: a git remote holds logs of which ours are no continuation.
        SwitchtenderError: the place cannot be written.
    """
    try:
        if place.startswith(_GIT):
            _push(project, place.removeprefix(_GIT))
        elif "://" in place:
            _put(place, kept)
        else:
            append_text(Path(place), f"{kept.to_line()}\n".encode())
    except (OSError, ValueError, ImportError) as error:  # fsspec: an unknown kind of URL, or a driver not installed
        raise SwitchtenderError(f"the witness {place} cannot be written ({one_line(error, 160)})") from error


def read_witness(project: Project, place: str) -> Iterator[tuple[str, str]]:
    """The heads that a place keeps: where each lies, and its line; held against time-stamps where there are some.

    Raises:
        InputError: there is nothing at that place.
        SwitchtenderError: it cannot be reached.
    """
    root = witness_params(project).timestamp_root
    found = list(_lines(project, place))
    if not found:
        raise InputError(f"the witness {place} holds no signed head; write one with 'switchtender witness --to'")
    for where, line in found:
        yield where, _unpacked(line, project.root / root if root else None)


def _unpacked(line: str, root: Path | None) -> str:
    """The head's own line, once its time-stamp holds; a line that is no head is told by whoever parses it."""
    try:
        content: JsonObject = parse_json(line)
        if "timestamp" not in content:
            return line
        head = rfc8785.dumps(content["head"]).decode("utf-8")
        check_timestamp(base64.b64decode(content["timestamp"]), head.encode(), root)
    except (ValueError, KeyError, TypeError, RecursionError, VerificationFailed) as error:
        return f"no signed head with a valid time-stamp: {one_line(error, 100)}"
    return head


def _lines(project: Project, place: str) -> Iterator[tuple[str, str]]:
    try:
        if place.startswith(_GIT):
            yield place, _fetched(project, place.removeprefix(_GIT))
        elif "://" in place:
            yield from _objects(place)
        else:
            for number, line in enumerate(Path(place).read_text(encoding="utf-8").splitlines(), start=1):
                if line.strip():
                    yield f"{place}:{number}", line
    except FileNotFoundError as error:
        raise InputError(f"the witness {place} is not there; name the file, git:REMOTE or URL that keeps it") from error
    except (OSError, ValueError, ImportError) as error:
        raise SwitchtenderError(f"the witness {place} cannot be read ({one_line(error, 160)})") from error


def _push(project: Project, remote: str) -> None:
    try:
        git(project.root, "push", "--quiet", remote, f"{REF}:{REF}")
    except SwitchtenderError as error:
        if "non-fast-forward" in str(error) or "fetch first" in str(error):
            raise VerificationFailed(
                f"the witness git:{remote} holds logs that ours do not continue; see 'switchtender verify --witness "
                f"git:{remote}'"
            ) from error
        raise


def _fetched(project: Project, remote: str) -> str:
    git(project.root, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, f"+{REF}:{_FETCHED}")
    try:
        return git(project.root, "cat-file", "blob", f"{_FETCHED}:{HEAD}")
    finally:
        git(project.root, "update-ref", "-d", _FETCHED)


def _put(place: str, kept: WitnessedHead) -> None:
    import fsspec

    line = kept.to_line()
    name = f"{kept.head.entries:08d}-{sha256_text(line)[:12]}.json"
    with fsspec.open(f"{place.rstrip('/')}/{name}", "wb") as file:
        file.write(line.encode())


def _objects(place: str) -> Iterator[tuple[str, str]]:
    import fsspec

    files, where = fsspec.core.url_to_fs(place)
    for name in sorted(files.ls(where, detail=False)):
        yield str(name), files.cat_file(name).decode("utf-8")
