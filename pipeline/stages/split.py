"""Stage `split`: the frozen holdout apart from train, and folds inside train.

The holdout was drawn once (`python -m pipeline.stages.split draw`) and is a file of ids under version control. A new
row joins train; it joins the holdout only when a person adds its id to that file. A train row that holds a holdout row
leaves here; on the agents' track `validate` has put such rows in quarantine before.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

from pipeline.data.agents import read_agents
from pipeline.data.dataset import DATASET
from pipeline.data.fates import FATES, HOLDOUT, KEPT, QUARANTINED, TRAIN, Fate, fate_of, fates_of_rows, write_fates
from pipeline.data.folds import make_folds
from pipeline.data.holdout import HOLDOUT_FILE, holdout_text, holdout_version, read_holdout
from pipeline.data.holdout_draw import draw_holdout
from pipeline.data.outcomes import read_outcomes
from pipeline.data.stage_rows import JOINING, StageRows, of_prompts, read_joining, read_rows
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams
from pipeline.runtime.stage import Summary, run_stage_on_track
from pipeline.runtime.tables import write_table, write_text
from pipeline.runtime.terminal import for_terminal
from pipeline.runtime.track import AGENTS, MODELS, Track, track_named
from pipeline.validation.text_overlap import holdout_overlap

NAME = "split"


class SplitParams(Section):
    """Which ids are held out, how train is cut into folds, and how the holdout was drawn.

    A train row that holds `holdout_overlap` of a holdout row is left out.
    """

    holdout: str = HOLDOUT_FILE.as_posix()
    folds: int = Field(ge=2)
    holdout_share: float = Field(gt=0, lt=1)
    holdout_minimum: int = Field(ge=1)
    holdout_overlap: float = Field(default=1.0, gt=0, le=1)


def split(params: SplitParams, seed: int, track: Track = AGENTS) -> Summary:
    """Write train (with its folds) and holdout; record each row's split.

    What candidates that joined later did is set apart: it is not learnt from here, but judged on like the rest.

    Raises:
        InputError: no train row or no holdout row is left.
    """
    rows = read_rows(track, track.valid)
    held_out = rows.prompts["prompt_id"].isin(read_holdout(Path(params.holdout))).to_numpy()
    train, holdout = rows.where(~held_out), rows.where(held_out)
    if not len(train) or not len(holdout):
        raise InputError(
            f"{params.holdout} leaves {len(train)} rows to train on and {len(holdout)} to hold out; mend it, or draw "
            f"one anew with 'python -m pipeline.stages.split {track.name} draw'"
        )
    train, leaks = _without_leaks(train, holdout, params.holdout_overlap)
    if track is MODELS:
        joining = read_joining("validate")
        write_table(of_prompts(joining, train.prompts), track.stages / NAME / JOINING)
        holdout = holdout.joined_by(joining)
    folds = make_folds(train.outcomes(), params.folds, seed)
    train = StageRows(train.prompts.assign(fold=folds), train.graded)
    train.write(track.stages / NAME / "train.parquet")
    holdout.write(track.stages / NAME / "holdout.parquet")
    fates = fates_of_rows(train.labelled(), KEPT, TRAIN) + fates_of_rows(holdout.labelled(), KEPT, HOLDOUT)
    write_fates(NAME, fates + leaks, track.stages / FATES.name)
    version = holdout_version(holdout.prompts, holdout.graded)
    return {"train": len(train), "holdout": len(holdout), "leaking": len(leaks), "holdout_version": version}


def _without_leaks(train: StageRows, holdout: StageRows, limit: float) -> tuple[StageRows, list[Fate]]:
    """Train without the rows that hold at least the limit of a holdout row, and the fates of those."""
    rows = train.labelled()
    found, shares = holdout_overlap(list(rows["prompt"]), list(holdout.prompts["prompt"]))
    leaking = (found >= 0) & (shares >= limit)
    held = holdout.prompts["prompt_id"].to_numpy()[found]
    fates = [
        fate_of(
            row["prompt_id"],
            row["prompt"],
            QUARANTINED,
            reason=f"holds {share:.0%} of {name}",
            split=TRAIN,
            agents=row["agents"],
        )
        for row, share, name in zip(rows[leaking].to_dict("records"), shares[leaking], held[leaking], strict=True)
    ]
    return train.where(~leaking), fates


def _draw(track: Track) -> None:
    """Draw a track's holdout once.

    Raises:
        InputError: there is one already, no draw gives every candidate enough prompts, or the table is malformed.
    """
    params, run = track.read(NAME, SplitParams), read("run", RunParams)
    place = Path(params.holdout)
    if place.exists():
        raise InputError(f"{place} exists and is frozen; a new holdout is a decision: remove the file first")
    if track is AGENTS:
        # No rule has seen these rows yet.
        outcomes = read_outcomes(DATASET, [agent.name for agent in read_agents()])
    else:
        outcomes = read_rows(track, track.valid).outcomes()
    setting = f"{track.section}{NAME}.holdout_minimum"
    ids = draw_holdout(outcomes, params.holdout_share, params.holdout_minimum, run.seed, setting)
    write_text(holdout_text(ids), place)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[-1] == "draw":
        try:
            _draw(track_named(sys.argv[1]) if len(sys.argv) > 2 else AGENTS)
        except SwitchtenderError as error:
            print(for_terminal(f"{NAME}: {error}"), file=sys.stderr)
            sys.exit(error.exit_code)
    else:
        run_stage_on_track(NAME, lambda track: split(track.read(NAME, SplitParams), read("run", RunParams).seed, track))
