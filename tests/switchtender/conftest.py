"""What tests of several verbs start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_table import write_prompts


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A labelled table, alone in its folder."""
    return write_prompts(tmp_path / "prompts.csv")
