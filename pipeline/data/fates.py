"""What happened to each row on the way: each stage records it, `lineage` joins the records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from pipeline.runtime.tables import read_table, sha256_text, write_table

FATES = Path("var/stages/fates")
KEPT, QUARANTINED, RELABELLED, EXCLUDED, FLAGGED, AUGMENTED, REFUSED = (
    "kept", "quarantined", "relabelled", "excluded", "flagged", "augmented", "refused"
)  # fmt: skip
TRAIN, HOLDOUT, NO_SPLIT = "train", "holdout", ""


@dataclass(frozen=True)
class Fate:
    """One row's fate in one stage. Law: (prompt_id, text_sha256) names the row across versions of the dataset.

    `agents` is the label after the stage; `parents` are `|`-separated prompt ids of an augmented row.
    """

    prompt_id: str
    text_sha256: str
    fate: str
    reason: str = ""
    split: str = NO_SPLIT
    agents: str = ""
    parents: str = ""
    method: str = ""
    line: int = 0


def fate_of(prompt_id: str, prompt: str, fate: str, **facts: str | int) -> Fate:
    """A fate with the text's sha256 filled in."""
    return Fate(prompt_id, sha256_text(prompt), fate, **facts)  # type: ignore[arg-type]


def fates_of_rows(rows: pd.DataFrame, fate: str, split: str) -> list[Fate]:
    """One fate for every row of a table with `prompt_id, prompt, agents` and, where it has them, `parents, method`."""
    named = [name for name in ("agents", "parents", "method") if name in rows.columns]
    return [
        fate_of(
            str(row["prompt_id"]), str(row["prompt"]), fate, split=split, **{name: str(row[name]) for name in named}
        )
        for row in rows.to_dict("records")
    ]


def write_fates(stage: str, fates: Iterable[Fate], folder: Path = FATES) -> None:
    """Write one stage's fates, in the order given, to `<folder>/<stage>.parquet`."""
    columns = list(Fate.__dataclass_fields__)
    frame = pd.DataFrame([asdict(fate) for fate in fates], columns=columns)
    text = [name for name in columns if name != "line"]
    frame[text] = frame[text].astype("string")
    write_table(frame.assign(line=frame["line"].astype("int64"), stage=pd.Series(stage, frame.index, dtype="string")),
                folder / f"{stage}.parquet")  # fmt: skip


def read_fates(stage: str, folder: Path = FATES) -> pd.DataFrame:
    """One stage's fates; `line` is the line in prompts.csv, 0 where the row has none."""
    import pyarrow.parquet as pq

    path = folder / f"{stage}.parquet"
    if pq.read_metadata(path).num_rows == 0:
        return pd.read_parquet(path)
    lines = pd.read_parquet(path, columns=["line"])["line"]
    return read_table(path).assign(line=lines.to_numpy())
