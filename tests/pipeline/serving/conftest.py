"""Fixtures of the service's tests: two small versions, and a service that serves the first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from small_service import Shelf, Small, fit_two, running


@pytest.fixture(scope="session")
def two_routers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of versions 1 and 2, which differ in the order of their candidates."""
    return fit_two(tmp_path_factory.mktemp("routers"))


@pytest.fixture
def shelf(two_routers: dict[str, Path], tmp_path: Path) -> Shelf:
    """A source of which version 1 should serve; a test may damage its folders."""
    copies = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in two_routers.items()}
    return Shelf(copies, pointing="1")


@pytest.fixture(scope="module")
def small(two_routers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A service whose first version is loaded, shared by the tests of a module."""
    service = Small(Shelf(two_routers, pointing="1"), tmp_path_factory.mktemp("journal"))
    service.switch.poll()
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(small: Small) -> Iterator[httpx.Client]:
    """A client of that service over a real connection."""
    with running(small.app) as client:
        yield client
