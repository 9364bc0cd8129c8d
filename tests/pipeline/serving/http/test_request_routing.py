"""What an answer, the journal and the metrics say of a prompt beside its scores."""

from __future__ import annotations

from pathlib import Path

from small_service import ASKED, Shelf, Small, fit_small, running

from pipeline.serving.engine.decision_journal import DECISIONS, entries

GERMAN = "Schick den Bericht bitte an Jana und mach mir eine Zusammenfassung"


def test_a_language_that_the_encoder_was_not_made_for_is_told_in_answer_journal_and_metrics(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    router = fit_small(tmp_path / "router", encoder=tiny_encoder)
    small = Small(Shelf({"1": router}, pointing="1"), tmp_path / "journal")
    small.switch.poll()
    with running(small.app) as client:
        answer = client.post("/v1/route", json={"prompts": [GERMAN, ASKED]}).json()
        assert [result["unsupported_language"] for result in answer["results"]] == ["German", None]
        first, second = entries(small.folder / DECISIONS)
        assert (first["unsupported_language"], "unsupported_language" in second) == ("German", False)
        assert 'switchtender_unsupported_language_total{version="1"} 1.0' in client.get("/metrics").text
    small.close()
