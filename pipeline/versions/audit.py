"""One version's audit as plain facts: who decided, what it was made of, and where those bytes lie now."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from pipeline.gating.results import PASSED
from pipeline.runtime.plain import JsonObject, as_stored, plain
from pipeline.versions.audit_facts import VersionFacts
from pipeline.versions.provenance import DATA

IN_SERVICE, SERVED, NEVER = "in service", "served before", "never served"
THERE, ABSENT, CHANGED, UNKNOWN = "there", "absent", "changed", "could not look"
GIT, CACHE, REMOTE = "git", "cache", "remote"


@dataclass(frozen=True)
class Term:
    """A version's time as champion, and who decided it and why. `until` is empty while it lasts.

    `forced` says that it was put into service although a gate was closed; `gates` are that day's verdicts, `judged_by`
    the limits and params behind them (empty in an entry of the release before).
    """

    version: str
    since: str
    until: str
    who: str
    action: str
    reason: str
    forced: bool
    gates: dict[str, str]
    judged_by: JsonObject = field(default_factory=dict)

    @property
    def closed(self) -> list[str]:
        """The gates that had not passed when it was put into service."""
        return [gate for gate, verdict in self.gates.items() if verdict != PASSED]


@dataclass(frozen=True)
class Answered:
    """A stretch of time in which a server answered with the version; `until` is empty while it does."""

    server: str
    since: str
    until: str


@dataclass(frozen=True)
class FileLocation:
    """Whether a file's bytes are in one place: THERE, ABSENT, CHANGED, UNKNOWN, or `pruned` or `erased` on purpose."""

    place: str
    where: str
    state: str
    why: str = ""


@dataclass(frozen=True)
class KeptFile:
    """A file that went into the version: its role, its sha256 as recorded, and where its bytes are today."""

    name: str
    role: str
    sha256: str
    places: tuple[FileLocation, ...]

    def at(self, place: str) -> str:
        """Its state in one place; empty where that place never held it."""
        return next((found.state for found in self.places if found.place == place), "")


@dataclass(frozen=True)
class Removal:
    """Why a version's files are gone, on purpose."""

    at: str
    who: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """All that one audit shows, as it was at `asked`.

    Law: `facts` is None only where the version was pruned, or where `faults` say why its folder cannot be read.
    `terms` are its own, oldest first; `before` are those of the champions before its last term, newest first (of all
    champions where it never served); `after` is the next champion's. `alias_moved_to` is the version that MLflow's
    alias names where that is not what the promotion log says.
    `uncommitted_params` are settings of its night that no commit had; `records` is the signed head of all logs today,
    `key` the sha256 of the public key. `faults` is empty where everything signed is as signed.
    """

    asked: str
    model: str
    version: str
    run_key: str
    mlflow_run: str
    aliases: tuple[str, ...]
    terms: tuple[Term, ...]
    before: tuple[Term, ...]
    after: Term | None
    answered: tuple[Answered, ...]
    commit: str
    ref: str
    provenance_sha256: str
    forgotten: tuple[str, ...]
    pruned: Removal | None
    alias_moved_to: str | None
    uncommitted_params: tuple[str, ...]
    records: str
    key: str
    faults: tuple[str, ...]
    files: tuple[KeptFile, ...]
    facts: VersionFacts | None

    @property
    def state(self) -> str:
        """IN_SERVICE, SERVED or NEVER, by the promotion log."""
        if not self.terms:
            return NEVER
        return SERVED if self.terms[-1].until else IN_SERVICE

    @property
    def sound(self) -> bool | None:
        """Whether the bytes are as signed; None where there are none to look at."""
        return None if self.pruned else not self.faults

    @property
    def chain(self) -> tuple[Term, ...]:
        """The champions before its last term and that term itself, oldest first."""
        return (*reversed(self.before), *self.terms[-1:])

    def of(self, role: str) -> tuple[KeptFile, ...]:
        """The files of one role."""
        return tuple(file for file in self.files if file.role == role)


def as_json(audit: Audit) -> JsonObject:
    """Plain values under stable names; rows only as counts (`row_counts`), since they are given on request."""
    last = audit.terms[-1] if audit.terms else None
    return {
        "asked": audit.asked,
        "model": audit.model,
        "version": audit.version,
        "aliases": list(audit.aliases),
        "state": audit.state,
        "since": last.since if last else None,
        "until": (last.until or None) if last else None,
        "alias_moved_to": audit.alias_moved_to,
        "uncommitted_params": list(audit.uncommitted_params),
        "signed_head": audit.records or None,
        "public_key_sha256": audit.key or None,
        "sound": audit.sound,
        "faults": list(audit.faults),
        "pruned": asdict(audit.pruned) if audit.pruned else None,
        "forgotten_rows": list(audit.forgotten),
        "promotions": [_term(term) for term in audit.terms],
        "champions": [_term(term) for term in audit.chain],
        "replaced_by": _term(audit.after) if audit.after else None,
        "answered": [asdict(found) for found in audit.answered],
        "run": {"key": audit.run_key, "mlflow": audit.mlflow_run},
        "commit": {"id": audit.commit, "ref": audit.ref},
        "provenance_sha256": audit.provenance_sha256,
        "data_files": [_file(file) for file in audit.of(DATA)],
        "other_files": [_file(file) for file in audit.files if file.role != DATA],
        **(_facts(audit.facts) if audit.facts else {}),
    }


def _term(term: Term) -> JsonObject:
    """Named as in the log of promotions."""
    facts = asdict(term)
    return {"version_to": facts.pop("version"), **facts, "until": term.until or None}


def _file(file: KeptFile) -> JsonObject:
    facts = asdict(file)
    return {"path": facts.pop("name"), **facts}


def _facts(facts: VersionFacts) -> JsonObject:
    made = facts.provenance
    return {
        "started": made.started,
        "ended": made.ended,
        "environment": made.environment,
        "params": made.params,
        "row_counts": {
            "total": len(facts.rows),
            "taught": facts.taught,
            "train": facts.split("train"),
            "holdout": facts.split("holdout"),
            "by_fate": facts.fates,
            "by_agent": plain(facts.agents),
        },
        "suspects": plain(facts.suspects),
        "decisions": plain(facts.reviews),
        "metrics": as_stored(facts.metrics),
        "gains_over_baselines": as_stored(facts.gains),
        "gates": plain(facts.gates),
        "training_material": list(facts.training_material),
    }
