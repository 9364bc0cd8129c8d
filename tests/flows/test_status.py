"""What `status` says where an alias names a version that no night registered."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from made_versions import MadeProject

from flows.status import status_of
from pipeline.runtime.errors import VerificationFailed


def test_a_version_registered_by_hand_is_told(tmp_path: Path) -> None:
    made = MadeProject(tmp_path)
    made.add(1)
    made.add(2)
    made.alias("challenger", 2)
    with closing(sqlite3.connect(made.project.mlflow_database)) as store:
        store.execute("delete from model_version_tags where version = 2 and key != 'run_key'")
        store.commit()
    with pytest.raises(VerificationFailed, match="version 2 at the alias 'challenger' was not registered by a night"):
        status_of(made.project)
