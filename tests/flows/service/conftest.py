"""Fixtures of the service's wiring: two small versions in folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_service import fit_two


@pytest.fixture(scope="session")
def two_routers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of versions 1 and 2, which differ in the order of their candidates."""
    return fit_two(tmp_path_factory.mktemp("routers"))
