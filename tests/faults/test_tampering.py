"""Each thing that a version rests on is damaged in turn, and `verify` names it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from sandbox import Sandbox, flip

from flows.audit.verify import verify
from flows.records.signed_logs import PROMOTIONS, REF, REMOVALS, SERVED
from flows.registry.findings import Finding
from flows.registry.versions import Versions, opened
from flows.workspace.dvc_objects import cache_of, remote_of
from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.tables import sha256_file
from pipeline.versions.hash_chain import chained, entries
from pipeline.versions.provenance import Provenance
from pipeline.versions.signing import make_key

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

    def faults(self, *witnesses: str) -> list[Finding]:
        results = verify(self.project, "2", False, witnesses, lambda chosen: chosen)
        return [finding for result in results for finding in result.findings if finding.is_fault]

    def store(self, *statements: str) -> None:
        """Change MLflow's tables as anybody who writes its file can."""
        with closing(sqlite3.connect(self.project.mlflow_database)) as store, store:
            for statement in statements:
                store.execute(statement)


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


def test_a_sound_project_has_no_faults(victim: Victim) -> None:
    assert victim.faults() == []


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
    listing = v.sandbox.git("ls-tree", REF).splitlines()
    lines = [f"100644 blob {blob}\tpromotions.jsonl" if line.endswith("promotions.jsonl") else line for line in listing]
    tree = git(v.sandbox.root, "mktree", stdin="\n".join(lines) + "\n")
    v.sandbox.git("update-ref", REF, v.sandbox.git("commit-tree", tree, "-m", "forged"))


def roll_back(v: Victim) -> None:
    """The ref, its file and the alias as they were before version 2 was promoted."""
    before = v.sandbox.git("rev-parse", f"{REF}~1")
    v.sandbox.git("update-ref", REF, before)
    (v.project.records / PROMOTIONS).write_text(v.sandbox.git("show", f"{before}:{PROMOTIONS}") + "\n")
    move_alias(v)


def begin_anew(v: Victim) -> None:
    """As if nothing had ever been promoted."""
    v.sandbox.git("update-ref", "-d", REF)
    for path in v.project.records.glob("*.jsonl"):
        path.unlink()
    v.store("delete from registered_model_aliases where alias in ('champion', 'previous')")


def swap_rows(v: Victim) -> None:
    """Version 1's files and facts under the number 2, and the other way round."""
    v.store(
        "create table swapped as select 3 - version as version, source, run_id from model_versions",
        "update model_versions set source = (select s.source from swapped s where s.version = model_versions.version)",
        "update model_version_tags set version = 100 + version",
        "update model_version_tags set version = 103 - version",
    )


def edit_index(v: Victim) -> None:
    """Rows of the index are taken out, and the digest beside it is made right again."""
    index = v.project.trace_index
    with closing(sqlite3.connect(index)) as rows, rows:
        rows.execute("delete from members")
    noted = index.with_name(f"{index.name}.sha256")
    lines = noted.read_text().splitlines()
    noted.write_text("\n".join([lines[0], sha256_file(index), *lines[2:]]) + "\n")


def edit_served(v: Victim) -> None:
    path = v.project.records / SERVED
    text = ""
    for entry in entries(path.read_text(), "log"):
        facts = {key: value for key, value in entry.items() if key not in ("sequence", "previous")}
        text = chained(text, {**facts, "at": "2020-01-01T00:00:00+00:00"})
    path.write_text(text)


def claim_removal(v: Victim) -> None:
    """An object is gone, and a line with a right chain says that it was erased."""
    md5 = next(m.notes["md5"] for m in v.provenance.materials if m.name == TRAINED)
    facts = {"at": "2026-01-01", "who": "ana", "kind": "erased", "reason": "request", "versions": [], "objects": [md5]}
    path = v.project.records / REMOVALS
    path.write_text(chained(path.read_text() if path.is_file() else "", {**facts, "rows": [], "files": []}))
    v.object("cache", TRAINED).unlink()
    v.object("remote", TRAINED).unlink()


def replace_blob(v: Victim) -> None:
    """Whoever looks at the recorded commit is shown other code."""
    mine = v.sandbox.git("rev-parse", f"{v.provenance.commit}:flows/setup.py")
    v.sandbox.git("replace", mine, v.sandbox.git("rev-parse", f"{v.provenance.commit}:flows/status.py"))


def delete_blob(v: Victim) -> None:
    name = v.sandbox.git("rev-parse", f"{v.provenance.commit}:flows/setup.py")
    loose = v.sandbox.root / ".git" / "objects" / name[:2] / name[2:]
    assert loose.is_file()
    loose.unlink()


def edit_blob(v: Victim) -> None:
    """Other bytes under an object's name: git itself does not look."""
    name = v.sandbox.git("rev-parse", f"{v.provenance.commit}:flows/setup.py")
    loose = v.sandbox.root / ".git" / "objects" / name[:2] / name[2:]
    loose.chmod(0o644)
    loose.write_bytes(zlib.compress(b"blob 5\0evil\n"))


def exchange_keys(v: Victim) -> None:
    keys = v.project.var / "keys"
    for path in keys.iterdir():
        path.unlink()
    make_key(keys / "signing.pem", keys / "signing.pub")


def move_alias(v: Victim) -> None:
    v.store("update registered_model_aliases set version = 1 where alias = 'champion'")


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
    "a pipe": (lambda v: os.mkfifo(v.router / "model/pipe"), "version", "model/pipe", "extra"),
    "a pipe beside": (lambda v: os.mkfifo(v.router.parent.parent / "pipe"), "version", "pipe", "extra"),
    "a terabyte of nothing": (
        lambda v: os.truncate(v.router / "model/head.safetensors", 10**12), "version", "head.safetensors", "changed"
    ),
    "a replaced object": (replace_blob, "git", "refs/replace", "extra"),
    "a deleted code object": (delete_blob, "git", "flows/setup.py", "missing"),
    "an edited code object": (edit_blob, "git", "flows/setup.py", "changed"),
    "rolled back": (roll_back, "served log", "served.jsonl", "changed"),
    "served log edited": (edit_served, "served log", "served.jsonl", "changed"),
    "removal claimed": (claim_removal, "removal log", "removals.jsonl", "changed"),
    "index edited": (edit_index, "index", "trace.db", "changed"),
    "log edited": (edit_log, "promotion log", "promotions.jsonl", "changed"),
    "log reordered": (reorder_log, "promotion log", "promotions.jsonl", "changed"),
    "log forged": (forge_log, "promotion log", "promotions.jsonl", "changed"),
    "alias moved": (move_alias, "MLflow alias", "champion", "changed"),
}  # fmt: skip


OFTEN = ("dataset in the remote", "a model file", "a link", "an edited code object", "rolled back", "removal claimed",
         "index edited", "log forged")  # fmt: skip
"""One of each kind; all of them are tried by `make faults`."""


@pytest.mark.parametrize(
    "attack", [one if one in OFTEN else pytest.param(one, marks=pytest.mark.faults) for one in ATTACKS]
)
def test_verify_names_what_was_damaged(attack: str, victim: Victim) -> None:
    damage, where, path, state = ATTACKS[attack]
    damage(victim)
    faults = victim.faults()
    assert [(f.where, f.state) for f in faults] == [(where, state)], faults
    assert path in faults[0].path
    if (state == "changed" and where in ("cache", "remote")) or attack == "a model file":
        assert len(faults[0].expected) == len(faults[0].actual or faults[0].expected) == 64
        assert faults[0].expected != faults[0].actual


def test_logs_begun_anew_are_found_by_what_versions_and_nights_noted(victim: Victim) -> None:
    begin_anew(victim)
    assert ("version 2", "cut") in {(f.where, f.state) for f in victim.faults()}
    done = victim.sandbox.run("promote", "1", "--reason", "as if for the first time")
    assert (done.returncode, "the logs do not continue what" in done.stderr) == (4, True), done.stderr


def test_exchanged_rows_are_found_and_not_answered_with(victim: Victim) -> None:
    swap_rows(victim)
    assert {("registration log", "changed"), ("MLflow", "changed")} <= {(f.where, f.state) for f in victim.faults()}
    routed = victim.sandbox.run("route", "Translate this.", "--version", "1", "--json")
    assert (routed.returncode, routed.stdout) == (4, "")


def test_another_pair_of_keys_vouches_for_nothing(victim: Victim) -> None:
    exchange_keys(victim)
    assert victim.faults() != []
    assert victim.sandbox.run("status").returncode == 4


@pytest.mark.parametrize("place", ["a file", "git:auditor", "a folder of objects"])
def test_a_witness_finds_what_the_project_itself_cannot_know(victim: Victim, place: str, tmp_path: Path) -> None:
    """Everything is put back to before the promotion, the served log too."""
    if place == "git:auditor":
        git(tmp_path, "init", "--quiet", "--bare", "auditor")
        victim.sandbox.git("remote", "add", "auditor", str(tmp_path / "auditor"))
    else:
        place = f"file://{tmp_path}/heads" if place == "a folder of objects" else str(tmp_path / "heads.jsonl")
        (tmp_path / "heads").mkdir()
    assert victim.sandbox.run("witness", "--to", place).returncode == 0
    assert victim.faults(place) == []
    roll_back(victim)
    before = victim.sandbox.git("rev-parse", REF)
    (victim.project.records / SERVED).write_text(victim.sandbox.git("show", f"{before}:{SERVED}") + "\n")
    assert victim.faults() == []
    found = victim.faults(place)
    assert {(f.path, f.state) for f in found} == {(PROMOTIONS, "cut"), (SERVED, "cut")}
    if place == "git:auditor":
        assert victim.sandbox.run("promote", "2", "--reason", "again", "--force").returncode == 0
        assert victim.sandbox.run("witness", "--to", place).returncode == 4


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
    marked = victim.sandbox.run("promote", "--adopt", "--reason", "was right")
    assert marked.returncode == 2
    assert "forgotten since" in marked.stderr
    adopted = victim.sandbox.run("promote", "--adopt", "--reason", "was right", "--force")
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
