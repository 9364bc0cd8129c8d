"""`switchtender route`: what is said of one prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from small_service import ASKED, fit_small

from pipeline.runtime.checksums import write_checksums
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import write_table
from switchtender.verbs.fit import fit
from switchtender.verbs.predict import predict
from switchtender.verbs.route import route

GERMAN = "Schick den Bericht bitte an Jana und mach mir eine Zusammenfassung"


def test_a_choice_below_every_threshold_is_the_likeliest_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fit_small(tmp_path / "router")
    place = folder / "router.json"
    stored = json.loads(place.read_text())
    route(ASKED, folder=folder)
    shown = capsys.readouterr().out
    assert "No agent reaches its threshold" not in shown
    route(ASKED, as_json=True, folder=folder)
    by_name = json.loads(capsys.readouterr().out)["policy"]["thresholds"]
    assert list(by_name.values()) == stored["policy"]["thresholds"]
    lines = {
        cells[-3]: float(cells[-1])
        for line in shown.splitlines()
        if len(cells := line.split()) > 2 and cells[-3] in by_name
    }
    assert lines == pytest.approx(by_name, abs=1e-3), "each score stands beside the threshold that it has to reach"
    stored["policy"]["thresholds"] = [1.0, 1.0, 0.9]
    place.write_text(json.dumps(stored))
    route(ASKED, folder=folder)
    assert "No agent reaches its threshold; the likeliest is chosen" in " ".join(capsys.readouterr().out.split())
    route(ASKED, as_json=True, folder=folder)
    said = json.loads(capsys.readouterr().out)
    assert said["below_threshold"] is True
    assert said["agents"] == [max(said["scores"], key=said["scores"].get)] != ["sql"]


def test_tags_tell_whole_counts_and_route_says_how_many_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [f"model{n}" for n in range(10)]
    rows = [
        (f"p{i}", f"{'mend the loop' if i % 2 else 'write a poem'} number {i}", model, float((i + n) % 2))
        for i in range(24)
        for n, model in enumerate(models)
    ]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality"]), tmp_path / "t.csv")
    fit(tmp_path / "t.csv", tmp_path / "router", "tags")
    capsys.readouterr()
    route("mend the loop now", folder=tmp_path / "router", why=True)
    shown = capsys.readouterr().out
    assert "2 less likely models not shown; --json tells all." in shown
    told = [cells for line in shown.splitlines() if (cells := line.split()) and cells[-1][0] in "+-"]
    assert told
    assert all(cell.isdigit() for cells in told for cell in cells[-4:-1])


def test_a_language_that_the_encoder_was_not_made_for_is_told_by_route_and_predict(
    tmp_path: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fit_small(tmp_path / "router", encoder=tiny_encoder)
    route(GERMAN, folder=folder)
    assert "warning: the prompt seems to be in German, which the encoder was not made for" in capsys.readouterr().err
    route(GERMAN, as_json=True, folder=folder)
    assert json.loads(capsys.readouterr().out)["unsupported_language"] == "German"
    route(ASKED, as_json=True, folder=folder)
    assert "unsupported_language" not in json.loads(capsys.readouterr().out)
    table, out = tmp_path / "t.csv", tmp_path / "out.csv"
    write_table(
        pd.DataFrame({"prompt_id": ["a", "b", "c"], "prompt": [GERMAN, ASKED, "明日の天気はどうですか"]}), table
    )
    predict(folder, table, out, 1)
    assert "warning: at least 2 of 3 prompts seem to be in German (1), Japanese (1), which" in capsys.readouterr().err
    predict(folder, table, out, 1, as_json=True)
    assert json.loads(capsys.readouterr().out)["unsupported_languages"] == {"German": 1, "Japanese": 1}
    words = fit_small(tmp_path / "words")
    route(GERMAN, folder=words)
    assert "warning" not in capsys.readouterr().err, "a router of words has no encoder, and learns any"


def test_of_models_it_tells_the_expected_cost_and_the_policy_that_weighed_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, params, folder = tmp_path / "outcomes.csv", tmp_path / "own.yaml", tmp_path / "router"
    rows = [(f"p{n}", f"case {n}", *one) for n in range(20) for one in (("large", n % 2, 0.004), ("small", 0.4, 0.001))]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality", "cost"]), table)
    policy = "{kind: willingness, quality_per_usd: 90}"
    params.write_text(f"train:\n  router: tfidf\n  policy: {policy}\n", encoding="utf-8")
    fit(table, folder, params=params)
    capsys.readouterr()
    route("case 21", folder=folder)
    said = " ".join(capsys.readouterr().out.split())
    assert "model score USD" in said
    assert "* small" in said
    assert ".004" in said
    assert "Chosen by the policy willingness (quality_per_usd 90.000)." in said
    route("case 21", as_json=True, folder=folder)
    told = json.loads(capsys.readouterr().out)
    assert told["policy"] == {"kind": "willingness", "quality_per_usd": 90.0}
    assert told["usd"] == pytest.approx({"large": 0.004, "small": 0.001})
    for named in ({"version": "2"}, {"track": "models"}):
        with pytest.raises(InputError, match="--from names a folder, --version and --track a registered version"):
            route("case 21", folder=folder, **named)
    stored = json.loads((folder / "router.json").read_text())
    policy = {"kind": "pair", "strong": 0, "weak": 1, "theta": 0.9}
    (folder / "router.json").write_text(json.dumps(stored | {"policy": policy}))
    write_checksums(folder)
    route("case 21", as_json=True, folder=folder)
    assert json.loads(capsys.readouterr().out)["policy"] == {**policy, "strong": "large", "weak": "small"}


def test_a_chosen_model_is_shown_however_many_are_likelier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, params, folder = tmp_path / "outcomes.csv", tmp_path / "own.yaml", tmp_path / "router"
    models = [(f"m{number:02}", 0.9 - number / 100, 0.01 if number < 10 else 0.0001) for number in range(11)]
    rows = [(f"p{n}", f"case {n}", *model) for n in range(12) for model in models]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality", "cost"]), table)
    params.write_text("train:\n  router: tfidf\n  policy: {kind: budget, budget_usd: 0.001}\n", encoding="utf-8")
    fit(table, folder, params=params)
    capsys.readouterr()
    route("case 21", folder=folder)
    assert "* m10" in " ".join(capsys.readouterr().out.split())
