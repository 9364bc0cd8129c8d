"""How a version's settings are said; what else an audit tells is tested in tests/flows/audit."""

from __future__ import annotations

from pipeline.reports.settings import sections


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
    words = {"on": "on", "tracks": "[agents, off]", "to": "none", "key": "none", "share": "0.0", "empty": "none"}
    assert list(sections({"models": values})) == [("models", words), ("models.gate", {"margin": "0"})]


def test_a_section_of_nothing_or_of_one_value_is_told_too() -> None:
    assert list(sections({"facts": {}, "note": "by hand"})) == [("facts", {}), ("note", {"": "by hand"})]
