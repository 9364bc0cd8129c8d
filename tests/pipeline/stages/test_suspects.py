"""Suspects are ranked by all that was learnt without the row; those that nobody has decided on are flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.data.fates import FLAGGED, KEPT, read_fates
from pipeline.runtime.stage import STAGES
from pipeline.runtime.tables import write_table
from pipeline.stages.suspects import SuspectsParams, suspects

NAMES = ["coding", "email", "sql"]
ROWS = 30
ALL = SuspectsParams(listed=ROWS)


def probabilities(labels: list[str], sure: float) -> pd.DataFrame:
    return pd.DataFrame([[sure if name in label.split("|") else 1 - sure for name in NAMES] for label in labels],
                        columns=NAMES, dtype=np.float32)  # fmt: skip


class Night:
    """What the stages before leave: rows, of which the first three have a swapped, an added and a dropped label."""

    def __init__(self) -> None:
        self.truth = ["coding", "email", "coding|sql", *(NAMES * ROWS)[: ROWS - 3]]
        given = ["sql", "email|coding", "coding", *self.truth[3:]]
        self.ids = [f"p{number:02}" for number in range(ROWS)]
        rows = {"prompt_id": self.ids, "prompt": [f"Prompt {i}" for i in self.ids], "agents": given}
        self.examined = pd.DataFrame(rows).assign(fold=np.arange(ROWS) % 3, phrase="", review="", put_aside=False)
        self.heads = probabilities(self.truth, 0.7)
        self.networks = probabilities(self.truth, 0.95)

    def run(self, params: SuspectsParams = ALL) -> pd.DataFrame:
        """The suspects by id."""
        facts = self.examined[["prompt_id", "agents"]]
        write_table(self.examined, STAGES / "label_noise/examined.parquet")
        write_table(pd.concat([facts, self.heads], axis=1), STAGES / "label_noise/held_out.parquet")
        seen = ~self.examined["put_aside"]
        write_table(pd.concat([facts, self.networks], axis=1)[seen], STAGES / "train/held_out.parquet")
        suspects(params)
        found = pd.read_parquet(STAGES / "suspects/suspects.parquet")
        written = pd.read_csv(STAGES / "suspects/suspects.csv", keep_default_na=False)
        pd.testing.assert_frame_equal(written, found)
        return found.set_index("prompt_id")


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    monkeypatch.chdir(tmp_path)
    described = [
        {"name": n, "owner": "o", "usd_per_call": 0.1, "latency_ms": 9, "description": "w " * 30} for n in NAMES
    ]
    Path("data").mkdir()
    Path("data/agents.yaml").write_text(yaml.safe_dump(described))
    return Night()


def test_slips_stand_first_with_what_the_label_should_be(night: Night) -> None:
    found = night.run()
    assert set(found.index[:3]) == {"p00", "p01", "p02"}
    assert found["suggested"][["p00", "p01", "p02"]].tolist() == night.truth[:3]
    assert found["rank"].tolist() == list(range(1, ROWS + 1))


@pytest.mark.parametrize("blind", ["heads", "networks"])
def test_what_only_one_of_the_models_knows_is_enough(night: Night, blind: str) -> None:
    setattr(night, blind, pd.DataFrame(0.4, index=range(ROWS), columns=NAMES, dtype=np.float32))
    assert set(night.run().index[:3]) == {"p00", "p01", "p02"}


def test_a_row_that_no_network_was_trained_on_is_judged_by_the_heads(night: Night) -> None:
    night.examined.loc[0, ["put_aside", "phrase"]] = True, "'~~!' grips sql"
    found = night.run()
    assert found.index[0] == "p00"
    assert found["suggested"]["p00"] == "coding"
    assert "p00" not in set(read_fates("suspects")["prompt_id"])


def test_listed_rows_are_flagged_unless_somebody_decided(night: Night) -> None:
    night.examined.loc[1, "review"] = "keep"
    found = night.run(SuspectsParams(listed=2))
    assert set(found.index) == {"p00", "p01", "p02"}
    assert len(night.run(SuspectsParams(listed=3))) == 4, "a decision takes nobody's place"
    night.run(SuspectsParams(listed=2))
    fates = read_fates("suspects").set_index("prompt_id")
    assert fates["fate"].to_dict() == {i: FLAGGED if i in ("p00", "p02") else KEPT for i in night.ids}
    assert fates["reason"]["p00"].startswith("suspect ")
    assert not fates["reason"]["p01"]
