"""The log of promotions: who, and what rollback walks back through."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.records import promotion_log
from flows.records.promotion_log import PROMOTED, ROLLED_BACK, Promotion, stack, who_am_i
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError


def moved(action: str, number: str) -> Promotion:
    return Promotion("", "", action, "", number, "", "")


def test_rollback_goes_back_through_every_promotion_of_a_version() -> None:
    entries = [moved(PROMOTED, "1"), moved(PROMOTED, "2"), moved(PROMOTED, "1"), moved(PROMOTED, "3")]
    assert stack(entries) == ["1", "2", "1", "3"]
    assert stack([*entries, moved(ROLLED_BACK, "1")]) == ["1", "2", "1"]
    assert stack([*entries, moved(ROLLED_BACK, "1"), moved(ROLLED_BACK, "2")]) == ["1", "2"]


def test_an_account_without_a_name_is_told_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a user id of which no table of users knows."""

    def no_identity(*_: object) -> str:
        raise SwitchtenderError("git config failed")

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(promotion_log, "git", no_identity)
    monkeypatch.setattr("getpass.getuser", unknown)
    assert who_am_i(Project(tmp_path)).startswith("uid ")
