"""The table of what was tried, under the results of the tests."""

from __future__ import annotations

import pytest
from struck_nights import TABLE, summary


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TABLE:
        terminalreporter.section("faults")
        for line in summary():
            terminalreporter.write_line(line)
