"""Following the version in service: swap, refuse, retry, and go on whatever happens to the source."""

from __future__ import annotations

import json

import pytest
from small_service import ASKED, Shelf, wait_until

from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.tables import sha256_file
from pipeline.serving.engine import hot_swap as module
from pipeline.serving.engine.hot_swap import NotReady, VersionPointer, VersionSwitch
from pipeline.serving.engine.settings import ServeParams


@pytest.fixture
def switch(shelf: Shelf) -> VersionSwitch:
    return VersionSwitch(shelf, ServeParams(poll_seconds=0.01))


def test_it_is_not_ready_until_a_version_is_loaded(shelf: Shelf, switch: VersionSwitch) -> None:
    shelf.pointing = None
    with pytest.raises(NotReady, match="being read and proved; ask again"):
        _ = switch.served
    switch.poll()
    with pytest.raises(NotReady, match="no version is in service yet; run 'make nightly'"):
        _ = switch.served
    assert switch.has_looked
    shelf.pointing = "1"
    switch.poll()
    assert (switch.served.version, switch.served.run_key, switch.served.provenance_sha256) == (
        "1", "run-1", "1".zfill(64),
    )  # fmt: skip


def test_it_swaps_and_notes_each_swap_and_its_end(shelf: Shelf, switch: VersionSwitch) -> None:
    switch.poll()
    before = switch.served
    shelf.pointing = "2"
    switch.poll()
    switch.poll()
    assert switch.served.version == "2"
    assert switch.served.engine.candidates == ("sql", "translation", "email")
    assert before.engine.score([ASKED])[0].quality.shape == (3,), "what holds the old version finishes on it"
    switch.stop()
    assert shelf.noted == ["1", "2", ""]


def test_since_is_the_promotion_and_follows_it_without_loading_again(shelf: Shelf, switch: VersionSwitch) -> None:
    shelf.since = "2026-02-01T10:00:00+00:00"
    switch.poll()
    before = switch.served
    assert before.since == shelf.since < before.loaded_at
    shelf.since = "2026-02-03T10:00:00+00:00"
    switch.poll()
    assert switch.served.since == shelf.since, "gone back to, while this service never left it"
    assert (switch.served.engine, switch.served.loaded_at) == (before.engine, before.loaded_at)
    assert shelf.noted == ["1"]


def test_a_version_that_fails_is_refused_and_the_old_one_serves_on(shelf: Shelf, switch: VersionSwitch) -> None:
    switch.poll()
    description = shelf.folders["2"] / "router.json"
    sound = description.read_bytes()
    description.write_bytes(sound + b" ")
    shelf.pointing = "2"
    switch.poll()
    assert switch.served.version == "1"
    assert switch.refused is not None
    assert (switch.refused.version, shelf.noted) == ("2", ["1"])
    assert "router.json is changed" in switch.refused.reason


def test_a_refused_version_is_tried_again_after_a_while_or_when_another_should_serve(
    shelf: Shelf, switch: VersionSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.poll()
    description = shelf.folders["2"] / "router.json"
    sound = description.read_bytes()
    description.write_bytes(b"{}")
    shelf.pointing = "2"
    switch.poll()
    description.write_bytes(sound)
    switch.poll()
    assert switch.served.version == "1", "not at every poll"
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    switch.poll()
    assert switch.served.version == "2"
    assert switch.refused is None


def test_a_refusal_is_forgotten_once_the_old_version_should_serve_again(shelf: Shelf, switch: VersionSwitch) -> None:
    switch.poll()
    (shelf.folders["2"] / "router.json").write_bytes(b"{}")
    shelf.pointing = "2"
    switch.poll()
    shelf.pointing = "1"
    switch.poll()
    assert switch.refused is None


def test_a_version_whose_answers_are_no_numbers_is_refused(shelf: Shelf, switch: VersionSwitch) -> None:
    path = shelf.folders["1"] / "router.json"
    description = json.loads(path.read_text())
    description["calibration"]["slope"] = float("nan")
    path.write_text(json.dumps(description))
    shelf.signed["1"] = sha256_file(path)
    switch.poll()
    with pytest.raises(NotReady, match="version 1 was refused: a damaged router: it expects what is no finite number"):
        _ = switch.served


def test_a_source_that_cannot_be_read_is_told_and_changes_nothing(shelf: Shelf, switch: VersionSwitch) -> None:
    switch.poll()
    for fault, told in (
        (SwitchtenderError("the store cannot be read"), "the store cannot be read"),
        (OSError("disk"), "OSError: disk"),
    ):
        shelf.fault = fault
        switch.poll()
        assert (switch.served.version, switch.trouble) == ("1", told)
    shelf.fault = None
    switch.poll()
    assert switch.trouble == ""
    shelf.pointing = None
    switch.poll()
    assert (switch.served.version, switch.trouble) == ("1", "no version is in service any more")


def test_a_swap_that_cannot_be_noted_does_not_happen(
    shelf: Shelf, switch: VersionSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.poll()

    def broken(pointer: VersionPointer | None) -> None:
        raise SwitchtenderError("the served log is broken")

    monkeypatch.setattr(shelf, "swapped", broken)
    shelf.pointing = "2"
    switch.poll()
    assert switch.served.version == "1"
    assert switch.refused is not None
    assert switch.refused.reason == "the served log is broken"
    switch.stop()


def test_it_polls_by_itself_until_it_is_stopped(shelf: Shelf, switch: VersionSwitch) -> None:
    switch.start()
    wait_until(lambda: shelf.noted == ["1"])
    shelf.pointing = "2"
    wait_until(lambda: shelf.noted == ["1", "2"])
    switch.stop()
    shelf.pointing = "1"
    assert shelf.noted == ["1", "2", ""]
