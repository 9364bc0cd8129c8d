"""`switchtender route`: what is said of one prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_service import ASKED, fit_small

from switchtender.verbs.route import route


def test_a_choice_below_every_threshold_is_the_likeliest_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fit_small(tmp_path / "router")
    place = folder / "router.json"
    stored = json.loads(place.read_text())
    route(ASKED, folder=folder)
    assert "threshold" not in capsys.readouterr().out
    stored["policy"]["thresholds"] = [1.0, 1.0, 0.9]
    place.write_text(json.dumps(stored))
    route(ASKED, folder=folder)
    assert "No agent reaches its threshold; the likeliest is chosen" in " ".join(capsys.readouterr().out.split())
    route(ASKED, as_json=True, folder=folder)
    said = json.loads(capsys.readouterr().out)
    assert said["below_threshold"] is True
    assert said["agents"] == [max(said["scores"], key=said["scores"].get)] != ["sql"]
