"""Each thing that a version rests on is damaged in turn, and `verify` names it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from sandbox import Sandbox

from flows.records.promotion_log import REFS
from flows.records.removal_log import RemovalLog
from flows.registry.verification import Finding, check_logs, check_version
from flows.registry.versions import Versions, opened
from flows.workspace.dvc_objects import cache_of, remote_of
from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.track import AGENTS
from pipeline.versions.hash_chain import chained, entries
from pipeline.versions.provenance import Provenance

MODEL = "agent-router"


@dataclass(frozen=True)
class Victim:
    """A copy of a sound project, and where version 2's things lie in it."""

    sandbox: Sandbox
    project: Project
    router: Path
    provenance: Provenance

    def object(self, place: str, name: str) -> Path:
        """A DVC object of version 2, made writable as an intruder would."""
        md5 = next(m.notes["md5"] for m in self.provenance.materials if m.name == name)
        where = cache_of(self.project) if place == "cache" else remote_of(self.project)
        return Path(where.path(md5))

    def faults(self) -> list[Finding]:
        versions = Versions(self.project, MODEL)
        removed = RemovalLog(self.project)
        results = [check_version(self.project, versions.number("2"), removed), check_logs(self.project, versions)]
        return [finding for result in results for finding in result.findings if finding.is_fault]


@pytest.fixture(scope="module")
def promoted(two_versions: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Version 2 in service, so that the promotion log has two entries."""
    sandbox = two_versions.copy_to(tmp_path_factory.mktemp("promoted") / "project")
    done = sandbox.run("promote", "2", "--reason", "better")
    assert done.returncode == 0, done.stderr
    return sandbox


@pytest.fixture
def victim(promoted: Sandbox, tmp_path: Path) -> Iterator[Victim]:
    sandbox = promoted.copy_to(tmp_path / "project")
    project = Project(sandbox.root)
    with opened(Versions(project, MODEL).number("2")) as folder:
        yield Victim(sandbox, project, folder.root, folder.provenance())
    shutil.rmtree(sandbox.root)


def flip(path: Path) -> None:
    """Change one byte in place and keep mode and times, as a cache object edited behind DVC's back."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    path.chmod(stat.S_IMODE(before.st_mode))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_sound_project_has_no_faults(victim: Victim) -> None:
    assert victim.faults() == []


def cut_log(v: Victim) -> None:
    path = v.project.records / "promotions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def edit_log(v: Victim) -> None:
    path = v.project.records / "promotions.jsonl"
    path.write_text(path.read_text().replace("better", "forced"))


def reorder_log(v: Victim) -> None:
    path = v.project.records / "promotions.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))


def forge_log(v: Victim) -> None:
    """A whole new log with a right chain, in the file and in git, under the old signature."""
    path = v.project.records / "promotions.jsonl"
    old, text = entries(path.read_text(), "log"), ""
    for entry in old:
        facts = {key: value for key, value in entry.items() if key not in ("sequence", "previous")}
        text = chained(text, {**facts, "who": "somebody else"})
    path.write_text(text)
    blob = v.sandbox.git("hash-object", "-w", str(path))
    listing = v.sandbox.git("ls-tree", REFS[AGENTS]).splitlines()
    lines = [f"100644 blob {blob}\tpromotions.jsonl" if line.endswith("promotions.jsonl") else line for line in listing]
    tree = git(v.sandbox.root, "mktree", stdin="\n".join(lines) + "\n")
    v.sandbox.git("update-ref", REFS[AGENTS], v.sandbox.git("commit-tree", tree, "-m", "forged"))


def move_alias(v: Victim) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{v.project.mlflow_database}")
    client.set_registered_model_alias(MODEL, "champion", "1")


def break_signature(v: Victim) -> None:
    path = v.router.parent / "router.sig"
    bundle = json.loads(path.read_text())
    signature = bytearray(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[-1] ^= 1
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(bytes(signature)).decode()
    path.write_text(json.dumps(bundle))


def edit_lineage(v: Victim) -> None:
    path = v.router / "evidence" / "lineage.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "agents"] = "finance"
    table.to_parquet(path, index=False)


def edit_provenance(v: Victim) -> None:
    path = v.router / "provenance.json"
    path.write_text(path.read_text().replace('"threads":1', '"threads":2'))


def move_run_ref(v: Victim) -> None:
    ref = f"refs/switchtender/runs/{v.provenance.run_key}"
    v.sandbox.git("update-ref", ref, v.sandbox.git("rev-parse", "HEAD"))


DATASET, TRAINED = "data/prompts.csv", "var/stages/augment/train.parquet"
ATTACKS: dict[str, tuple[Callable[[Victim], object], str, str, str]] = {
    "dataset in the cache": (lambda v: flip(v.object("cache", DATASET)), "cache", DATASET, "changed"),
    "dataset in the remote": (lambda v: flip(v.object("remote", DATASET)), "remote", DATASET, "changed"),
    "dataset gone": (lambda v: v.object("remote", DATASET).unlink(), "remote", DATASET, "missing"),
    "stage output in the remote": (lambda v: flip(v.object("remote", TRAINED)), "remote", TRAINED, "changed"),
    "a model file": (lambda v: flip(v.router / "model/head.safetensors"), "version", "head.safetensors", "changed"),
    "a model file gone": (lambda v: (v.router / "model/head.safetensors").unlink(), "version", "head", "missing"),
    "an added file": (lambda v: (v.router / "model/extra.bin").write_bytes(b"x"), "version", "extra.bin", "extra"),
    "an added file beside": (
        lambda v: (v.router.parent.parent / "startup.py").write_text("x"), "version", "startup.py", "extra"
    ),
    "a link": (lambda v: (v.router / "model/other").symlink_to("/etc/hostname"), "version", "model/other", "extra"),
    "the loader": (lambda v: flip(v.router.parent.parent / "agent_router.py"), "version", "agent_router.py", "changed"),
    "lineage": (edit_lineage, "version", "lineage.parquet", "changed"),
    "provenance": (edit_provenance, "version", "provenance.json", "changed"),
    "signature": (break_signature, "version", "router.sig", "changed"),
    "signature gone": (lambda v: (v.router.parent / "router.sig").unlink(), "version", "router.sig", "changed"),
    "the run's commit": (move_run_ref, "git", "refs/switchtender/runs", "changed"),
    "log cut": (cut_log, "promotion log", "promotions.jsonl", "cut"),
    "log edited": (edit_log, "promotion log", "promotions.jsonl", "changed"),
    "log reordered": (reorder_log, "promotion log", "promotions.jsonl", "changed"),
    "log forged": (forge_log, "promotion log", "promotions.jsonl", "changed"),
    "alias moved": (move_alias, "MLflow alias", "champion", "changed"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_verify_names_what_was_damaged(attack: str, victim: Victim) -> None:
    damage, where, path, state = ATTACKS[attack]
    damage(victim)
    faults = victim.faults()
    assert [(f.where, f.state) for f in faults] == [(where, state)], faults
    assert path in faults[0].path
    if (state == "changed" and where in ("cache", "remote")) or path.endswith("safetensors"):
        assert len(faults[0].expected) == len(faults[0].actual or faults[0].expected) == 64
        assert faults[0].expected != faults[0].actual


def test_the_command_names_the_file_and_exits_4(victim: Victim) -> None:
    flip(victim.router / "model" / "head.safetensors")
    done = victim.sandbox.run("verify", "2", "--json")
    assert done.returncode == 4
    assert "head.safetensors is changed" in done.stderr
    version = json.loads(done.stdout)[0]
    assert not version["sound"]
    assert version["findings"][0]["path"] == "router/model/head.safetensors"


def test_a_damaged_champion_is_not_routed_with_and_not_compared_with(victim: Victim) -> None:
    flip(victim.router / "model" / "head.safetensors")
    routed = victim.sandbox.run("route", "Translate this.", "--json")
    assert routed.returncode == 4
    assert routed.stdout == ""
    promoted = victim.sandbox.run("promote", "1", "--reason", "back", "--force")
    assert promoted.returncode == 4
    assert "champion, version 2, cannot be trusted" in promoted.stderr


def test_a_moved_alias_does_not_serve_until_it_is_adopted(victim: Victim) -> None:
    move_alias(victim)
    assert json.loads(victim.sandbox.run("route", "Translate this.", "--json").stdout)["version"] == "2"
    assert json.loads(victim.sandbox.run("status", "--json").stdout)["alias_moved_to"] == "1"
    refused = victim.sandbox.run("rollback", "--reason", "back")
    assert refused.returncode == 4
    assert "moved outside" in refused.stderr
    adopted = victim.sandbox.run("promote", "--adopt", "--reason", "was right")
    assert adopted.returncode == 0, adopted.stderr
    assert json.loads(victim.sandbox.run("route", "Translate this.", "--json").stdout)["version"] == "1"
    assert victim.faults() == []


def test_verify_changes_nothing(victim: Victim) -> None:
    def state() -> dict[str, tuple[int, int]]:
        files = [p for p in victim.sandbox.root.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}

    before = state()
    for verb in (["verify", "--all"], ["status"], ["audit", "2"], ["trace", "p0001"], ["diff", "1", "2"]):
        done = victim.sandbox.run(*verb)
        assert done.returncode == 0, done.stderr
    assert state() == before
