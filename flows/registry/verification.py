"""Proving bytes: a version's files, signature and provenance, its commit, and DVC's objects in cache and remote.

DVC and MLflow check none of this by themselves: a byte flipped in a cache object passes `dvc status`, and an alias
moved in MLflow leaves no trace.
"""

from __future__ import annotations

import importlib.util
import marshal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from flows.records.promotion_log import promotions
from flows.records.registration_log import registrations
from flows.records.removal_log import ERASED, PRUNED, RemovalEntry, RemovalLog
from flows.records.signed_logs import signer_of
from flows.registry.findings import CHANGED, EXTRA, MISSING, Finding, Verified
from flows.registry.forgotten import FORGOTTEN_TAG, forgotten_in, tagged_rows
from flows.registry.mlflow_store import MODEL_FILE
from flows.registry.versions import PROVENANCE_TAG, RUN_KEY, Version, opened
from flows.workspace.commit_tree import CommitTree
from flows.workspace.dvc_objects import ObjectStore, cache_of, remote_of
from flows.workspace.git import git
from flows.workspace.project import Project
from flows.workspace.snapshot import RUN_REF
from pipeline.routers.base.protocol import TRAINING_INDEX
from pipeline.runtime.errors import SwitchtenderError, VerificationFailed
from pipeline.runtime.regular_files import irregular
from pipeline.runtime.tables import sha256_file
from pipeline.versions.commands import see_verify
from pipeline.versions.folder import FOLDER, MODEL, PROVENANCE, SIGNATURE, VersionFolder
from pipeline.versions.provenance import BASE_MODELS, CODE, DATA, Material, Provenance
from pipeline.versions.signing import signed_files

OWN_FILES = {
    "MLmodel",
    "agent_router.py",
    "conda.yaml",
    "input_example.json",
    "python_env.yaml",
    "registered_model_meta",
    "requirements.txt",
    "serving_input_example.json",
}
"""MLflow's own files beside what is signed; loading a model writes `registered_model_meta`."""
_SPARE = f"{FOLDER}/{MODEL}/{TRAINING_INDEX.file}"
_ERASED_BY_0_1_0 = (_SPARE, f"{FOLDER}/{MODEL}/knn.safetensors")


def check_folder(project: Project, version: Version, folder: VersionFolder) -> Iterator[Finding]:
    """A version's own files: MLflow's, the signed ones, the signature, the provenance."""
    yield from _unsigned_files(folder)
    try:
        differing = signer_of(project).check(folder.root, folder.signature)
        provenance = folder.provenance()
    except VerificationFailed as error:
        yield Finding("version", SIGNATURE, CHANGED, "a valid signature and provenance", str(error))
        return
    yield from (Finding.of("version", found, f"{FOLDER}/") for found in differing)
    if not differing:
        yield from _against_provenance(version, folder, provenance)
        yield from _against_records(project, version, folder)
    code = next((m for m in provenance.of(CODE) if m.name == str(MODEL_FILE)), None)
    loader = folder.root.parent.parent / MODEL_FILE.name
    if code is not None and (not loader.is_file() or sha256_file(loader) != code.digest["sha256"]):
        actual = sha256_file(loader) if loader.is_file() else "nothing"
        yield Finding("version", MODEL_FILE.name, CHANGED, code.digest["sha256"], actual)


def _against_provenance(version: Version, folder: VersionFolder, provenance: Provenance) -> Iterator[Finding]:
    """What is signed, and so was hashed already, against what the provenance and MLflow's tag say of it."""
    expected, actual = version.tags.get(PROVENANCE_TAG, ""), folder.provenance_sha256()
    if expected != actual:
        yield Finding("MLflow tag", PROVENANCE_TAG, CHANGED, actual, expected)
    if version.run_key != provenance.run_key:
        yield Finding("MLflow tag", RUN_KEY, CHANGED, provenance.run_key, version.run_key)
    present = {name: digest for name, digest in signed_files(folder.signature).items() if name != PROVENANCE}
    for name in sorted(present.keys() | provenance.subjects.keys()):
        if present.get(name) != provenance.subjects.get(name):
            yield Finding("provenance", name, CHANGED, provenance.subjects.get(name, ""), present.get(name, ""))


def _against_records(project: Project, version: Version, folder: VersionFolder) -> Iterator[Finding]:
    """The number in MLflow against what the signed logs say is behind it: rows in MLflow's tables can be exchanged."""
    entry = registrations(project).get(version.version)
    expected = {entry.provenance_sha256} if entry else set()
    expected |= {p.provenance_sha256 for p in promotions(project) if p.version_to == version.version} - {""}
    actual = folder.provenance_sha256()
    if expected and expected != {actual}:
        yield Finding("registration log", f"version {version.version}", CHANGED, min(expected - {actual}), actual)


def _unsigned_files(folder: VersionFolder) -> Iterator[Finding]:
    """Files outside the signed folder that MLflow did not write, and the signed ones that are absent altogether."""
    model = folder.root.parent.parent
    if not model.is_dir():
        yield Finding("version", str(model), MISSING)
        return
    for path in sorted(model.rglob("*")):
        name = path.relative_to(model).as_posix()
        signed = name.startswith(f"artifacts/{FOLDER}/") or name == f"artifacts/{SIGNATURE}"
        kind = irregular(path)
        if kind and not path.is_dir() and not signed:
            yield Finding("version", name, EXTRA, "", kind)
        elif not kind and not signed and name not in OWN_FILES and not _is_bytecode(path, model):
            yield Finding("version", name, EXTRA, "", sha256_file(path))


def _is_bytecode(path: Path, model: Path) -> bool:
    """Whether a file is what this Python makes of the model's code; MLflow's loader leaves it there, and runs it."""
    source = model / MODEL_FILE.name
    if path != Path(importlib.util.cache_from_source(str(source))):
        return False
    content = path.read_bytes()
    try:
        made = compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
        return content[:4] == importlib.util.MAGIC_NUMBER and bool(marshal.loads(content[16:]) == made)  # noqa: S302 (compared, never run)
    except (OSError, EOFError, SyntaxError, TypeError, ValueError):
        return False


def check_version(project: Project, version: Version, removed: RemovalLog) -> Verified:
    """Everything about one version.

    Raises:
        SwitchtenderError: a store or remote cannot be reached, so nothing can be said.
    """
    pruned = removed.version(version.version, PRUNED)
    if pruned is not None:
        return Verified(version.version, 1, (Finding("version", version.run_key, PRUNED, "", pruned.reason),))
    with opened(version) as folder:
        findings = _erased(project, folder, version, list(check_folder(project, version, folder)), removed)
        checked = sum(path.is_file() for path in folder.root.rglob("*")) + 1
        try:
            provenance = folder.provenance()
        except VerificationFailed:
            return Verified(version.version, checked, tuple(findings))
        findings.extend(_forgotten(project, version, folder))
    materials = [m for m in provenance.materials if m.role not in BASE_MODELS]
    findings.extend(_check_commit(project, version, provenance))
    places = (cache_of(project), remote_of(project))
    for material in materials:
        if "md5" in material.notes:
            findings.extend(_check_objects(material, places, removed))
    return Verified(version.version, checked + len(materials), tuple(findings))


def _forgotten(project: Project, version: Version, folder: VersionFolder) -> Iterator[Finding]:
    """Forgotten rows that the version was made with and its tag does not name."""
    try:
        untold = set(forgotten_in(project, folder)) - tagged_rows(version)
    except SwitchtenderError:
        return  # the lineage or a log is damaged, which is found above
    if untold:
        yield Finding(
            "MLflow tag", FORGOTTEN_TAG, MISSING, " ".join(sorted(untold)), version.tags.get(FORGOTTEN_TAG, "")
        )


def _erased(
    project: Project, folder: VersionFolder, version: Version, findings: list[Finding], removed: RemovalLog
) -> list[Finding]:
    """The findings, with a missing file that was erased for what it kept of prompts called so, and the reason."""
    before = removed.version(version.version, ERASED)

    def entry(found: Finding) -> RemovalEntry | None:
        named = removed.file(project.name_of(folder.root.parent / found.path))
        # 0.1.0 did not write down which files went; it knew two.
        return named or (before if before and not before.files and found.path in _ERASED_BY_0_1_0 else None)

    return [
        replace(found, state=ERASED, actual=gone.reason) if found.state == MISSING and (gone := entry(found)) else found
        for found in findings
    ]


def _check_commit(project: Project, version: Version, provenance: Provenance) -> Iterator[Finding]:
    """The recorded commit, kept by its ref, with every file of it hashed anew."""
    ref = f"{RUN_REF}{version.run_key}"
    kept = git(project.root, "for-each-ref", "--format=%(objectname)", ref)
    if kept != provenance.commit:
        yield Finding("git", ref, CHANGED if kept else MISSING, provenance.commit, kept)
    for replaced in git(project.root, "for-each-ref", "--format=%(refname)", "refs/replace").splitlines():
        yield Finding("git", replaced, EXTRA, "", "shows another object under a recorded name")
    tree = CommitTree(project.root, provenance.commit)
    for state, paths in ((MISSING, tree.missing), (CHANGED, tree.changed)):
        yield from (Finding("git", path or provenance.commit, state, "the recorded object") for path in paths)
    if tree.missing or tree.changed:
        return
    if provenance.tree_sha256 and tree.digest != provenance.tree_sha256:
        yield Finding("git", provenance.commit, CHANGED, provenance.tree_sha256, tree.digest)
    for material in provenance.materials:
        if material.role not in (DATA, CODE) or "md5" in material.notes:
            continue
        expected, actual = material.digest["sha256"], tree.sha256.get(material.name, "")
        if actual != expected:
            yield Finding("git", material.name, CHANGED if actual else MISSING, expected, actual)


def _check_objects(
    material: Material, places: tuple[ObjectStore, ObjectStore], removed: RemovalLog
) -> Iterator[Finding]:
    """One file in DVC's cache and in its remote. What the remote holds may be absent from the cache."""
    md5, expected = material.notes["md5"], material.digest["sha256"]
    gone = removed.object(md5)
    # Hashed anew: DVC trusts what it noted of a file once, and would pass a flipped byte.
    cache, remote = (place.digests(md5) for place in places)
    for place, found in zip(places, (cache, remote), strict=True):
        name = f"{material.name} ({place.path(md5)})"
        if found is not None and (found.sha256 != expected or found.md5 != md5.removesuffix(".dir")):
            yield Finding(place.name, name, CHANGED, expected, found.sha256)
        elif found is None and gone is not None:
            yield Finding(place.name, name, gone.kind, expected, gone.reason)
        elif found is None and place.name == "cache" and remote is not None:
            yield Finding(place.name, name, "only in the remote", expected)
        elif found is None:
            yield Finding(place.name, name, MISSING, expected)


@contextmanager
def proved(project: Project, version: Version) -> Iterator[VersionFolder]:
    """A version's folder, once its own files were found to be what was signed.

    Raises:
        VerificationFailed: see `require_sound`.
        SwitchtenderError: a store elsewhere cannot be reached.
    """
    with opened(version) as folder:
        require_sound(project, version, folder)
        yield folder


def require_sound(project: Project, version: Version, folder: VersionFolder) -> None:
    """Refuse a version whose own files are not what was signed, but for what was erased and is not needed to answer.

    Raises:
        VerificationFailed: names the first file, or the removal log that cannot be trusted.
    """
    faults = [finding for finding in check_folder(project, version, folder) if finding.is_fault]
    if any(fault.state == MISSING for fault in faults):
        faults = _erased(project, folder, version, faults, RemovalLog(project))
    found = next((fault for fault in faults if (fault.state, fault.path) != (ERASED, _SPARE)), None)
    if found is not None and found.state == ERASED:
        raise VerificationFailed(
            f"version {version.version} answers no more: {found.path} kept training prompts and was erased "
            f"({found.actual}); take another version"
        )
    if found is not None:
        raise VerificationFailed(
            f"version {version.version}: {found.path} is {found.state} (expected {found.expected[:16] or 'nothing'}, "
            f"found {found.actual[:80] or 'nothing'}); {see_verify(version)}"
        )
