"""Who put which version into service, when, why, and by which limits.

An alias in MLflow carries neither time nor actor; this log is what says who serves.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import asdict, dataclass, field

from flows.records.serving_log import swap
from flows.records.signed_logs import PROMOTIONS, SERVED, SignedLogs, file_of, known_facts
from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.plain import JsonObject

PROMOTED, ROLLED_BACK, ADOPTED = "promoted", "rolled back", "adopted"


@dataclass(frozen=True)
class Promotion:
    """One entry. `version_from` is empty where nothing served; `gates` are the verdicts as read again that day.

    `judged_by` holds what they were judged by: each gate's value and limit, the sha256 of params.yaml and, of the
    params of then and of the version's night, those that no commit had (`section.key: committed -> used`). An entry
    of the release before has none.
    """

    at: str
    who: str
    action: str
    version_from: str
    version_to: str
    reason: str
    provenance_sha256: str
    forced: bool = False
    gates: dict[str, str] = field(default_factory=dict)
    judged_by: JsonObject = field(default_factory=dict)


def who_am_i(project: Project) -> str:
    """The person at the keyboard: git's name and e-mail where they are set, else user@host."""
    try:
        return f"{git(project.root, 'config', 'user.name')} <{git(project.root, 'config', 'user.email')}>"
    except SwitchtenderError:
        return f"{_account()}@{socket.gethostname()}"


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id that no table of users names
        return f"uid {os.getuid()}"


def record_promotion(project: Project, promotion: Promotion) -> None:
    """Note a promotion, and that the command line answers with it from then on: both or neither. Call under the lock.

    Raises:
        VerificationFailed: a log is not as it was signed, so nothing may be added.
        SwitchtenderError: nothing can be signed, or somebody else wrote meanwhile.
    """
    served = swap(promotion.version_to, promotion.provenance_sha256)
    SignedLogs(project).append([(file_of(project, PROMOTIONS), asdict(promotion)), (file_of(project, SERVED), served)])


def promotions(project: Project) -> list[Promotion]:
    """Every promotion, oldest first, held against the signed head.

    Raises:
        VerificationFailed: a log is not as it was signed; names it.
    """
    return [known_facts(entry, Promotion) for entry in SignedLogs(project).entries(file_of(project, PROMOTIONS))]


def stack(found: list[Promotion]) -> list[str]:
    """The versions that rollback walks back through, the one in service last."""
    serving: list[str] = []
    for promotion in found:
        if promotion.action == ROLLED_BACK and promotion.version_to in serving:
            while serving[-1] != promotion.version_to:
                serving.pop()
        else:
            serving.append(promotion.version_to)
    return serving
