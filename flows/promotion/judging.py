"""What has to be known of a version before it serves: its bytes, its gates as read today, rows that it may not hold."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flows.registry.forgotten import forgotten_in, tagged_rows
from flows.registry.verification import proved, require_sound
from flows.registry.versions import Version, Versions, opened
from flows.workspace.changed_params import night_params, uncommitted_params
from flows.workspace.dvc_objects import cache_of, remote_of
from flows.workspace.git import git_bytes
from flows.workspace.project import Project
from pipeline.data.dataset import DATASET
from pipeline.gating.results import UNDECIDABLE, GateResult
from pipeline.runtime.errors import SwitchtenderError, VerificationFailed
from pipeline.runtime.params import PARAMS_FILE, read
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.reproducibility import RunParams
from pipeline.runtime.tables import sha256_file
from pipeline.runtime.track import MODELS
from pipeline.versions.champion_comparison import Contender, rematch
from pipeline.versions.folder import VersionFolder


@dataclass(frozen=True)
class Move:
    """What a promotion or rollback would do: from, to, and the gates as read today.

    `forgotten` are ids of rows that the version was made with and that were forgotten since; `night_params` and
    `params` are settings that no commit had, in the night that made it and now.
    """

    version_from: str
    version_to: str
    gates: tuple[GateResult, ...] = ()
    forgotten: tuple[str, ...] = ()
    night_params: tuple[str, ...] = ()
    params: tuple[str, ...] = ()

    @property
    def closed(self) -> list[str]:
        return [gate.gate for gate in self.gates if not gate.passed]

    def judged_by(self, params_file: Path) -> JsonObject:
        """What the gates were judged by, for the record."""
        return {
            "gates": {g.gate: {"value": g.value, "limit": g.limit, "against": g.against} for g in self.gates},
            "params_sha256": sha256_file(params_file),
            "uncommitted": list(self.params),
            "uncommitted_at_night": list(self.night_params),
        }


def moved_to(project: Project, version_from: str, target: Version) -> Move:
    """A move to a version that is proved; its gates are not asked."""
    with proved(project, target) as folder:
        return _move(project, version_from, target, folder, ())


def judged(project: Project, versions: Versions, candidate: Version, serving: str) -> Move:
    """A move to a version that is proved, with its own gates as recorded and those against the champion of today."""
    with proved(project, candidate) as folder:
        return _move(project, serving, candidate, folder, _gates_today(project, versions, candidate, folder, serving))


def _move(
    project: Project, version_from: str, target: Version, folder: VersionFolder, gates: tuple[GateResult, ...]
) -> Move:
    """What has to be known of a move to a version; `folder` is proved."""
    made = folder.provenance()
    return Move(
        version_from,
        target.version,
        gates,
        tuple(sorted({*tagged_rows(target), *forgotten_in(project, folder)})),
        tuple(night_params(project, made.commit, made.params)),
        tuple(uncommitted_params(project)),
    )


def _gates_today(
    project: Project, versions: Versions, candidate: Version, folder: VersionFolder, serving: str
) -> tuple[GateResult, ...]:
    own, params_file = folder.gates(), project.root / PARAMS_FILE
    if not serving or serving == candidate.version:
        return own
    if not versions.has(serving):
        reason = f"the champion, version {serving}, is not in the registry, so nothing is compared with it"
        return (*own, GateResult("champion", None, None, UNDECIDABLE, reason))
    champion = versions.number(serving)
    with opened(champion) as theirs, tempfile.TemporaryDirectory() as place:
        _require_readable(project, champion, theirs)
        results = rematch(
            Contender(candidate.version, candidate.run_key, folder),
            Contender(champion.version, champion.run_key, theirs),
            _dataset(project, folder, Path(place)),
            params_file,
            read("run", RunParams, params_file).seed,
        )
    # The comparison with the champion of that night is replaced by the one with today's. By name too: release 0.1.0
    # filed the count of rows under limits.
    today = {gate.gate for gate in results}
    return (*(gate for gate in own if gate.against != "champion" and gate.gate not in today), *results)


def _require_readable(project: Project, champion: Version, folder: VersionFolder) -> None:
    try:
        require_sound(project, champion, folder)
    except VerificationFailed as error:
        raise VerificationFailed(
            f"the champion, version {champion.version}, cannot be trusted, so nothing is compared with it ({error}); "
            "'switchtender rollback' leaves it"
        ) from error


def _dataset(project: Project, folder: VersionFolder, place: Path) -> Path:
    """The table that the version was made from, out of git, or DVC's cache or remote."""
    provenance = folder.provenance()
    table = provenance.params.get("models", {}).get("validate", {}).get("table") if project.track is MODELS else None
    name = str(table or DATASET)
    md5 = next((m.notes.get("md5", "") for m in provenance.materials if m.name == name), "")
    copy = place / Path(name).name
    if not md5:
        copy.write_bytes(git_bytes(project.root, "cat-file", "blob", f"{provenance.commit}:{name}"))
        return copy
    for where in (cache_of(project), remote_of(project)):
        try:
            with where.open(md5) as file, copy.open("wb") as to:
                shutil.copyfileobj(file, to)
            return copy
        except FileNotFoundError:
            continue
    raise SwitchtenderError(f"the prompts of that version ({md5}) are in no cache or remote; see 'switchtender verify'")
