"""Real tables of outcomes, which are not part of the project: tests on one that is not here are skipped, and say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox import ROOT

FOLDER = "SWITCHTENDER_TABLES"


def reference_table(name: str) -> Path:
    """The table's file, in the folder that SWITCHTENDER_TABLES names, else in ../shared/data beside the project."""
    folder = Path(os.environ.get(FOLDER) or ROOT.parent / "shared" / "data")
    path = folder / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {folder}; name the folder that holds it in {FOLDER}")
    return path
