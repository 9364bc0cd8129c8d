"""The timing of training: its ratios, and that the busy processes end."""

from __future__ import annotations

import psutil
import pytest

from benchmarks.training import _BUSY, OURS, PASSIVE, SETFIT, TRAINER, Times, busy_cores, lines


def spinning() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if _BUSY in child.cmdline()]


def test_busy_processes_end_also_after_a_failure() -> None:
    def fail() -> None:
        with busy_cores():
            assert spinning()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not spinning()


def test_ratios_are_held_against_the_aims() -> None:
    found = {OURS: Times([40.0], [120.0]), TRAINER: Times([20.0], [90.0]), PASSIVE: Times([20.0], [60.0]),
             SETFIT: Times(missing="not installed: no index")}  # fmt: skip
    text = "\n".join(lines(found))
    assert f"| {OURS} | 40 | 120 | 2.00 | 3.00 |" in text
    assert "at most 2.2 | 2.00 | met" in text
    assert "at most 2.5 | 3.00 | missed" in text
    assert "not installed: no index" in text
