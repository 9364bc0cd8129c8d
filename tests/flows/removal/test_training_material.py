"""Every system names the files in which it keeps something of its training prompts; with them gone, nothing is left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_versions import MadeProject
from planted_subjects import subject_table
from safetensors.numpy import load_file

from flows.records.removal_log import ERASED, RemovalEntry, RemovalLog, record_removal
from flows.registry.verification import check_version, require_sound
from flows.registry.versions import Version, versions_of
from flows.removal.training_files import material_of_versions
from flows.workspace.own_files import remove
from flows.workspace.project import Project
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.engine_files import ENGINE
from pipeline.encoders.training_index import training_index_of
from pipeline.routers.base.settings import AptitudeParams, FinetuningParams, TagsParams
from pipeline.routers.baselines.knn import KnnScorer
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.fitting import fit_router
from pipeline.routers.systems import SYSTEMS, training_material
from pipeline.runtime.errors import VerificationFailed
from pipeline.versions.folder import FOLDER, MODEL

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = ("zyxquorble", "flimmerkuntz", "vandrothil", "918273645")
PLANTED = "please {} the {} near {} by {}".format(*WORDS)
ROW = 7
SHOW = {"knn", "clusters", "tfidf", "tags", "aptitude"}
"""Systems whose files show the planted prompt itself; `tasks` keeps where it lies on a map."""


def table(is_labels: bool) -> Outcomes:
    """Prompts on which all candidates agree, but for the planted one: so it is sure to be an item of the test."""
    made = subject_table(80, 3, is_labels)
    quality = np.repeat((np.arange(80) % 3 == 0).astype(np.float32)[:, None], 3, axis=1)
    quality[ROW] = (1.0, 0.0, 0.0)
    prompts = [PLANTED if row == ROW else text for row, text in enumerate(made.prompts)]
    return replace(made, prompts=tuple(prompts), quality=quality)


@pytest.fixture(scope="module")
def params(tiny_encoder: Path) -> FinetuningParams:
    tags, aptitude = TagsParams(least_prompts=1), AptitudeParams(share=0.6, shots=30)
    return FinetuningParams(encoder=str(tiny_encoder), max_tokens=32, epochs=1, folds=2, tags=tags, aptitude=aptitude)


def saved(router: CalibratedRouter, outcomes: Outcomes, folder: Path) -> None:
    """A version's model folder: the router, and beside it the index of its training prompts."""
    router.save(folder)
    if router.scorer.embedding is not None:
        vectors = router.scorer.embedding.embed(router.followed(outcomes.prompts))
        (folder / ENGINE).mkdir()
        training_index_of(vectors, outcomes.prompt_ids, [("a",)] * len(outcomes)).save(folder / ENGINE)


def erased(place: Path, in_service: bool = False) -> list[str]:
    """Erase as `forget --erase` does, from the folder of a version that learnt from the row; what it has to leave."""
    version = Version("1", "agents-1", "", str(place), {}, ())
    serving = {"agents-1"} if in_service else set()
    files, waiting = material_of_versions(Project(place), [version], {"agents-1"}, serving)
    for path in files:
        remove(path)
    return waiting


def traces(folder: Path, vector: np.ndarray | None) -> Iterator[str]:
    """`file: what` for all that is left of the planted prompt: its words, a digest, or its vector."""
    digest = hashlib.sha256(PLANTED.encode())
    marks = {word: word.encode() for word in WORDS}
    marks |= {"digest": digest.digest()[:16], "digest in letters": digest.hexdigest().encode()}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        if path.suffix == ".parquet":
            content += pd.read_parquet(path).to_csv().encode()
        yield from (f"{name}: {what}" for what, mark in marks.items() if mark in content.lower() or mark in content)
        if path.suffix == ".safetensors" and vector is not None:
            yield from (f"{name}: vector" for tensor in load_file(path).values() if _shows(tensor, vector))


def _shows(tensor: np.ndarray, vector: np.ndarray) -> bool:
    """Whether a row or a column begins with the vector, at any length: features have an embedding in front."""
    if tensor.ndim < 2 or tensor.dtype.kind != "f":
        return False
    flat = tensor.reshape(-1, tensor.shape[-1]).astype(np.float64)
    for rows in (flat, flat.T):
        if rows.shape[1] >= len(vector):
            part = rows[:, : len(vector)]
            cosine = part @ vector / np.maximum(np.linalg.norm(part, axis=1), 1e-12)
            if (cosine > 0.999).any():
                return True
    return False


def vector_of(router: CalibratedRouter) -> np.ndarray | None:
    embedding = router.scorer.embedding
    return None if embedding is None else embedding.embed([PLANTED])[0].astype(np.float64)


@pytest.fixture(scope="module", params=[(system, labels) for system in SYSTEMS for labels in (True, False)], ids=str)
def version(
    request: pytest.FixtureRequest, params: FinetuningParams, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CalibratedRouter]:
    """The folder of a version, and its router."""
    system, is_labels = request.param
    outcomes, place = table(is_labels), tmp_path_factory.mktemp("version")
    router = fit_router(system, outcomes, params, seed=0)
    saved(router, outcomes, place / "artifacts" / FOLDER / MODEL)
    return place, router


def test_what_a_router_keeps_of_a_prompt_goes_with_the_files_that_it_names(
    version: tuple[Path, CalibratedRouter],
) -> None:
    place, router = version
    folder, vector = place / "artifacts" / FOLDER / MODEL, vector_of(router)
    before = {trace.split(":")[0] for trace in traces(folder, vector)}
    named = {found.file: found for found in training_material(router.scorer.name)}
    assert before <= named.keys()
    assert bool({name for name in before if named[name].needed}) == (router.scorer.name in SHOW)
    needed = {name for name, found in named.items() if found.needed}
    waiting = erased(place, in_service=True)
    assert all((folder / name).exists() for name in needed)
    assert len(waiting) == bool(needed)
    assert all(name in line for name in needed for line in waiting)
    assert not (folder / ENGINE).exists() or not list((folder / ENGINE).iterdir())
    assert erased(place) == []
    assert list(traces(folder, vector)) == []
    assert not [name for name in named if (folder / name).exists()]


def test_a_file_that_is_not_named_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: FinetuningParams
) -> None:
    monkeypatch.setattr(KnnScorer, "training_material", ())
    outcomes, folder = table(True), tmp_path / "artifacts" / FOLDER / MODEL
    router = fit_router("knn", outcomes, params, seed=0)
    saved(router, outcomes, folder)
    erased(tmp_path)
    assert list(traces(folder, vector_of(router))) == ["knn.safetensors: vector"]


def test_the_guide_names_each_file() -> None:
    guide = Path("docs/forgetting.md").read_text(encoding="utf-8")
    for system in SYSTEMS:
        for found in training_material(system):
            assert f"| `{found.file}` | {found.keeps} |" in guide


def test_a_version_is_refused_for_what_it_needs_and_not_for_the_index_of_its_rows(tmp_path: Path) -> None:
    made = MadeProject(tmp_path / "project")
    names = ("tags.json", f"{ENGINE}/training_rows.safetensors")
    folder = made.add(1, model_files=names)
    version = versions_of(made.project).number("1")
    require_sound(made.project, version, folder)
    (folder.model / names[1]).unlink()
    with pytest.raises(VerificationFailed, match=r"training_rows\.safetensors is missing"):
        require_sound(made.project, version, folder)
    files = tuple(made.project.name_of(folder.model / name) for name in names)
    removal = RemovalEntry("2026-02-01T10:00:00+00:00", "ana", ERASED, "request 17", ("1",), files=files)
    record_removal(made.project, removal)
    require_sound(made.project, version, folder)
    (folder.model / names[0]).unlink()
    with pytest.raises(VerificationFailed, match=r"tags.json kept training prompts and was erased \(request 17\)"):
        require_sound(made.project, version, folder)
    found = check_version(made.project, version, RemovalLog(made.project)).findings
    assert {(finding.path, finding.state) for finding in found if "model" in finding.path} == {
        (f"{FOLDER}/{MODEL}/{name}", "erased") for name in names
    }


def test_a_file_that_no_erasure_named_is_missing_also_beside_an_erasure(tmp_path: Path) -> None:
    made = MadeProject(tmp_path / "project")
    names = ("tasks.json", f"{ENGINE}/training_rows.safetensors")
    folder = made.add(1, model_files=names)
    record_removal(made.project, RemovalEntry("2026-02-01T10:00:00+00:00", "ana", ERASED, "request 17", ("1",)))
    for name in names:
        (folder.model / name).unlink()
    found = check_version(made.project, versions_of(made.project).number("1"), RemovalLog(made.project)).findings
    states = {finding.path.removeprefix(f"{FOLDER}/{MODEL}/"): finding.state for finding in found}
    assert (states[names[0]], states[names[1]]) == ("missing", "erased")  # the second is one that 0.1.0 knew
