"""Into service and back: who may, what is asked first, and what is written down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sandbox import Sandbox

from flows.promotion import promotion
from flows.promotion.in_service import in_service
from flows.promotion.promotion import adopt, promote, promote_first, rollback
from flows.records.promotion_log import promotions
from flows.records.serving_log import serving_periods
from flows.records.signed_logs import PROMOTIONS, REF, SERVED, SignedLogs
from flows.registry.forgotten import FORGOTTEN_TAG
from flows.registry.mlflow_store import Registry
from flows.registry.versions import Versions
from flows.workspace.git import git
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.gating.results import UNDECIDABLE
from pipeline.runtime.errors import GateNotPassed, InputError, SwitchtenderError, VerificationFailed

MODEL = "agent-router"


@pytest.fixture
def project(two_versions: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Version 1 in service, version 2 challenging."""
    found = Project(two_versions.copy_to(tmp_path / "project").root)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    return found


def aliases(project: Project) -> dict[str, str]:
    return {alias: version.version for version in Versions(project, MODEL).all for alias in version.aliases}


def history(project: Project) -> list[tuple[str, str, str]]:
    return [(p.action, p.version_from, p.version_to) for p in promotions(project)]


def serves(project: Project) -> str:
    return in_service(project, Versions(project, MODEL)).version


def set_gates(project: Project, **values: float) -> None:
    Sandbox(project.root).set_params(**{f"gate__{name}": value for name, value in values.items()})


def test_a_promotion_moves_the_aliases_and_is_written_down(project: Project) -> None:
    move = promote(project, "2", "better on travel")
    assert (move.version_from, move.version_to) == ("1", "2")
    assert {"champion_micro_f1", "micro_f1"} <= {gate.gate for gate in move.gates}
    assert {name: aliases(project)[name] for name in ("champion", "previous")} == {"champion": "2", "previous": "1"}
    last = promotions(project)[-1]
    assert (last.action, last.version_from, last.version_to, last.reason) == ("promoted", "1", "2", "better on travel")
    assert "@" in last.who
    assert last.provenance_sha256 == Versions(project, MODEL).number("2").tags["switchtender.provenance_sha256"]
    assert last.gates["champion_micro_f1"] == "passed"
    assert not last.forced
    stretches = serving_periods(project)
    assert [(s.version, bool(s.until)) for s in stretches] == [("1", True), ("2", False)]
    assert stretches[0].until == stretches[1].since


def test_a_dry_run_asks_everything_and_changes_nothing(project: Project) -> None:
    before = history(project), aliases(project)
    assert promote(project, "2", "try", dry_run=True).gates
    assert (history(project), aliases(project)) == before


def test_only_the_move_that_was_shown_is_made(project: Project) -> None:
    promote(project, "2", "better", shown=("1", "2"))
    before = history(project)
    for shown in (("3", "1"), ("2", "3")):
        with pytest.raises(InputError, match="meanwhile version 2 serves, so that this would go to version 1; look at"):
            rollback(project, "worse", shown=shown)
    with pytest.raises(InputError, match="would go to version 1"):
        promote(project, "1", "back", force=True, shown=("", "1"))
    assert history(project) == before
    assert rollback(project, "worse", force=True, shown=("2", "1")).version_to == "1"


def test_a_gate_that_is_closed_today_stops_promotion_unless_forced(project: Project) -> None:
    set_gates(project, margin=0.0, agent_margin=0.0, rare_margin=0.0)
    before = history(project), aliases(project)
    with pytest.raises(GateNotPassed, match="champion_"):
        promote(project, "2", "better")
    assert (history(project), aliases(project)) == before
    promote(project, "2", "the old one breaks the law", force=True)
    last = promotions(project)[-1]
    assert last.forced
    assert "failed" in last.gates.values()


@pytest.mark.parametrize(
    ("version", "reason", "message"),
    [
        ("2", " \u200b", "a reason is needed"),
        ("9", "why", "no version 9"),
        ("champion", "why", "champion is an alias; give the number, which is 1"),
        ("1", "why", "serves already"),
    ],
)
def test_what_cannot_be_promoted_is_said(project: Project, version: str, reason: str, message: str) -> None:
    before = history(project)
    with pytest.raises(InputError, match=message):
        promote(project, version, reason)
    assert history(project) == before


def test_a_version_with_a_forgotten_row_goes_back_into_service_only_by_force(project: Project) -> None:
    promote(project, "2", "better")
    with pytest.raises(InputError, match=r"forgotten since.*--force") as refused:
        rollback(project, "complaints")
    assert "--" not in refused.value.message, "what other doors say names no option of the command line"
    assert "make nightly" in refused.value.message
    with pytest.raises(InputError, match="forgotten since"):
        promote(project, "1", "complaints")
    assert serves(project) == "2"
    rollback(project, "outage", force=True)
    assert promotions(project)[-1].forced
    assert (serves(project), aliases(project)["champion"]) == ("1", "1")
    assert "previous" not in aliases(project)
    with pytest.raises(InputError, match="nothing to go back to"):
        rollback(project, "once more", force=True)


def test_without_a_champion_a_version_is_promoted_on_its_own_gates(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(project, MODEL)
    registry.drop_alias("champion")
    git(project.root, "update-ref", "-d", REF)
    for path in project.records.glob("*.jsonl"):
        path.unlink()
    with pytest.raises(VerificationFailed, match="do not continue"):
        promote(project, "2", "first")
    monkeypatch.setattr(promotion, "require_continued", lambda *_: None)
    move = promote(project, "2", "first")
    assert move.version_from == ""
    assert history(project) == [("promoted", "", "2")]


def test_a_file_that_is_gone_is_read_from_its_signed_copy(project: Project) -> None:
    (project.records / PROMOTIONS).unlink()
    assert serves(project) == "1"
    promote(project, "2", "better")
    assert history(project) == [("promoted", "", "1"), ("promoted", "1", "2")]
    assert len((project.records / PROMOTIONS).read_text().splitlines()) == 2


def test_a_log_without_its_ref_is_not_the_same_as_no_champion(project: Project) -> None:
    git(project.root, "update-ref", "-d", REF)
    with pytest.raises(VerificationFailed, match="which is gone"):
        promote(project, "2", "better")
    assert aliases(project)["champion"] == "1"


def test_a_promotion_under_way_keeps_others_out_and_says_whose_it_is(project: Project) -> None:
    with held(project.promotion_lock, "promotion of version 2 by Ana <ana@localhost>"):
        done = Sandbox(project.root).run("rollback", "--reason", "back")
    assert done.returncode == 5
    assert "held by promotion of version 2 by Ana" in done.stderr


def test_of_two_promotions_at_once_one_wins_and_the_other_says_who_did(project: Project) -> None:
    sandbox = Sandbox(project.root)
    both = [sandbox.start("promote", "2", "--reason", f"by {name}") for name in ("ana", "ben")]
    ends = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, ends
    loser = ends[1 - codes.index(0)]
    assert sorted(codes)[1] in (2, 5), ends
    assert "held by promotion of version 2 by" in loser or "serves already (promoted by" in loser
    assert history(project)[1:] == [("promoted", "1", "2")]


def test_a_promotion_cut_short_after_its_entry_serves_and_can_be_finished(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise SwitchtenderError("the store went away")

    with monkeypatch.context() as broken:
        broken.setattr(promotion.Registry, "set_alias", fail)
        with pytest.raises(SwitchtenderError, match="went away"):
            promote(project, "2", "better")
    assert serves(project) == "2"
    assert aliases(project)["champion"] == "1"
    promote(project, "2", "finish")
    assert aliases(project)["champion"] == "2"
    assert [s.version for s in serving_periods(project)] == ["1", "2"]


def test_a_log_file_that_fell_behind_its_signed_copy_is_completed(project: Project) -> None:
    path = project.records / PROMOTIONS
    promote(project, "2", "better")
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:1]))
    assert serves(project) == "2"
    assert SignedLogs(project).behind == [PROMOTIONS]
    assert SignedLogs(project).complete() == [PROMOTIONS]
    assert path.read_text() == whole


def test_half_a_line_of_the_served_log_holds_up_nothing(project: Project) -> None:
    with (project.records / SERVED).open("a") as file:
        file.write('{"at": "2026-')
    promote(project, "2", "better")
    assert [s.version for s in serving_periods(project)] == ["1", "2"]


def test_what_judged_is_in_the_signed_record(project: Project) -> None:
    set_gates(project, micro_f1=0.01)
    move = promote(project, "2", "better")
    assert [line.partition(":")[0] for line in move.params] == ["gate.micro_f1"]
    noted = promotions(project)[-1].judged_by
    assert noted["gates"]["champion_micro_f1"]["against"] == "champion"
    assert noted["gates"]["micro_f1"]["limit"] is not None
    assert noted["uncommitted"] == list(move.params)


def lose(project: Project, number: str) -> None:
    """Take a version out of the registry, as where an older copy of it was put back."""
    registry = Registry(project, MODEL)
    registry.drop_alias("champion")
    registry.client.delete_model_version(MODEL, number)
    registry.set_alias("champion", "1")


def test_where_the_registry_lacks_the_champion_a_version_that_is_there_serves_by_force(project: Project) -> None:
    promote(project, "2", "better")
    lose(project, "2")
    move = promote(project, "1", "an older registry was put back", force=True, dry_run=True)
    assert next(gate.verdict for gate in move.gates if gate.gate == "champion") == UNDECIDABLE
    promote(project, "1", "an older registry was put back", force=True)
    assert (serves(project), aliases(project)["champion"]) == ("1", "1")


def test_where_the_registry_lacks_the_champion_rollback_passes_it_over(project: Project) -> None:
    promote(project, "2", "better")
    lose(project, "2")
    rollback(project, "an older registry was put back", force=True)
    assert serves(project) == "1"


def test_an_alias_on_a_forgotten_row_is_adopted_only_by_force(project: Project) -> None:
    promote(project, "2", "better")
    Registry(project, MODEL).set_alias("champion", "1")
    with pytest.raises(InputError, match="forgotten since"):
        adopt(project, "moved in MLflow")
    assert serves(project) == "2"
    adopt(project, "moved in MLflow", force=True)
    assert (serves(project), promotions(project)[-1].forced) == ("1", True)


def test_where_a_champion_serves_a_night_waits_for_no_promotion(project: Project) -> None:
    with held(project.promotion_lock, "promotion of version 2 by Ana"):
        assert not promote_first(project, Versions(project, MODEL).number("2"))


def test_a_tag_taken_away_lets_no_forgotten_row_back(project: Project) -> None:
    with Registry(project, MODEL).reaching():
        Registry(project, MODEL).client.delete_model_version_tag(MODEL, "1", FORGOTTEN_TAG)
    promote(project, "2", "better")
    with pytest.raises(InputError, match="forgotten since"):
        rollback(project, "complaints")


def test_the_flows_have_forms_and_do_the_same(project: Project, prefect_address: str) -> None:
    code = (
        "from flows.workspace.project import find_project\n"
        "from flows.night.prefect_server import serving\n"
        "with serving(find_project()):\n"
        "    from flows.promotion.prefect_flow import promote_version, roll_back\n"
        "    import json\n"
        "    print(json.dumps([f.parameters.model_dump() for f in (promote_version, roll_back)]))\n"
        "    promote_version(version=2, reason='from the form')\n"
    )
    env = Sandbox(project.root, prefect_address).env()
    done = subprocess.run([sys.executable, "-c", code], cwd=project.root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    forms = json.loads(done.stdout.splitlines()[0])
    assert forms[0]["required"] == ["version", "reason"]
    assert forms[0]["properties"]["version"]["type"] == "integer", "as a person types it on the command line"
    assert {name: field["type"] for name, field in forms[1]["properties"].items()} == {
        "reason": "string", "force": "boolean", "dry_run": "boolean", "track": "string",
    }  # fmt: skip
    assert history(project)[-1] == ("promoted", "1", "2")
