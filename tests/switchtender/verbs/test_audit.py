"""How `audit` says a version's settings; what else it tells is tested in tests/flows/audit."""

from __future__ import annotations

from switchtender.verbs.audit import _sections


def test_settings_stand_section_by_section_in_words() -> None:
    values = {
        "on": True,
        "tracks": ["agents", False],
        "to": [],
        "key": "",
        "share": 0.0,
        "empty": {},
        "gate": {"margin": 0},
    }
    assert list(_sections("models", values)) == [
        ["models", "on on, tracks [agents, off], to none, key none, share 0.0, empty none"],
        ["models.gate", "margin 0"],
    ]


def test_a_section_of_nothing_or_of_one_value_is_told_too() -> None:
    assert list(_sections("facts", {})) == [["facts", "none"]]
    assert list(_sections("note", "by hand")) == [["note", "by hand"]]
