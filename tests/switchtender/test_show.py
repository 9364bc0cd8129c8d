"""Tables on a terminal of 80 columns: names whole, figures plain."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.gating.results import GateResult
from switchtender.__main__ import main
from switchtender.show import print_gates, print_json, print_table, progress_bar, say, say_aside, say_fact

LONG = "champion_f1_image_understanding"


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_name_is_never_cut_whatever_the_sentences_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "difference -0.132, 80% one-sided lower bound -0.209, against the champion of that night"
    print_table("t", ["gate", "value", "limit", "verdict", "reason"], [[LONG, -0.1, 1.0, "passed", reason]])
    printed = capsys.readouterr().out
    assert LONG in printed
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert " ".join(printed.split()).count("night") == 1


def test_what_has_no_room_in_one_piece_is_folded_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    place = "sqlite:////" + "a-long-folder/" * 12 + "mlflow.db"
    print_table("t", ["check", "found"], [["registry", place]])
    printed = capsys.readouterr().out
    assert "".join(line.split()[-1] for line in printed.splitlines() if "folder" in line or ".db" in line) == place


def test_a_moment_stands_on_one_line_and_a_period_on_two(capsys: pytest.CaptureFixture[str]) -> None:
    at, period = "2026-11-26 17:21", "2026-11-26 17:21 to 2026-11-27 02:10"
    told = "a reason of some length that needs its own room in the table, and more of it"
    print_table("t", ["version", "at", "served", "who", "why"], [["12", at, period, "ana@example.org", told]])
    lines = capsys.readouterr().out.splitlines()
    assert any(at in line for line in lines)
    assert sum("2026" in line for line in lines) <= 2


def test_a_fact_beside_its_name_is_folded_between_words_and_a_digest_never(capsys: pytest.CaptureFixture[str]) -> None:
    say_fact("environment", ", ".join(f"package-{i} {i}.0" for i in range(12)))
    say_fact("provenance", "a" * 64)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith(" " * 15 + "package-")
    assert lines[-1] == "  provenance   " + "a" * 64


HOSTILE = "\x1b[2J\x9b31m\u202egro\u2066\u200b\x7f\r[red]ana[/red]"


def test_nothing_that_is_shown_speaks_to_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_table(HOSTILE, [HOSTILE], [[HOSTILE]])
    gate = GateResult(HOSTILE, 1.0, None, "passed", HOSTILE)
    print_gates(HOSTILE, [gate])
    print_json({HOSTILE: HOSTILE})
    say(HOSTILE)
    say_aside(HOSTILE)
    say_fact(HOSTILE, HOSTILE)
    monkeypatch.setenv("SWITCHTENDER_PROGRESS", "always")
    with progress_bar(HOSTILE.replace("\r", ""), "row") as bar:
        bar.update()
    monkeypatch.setattr("sys.argv", ["switchtender", "fit", HOSTILE, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="2"):
        main()
    printed, aside = capsys.readouterr()
    shown = (printed + aside).replace("\n", "").replace("\r", "")
    assert shown.isprintable(), [ascii(letter) for letter in shown if not letter.isprintable()]
    assert printed.count("[red]ana[/red]") >= 8, "what looks like rich's markup is a name"
    assert "\\u202egro" in printed
    assert "\\u001b[2J" in aside


def test_a_gate_without_a_limit_says_none_and_a_count_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_gates("Gates", [GateResult("row_count", 390.0, None, "passed", "there is no champion")])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "row_count" in line)
    assert line.split()[:4] == ["row_count", "390", "none", "not"]


def test_a_cost_and_its_ceiling_do_not_read_as_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_gates("Gates", [GateResult("cost_usd", 0.00012, 0.0005, "passed", "at most the ceiling")])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "cost_usd" in line)
    assert line.split()[:4] == ["cost_usd", "0.00012", "0.0005", "passed"]
