"""The logs held against their signed head, against each other, and against all that was noted of them elsewhere.

Who can write to the project but not sign can put an older state of ref, files and aliases back; that is found where a
later signed head lies: in the provenance of versions, in the records of nights, or with a witness.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from flows.records.promotion_log import promotions
from flows.records.registration_log import registrations
from flows.records.removal_log import PRUNED, RemovalLog
from flows.records.signed_logs import COMMAND, SERVED, SignedLogs, file_of, signer_of
from flows.registry.findings import CHANGED, EXTRA, MISSING, Finding, Verified
from flows.registry.forgotten import recorded_rows
from flows.registry.versions import CHAMPION, PROVENANCE_TAG, Version, Versions, opened
from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.data.forgetting import FORGOTTEN_FILE, forgotten_rows
from pipeline.runtime.errors import SwitchtenderError, VerificationFailed, one_line
from pipeline.versions.signed_head import parse_head

PROMOTION_LOG, SERVED_LOG, REMOVAL_LOG = "promotion log", "served log", "removal log"
_WHERE = {"promotions.jsonl": PROMOTION_LOG, "served.jsonl": SERVED_LOG, "removals.jsonl": REMOVAL_LOG}


def check_records(project: Project, versions: Versions, witnesses: Iterable[tuple[str, str]] = ()) -> Verified:
    """Everything about the logs. `witnesses` are signed heads that were kept elsewhere: where, and the line."""
    logs = SignedLogs(project)
    findings = [Finding.of(_WHERE.get(re.split("[/:]", f.path)[-1], "records"), f) for f in logs.differences()]
    told = [*witnesses, *_heads_at_hand(project, versions)]
    if not findings:
        findings += _unfinished(logs)
        findings += _alias(project, versions)
        findings += _service(project, logs)
        findings += _numbers(project, versions)
        findings += _removals(project)
        findings += (found for where, line in told for found in against_head(project, logs, where, line))
    return Verified("", len(logs.files) + 1 + len(told), tuple(findings))


def require_continued(project: Project, versions: Versions) -> None:
    """Refuse logs that do not continue what nights and versions noted of them: they were cut, or begun anew.

    Raises:
        VerificationFailed: names the first note that they contradict.
    """
    logs = SignedLogs(project)
    logs.proved()
    for where, line in _heads_at_hand(project, versions):
        for found in against_head(project, logs, where, line):
            raise VerificationFailed(
                f"the logs do not continue what {where} noted: {found.path} is {found.state}; see 'switchtender verify "
                "--all'"
            )


def against_head(project: Project, logs: SignedLogs, where: str, line: str) -> Iterator[Finding]:
    """The logs against a signed head of before, which has to be their beginning."""
    try:
        head = parse_head(line, where)
        head.check(signer_of(project))
    except VerificationFailed as error:
        yield Finding(where, "signed head", CHANGED, "a head signed by our key", str(error))
        return
    yield from (Finding.of(where, found) for found in head.differences(logs.proved()))


def _heads_at_hand(project: Project, versions: Versions) -> list[tuple[str, str]]:
    """Heads that nights left behind: in their records, and in the signed provenance of their versions."""
    found = []
    for seen in project.both:
        for run in _readable(seen):
            found += [(f"{run.key}/run.json", run.head)] if run.head else []
    return found + [(f"version {one.version}", line) for one in versions.all if (line := _noted_in(one))]


def _readable(project: Project) -> list[runs.Run]:
    try:
        return runs.all_runs(project)
    except SwitchtenderError:
        return []  # told by `doctor`


def _noted_in(version: Version) -> str:
    try:
        with opened(version) as folder:
            return folder.provenance().records
    except SwitchtenderError:
        return ""  # pruned, or a fault of that version


def _unfinished(logs: SignedLogs) -> Iterator[Finding]:
    """What is no fault: files that the next write completes, and entries that it signs."""
    for file in logs.behind:
        yield Finding("records", file, "behind its signed copy", "", "'switchtender doctor --mend' completes it")
    if logs.unsigned:
        yield Finding(SERVED_LOG, f"{logs.unsigned} entries", "not signed yet", "", "the next promotion or night signs")


def _alias(project: Project, versions: Versions) -> Iterator[Finding]:
    last, found = next(reversed(promotions(project)), None), versions.at(CHAMPION)
    expected, actual = last.version_to if last else "no version", found.version if found else "no version"
    if actual != expected:
        yield Finding("MLflow alias", CHAMPION, CHANGED, expected, actual)


def _service(project: Project, logs: SignedLogs) -> Iterator[Finding]:
    """What answered against what was promoted: each promotion is noted in both logs at once."""
    served = [entry for entry in logs.entries(file_of(project, SERVED)) if entry["server"] == COMMAND]
    promoted = promotions(project)
    expected = promoted[-1].version_to if promoted else ""
    actual = served[-1]["version"] if served else ""
    if expected != actual:
        yield Finding(SERVED_LOG, "last promotion", CHANGED, expected or "no version", actual or "no version")


def _numbers(project: Project, versions: Versions) -> Iterator[Finding]:
    """Every number that the logs name against MLflow's rows."""
    made, removed = registrations(project), RemovalLog(project)
    for number, entry in made.items():
        if not versions.has(number):
            if removed.version(number, PRUNED) is None:
                yield Finding("MLflow", f"version {number}", MISSING, entry.run_key)
            continue
        row = versions.number(number)
        noted = (row.run_key, row.tags.get(PROVENANCE_TAG, ""))
        if noted != (entry.run_key, entry.provenance_sha256):
            yield Finding(
                "MLflow", f"version {number}", CHANGED, f"{entry.run_key} {entry.provenance_sha256}", " ".join(noted)
            )
    for version in versions.all if made else ():
        if version.version not in made:
            yield Finding("MLflow", f"version {version.version}", EXTRA, "", "no night registered it")
    for number, digest in _in_logs(project):
        if number in made and digest not in ("", made[number].provenance_sha256):
            yield Finding("registration log", f"version {number}", CHANGED, digest, made[number].provenance_sha256)
        if number not in made and not versions.has(number) and removed.version(number, PRUNED) is None:
            yield Finding("MLflow", f"version {number}", MISSING, digest)


def _in_logs(project: Project) -> set[tuple[str, str]]:
    """Number and provenance of all that was ever promoted or answered."""
    served = SignedLogs(project).entries(file_of(project, SERVED))
    return {(p.version_to, p.provenance_sha256) for p in promotions(project)} | {
        (entry["version"], entry["provenance_sha256"]) for entry in served if entry["version"]
    }


def _removals(project: Project) -> Iterator[Finding]:
    """Removals against what may be removed, and against the list of forgotten rows."""
    removed = RemovalLog(project)
    for number in sorted({number for number, _ in _in_logs(project)}):
        if (pruned := removed.version(number, PRUNED)) is not None:
            yield Finding(
                REMOVAL_LOG, f"version {number}", CHANGED, "it served, so it stays", f"pruned: {pruned.reason}"
            )
    try:
        listed = {prompt_id for prompt_id, _ in forgotten_rows(project.root)}
    except SwitchtenderError as error:
        yield Finding(str(FORGOTTEN_FILE), "rows", CHANGED, "a list of rows", one_line(error, 100))
        return
    for row in sorted(recorded_rows(removed) - listed):
        yield Finding(str(FORGOTTEN_FILE), row, MISSING, "forgotten by the removal log")
