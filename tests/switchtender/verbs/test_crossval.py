"""`switchtender crossval` on a team's own table."""

from __future__ import annotations

import json
from pathlib import Path

from own_table import command


def test_crossval_judges_each_row_by_a_router_that_did_not_see_it(prompts: Path) -> None:
    done = command("crossval", prompts, "--router", "tfidf", "--folds", "3", "--json", cwd=prompts.parent)
    report = json.loads(done.stdout)
    assert report["folds"] == 3
    assert report["metrics"]["micro_f1"]["value"] > 0.8
