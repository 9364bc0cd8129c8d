"""Stage `lineage`: the fates of all stages joined, one row for every row that was ever in play.

The key is (prompt_id, sha256 of the text); a row that `validate` put aside stands alone, by its line, since it may
repeat a row that went on. `fate` is the last stage's word that was not merely `kept`; `taught` says whether the
row's text reached the training of the router.
"""

from __future__ import annotations

import pandas as pd

from pipeline.data.fates import FATES, HOLDOUT, KEPT, NO_SPLIT, QUARANTINED, REFUSED, read_fates
from pipeline.runtime.stage import ORDER, Summary, run_stage_on_track
from pipeline.runtime.tables import write_table
from pipeline.runtime.track import AGENTS, Track

NAME = "lineage"
KEY = ["prompt_id", "text_sha256"]


def lineage(track: Track = AGENTS) -> Summary:
    """Join the fates that the track's stages left, and write lineage.parquet."""
    folder = track.stages / FATES.name
    table = join_fates({stage: read_fates(stage, folder) for stage in ORDER if (folder / f"{stage}.parquet").exists()})
    write_table(table, track.stages / NAME / "lineage.parquet")
    counts = table["fate"].value_counts()
    return {
        "rows": len(table),
        "taught": int(table["taught"].sum()),
        **{str(k): int(counts[k]) for k in sorted(counts.index)},
    }


def join_fates(by_stage: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a key or quarantined line, in order of first appearance, from each stage's fates in the night's order."""
    rows = pd.concat([frame.assign(stage=stage) for stage, frame in by_stage.items() if len(frame)], ignore_index=True)
    put_aside = (rows["stage"] == "validate") & (rows["fate"] == QUARANTINED)
    rows["alone"] = rows["line"].where(put_aside, 0)
    return pd.DataFrame([_joined(group) for _, group in rows.groupby([*KEY, "alone"], sort=False)])


def _joined(group: pd.DataFrame) -> dict[str, object]:
    telling = group[group["fate"] != KEPT]
    last = telling.iloc[-1] if len(telling) else group.iloc[-1]
    split = [value for value in group["split"] if value != NO_SPLIT]
    agents = [value for value in group["agents"] if value]
    return {
        "prompt_id": group["prompt_id"].iloc[0],
        "text_sha256": group["text_sha256"].iloc[0],
        "fate": last["fate"],
        "stage": last["stage"],
        "reason": last["reason"],
        "split": split[-1] if split and last["fate"] != REFUSED else (HOLDOUT if HOLDOUT in split else NO_SPLIT),
        "agents": agents[-1] if agents else "",
        "parents": group["parents"].max(),
        "method": group["method"].max(),
        "line": int(group["line"].max()),
        "taught": bool(((group["stage"] == "train") & (group["fate"] == KEPT)).any()),
    }


if __name__ == "__main__":
    run_stage_on_track(NAME, lineage)
