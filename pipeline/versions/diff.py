"""What differs between two versions' rows, params and files. A row is known by (prompt id, sha256 of its text)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.data.fates import AUGMENTED, QUARANTINED, REFUSED, RELABELLED
from pipeline.data.outcomes import split_agents
from pipeline.versions.provenance import BASE_MODELS, DATA, Material

if TYPE_CHECKING:
    import pandas as pd
from pipeline.runtime.plain import JsonObject, plain_fields
from pipeline.versions.prediction_diff import HoldoutDiff

Key = tuple[str, str, int]


@dataclass(frozen=True)
class DatasetRow:
    """A row of the dataset as one version knew it. `agents` is the label after review."""

    prompt_id: str
    text_sha256: str
    agents: str
    fate: str
    split: str
    reason: str


@dataclass(frozen=True)
class Change:
    """One value before and after; None where there was none."""

    name: str
    before: object
    after: object


@dataclass(frozen=True)
class RowChange:
    """What one row's label, fate or split was and is.

    `why` is the newer version's reason for a fate, or who relabelled; empty where the dataset itself was changed.
    """

    prompt_id: str
    text_sha256: str
    before: str
    after: str
    why: str = ""


@dataclass(frozen=True)
class RowDiff:
    """Rows of the dataset; those that `augment` made are counted apart, by text, before and after.

    `reworded` holds ids whose text alone was replaced (digests before and after); they are neither added nor removed.
    """

    added: tuple[DatasetRow, ...]
    removed: tuple[DatasetRow, ...]
    reworded: tuple[RowChange, ...]
    relabelled: tuple[RowChange, ...]
    fates: tuple[RowChange, ...]
    moved: tuple[RowChange, ...]
    augmented_added: int
    augmented_removed: int

    @property
    def transitions(self) -> dict[str, int]:
        """How many rows went from one fate to another, most frequent first."""
        counts = Counter(f"{change.before} -> {change.after}" for change in self.fates)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class OutcomeDiff:
    """How many outcomes, each of a prompt and a candidate, came, went, or have another quality or cost."""

    added: int
    removed: int
    changed: int


def diff_outcomes(older: pd.DataFrame, newer: pd.DataFrame) -> OutcomeDiff:
    """Compare two tables of outcomes, `prompt_id, candidate, quality, cost`."""
    both = older.merge(newer, on=["prompt_id", "candidate"], suffixes=("_before", ""))
    # Equal, or not known either time: NaN is not equal to itself.
    same = [
        (both[name] == both[f"{name}_before"]) | (both[name].isna() & both[f"{name}_before"].isna())
        for name in ("quality", "cost")
    ]
    changed = int((~(same[0] & same[1])).sum())
    return OutcomeDiff(len(newer) - len(both), len(older) - len(both), changed)


def diff_rows(older: pd.DataFrame, newer: pd.DataFrame) -> RowDiff:
    """Compare two lineages."""
    before, after = _rows_by_key(older), _rows_by_key(newer)
    pairs = _reworded(before, after)
    both = [(before[key], after[key]) for key in before if key in after]
    texts_before, texts_after = _augmented(older), _augmented(newer)
    return RowDiff(
        added=tuple(row for key, row in after.items() if key not in before and key not in pairs.values()),
        removed=tuple(row for key, row in before.items() if key not in after and key not in pairs),
        reworded=tuple(RowChange(old[0], new[1], old[1], new[1]) for old, new in pairs.items()),
        relabelled=_relabelled([*both, *((before[old], after[new]) for old, new in pairs.items())]),
        fates=tuple(_change(old, new, "fate", new.reason) for old, new in both if old.fate != new.fate),
        moved=tuple(_change(old, new, "split") for old, new in both if old.split != new.split),
        augmented_added=len(texts_after - texts_before),
        augmented_removed=len(texts_before - texts_after),
    )


def _rows_by_key(lineage: pd.DataFrame) -> dict[Key, DatasetRow]:
    """Rows of the dataset by key. A text that stands there twice is numbered, those that went on first."""
    found: dict[Key, DatasetRow] = {}
    rows = lineage[~lineage["fate"].isin([AUGMENTED, REFUSED])].to_dict("records")
    for facts in sorted(rows, key=lambda row: row["fate"] == QUARANTINED):
        row = DatasetRow(**{name: str(facts[name]) for name in DatasetRow.__dataclass_fields__})
        number = 0
        while (row.prompt_id, row.text_sha256, number) in found:
            number += 1
        found[row.prompt_id, row.text_sha256, number] = row
    return found


def _augmented(lineage: pd.DataFrame) -> set[tuple[str, str]]:
    """Text and label of each row that `augment` made."""
    made = lineage[lineage["fate"] == AUGMENTED]
    return set(zip(made["text_sha256"], made["agents"], strict=True))


def _reworded(before: dict[Key, DatasetRow], after: dict[Key, DatasetRow]) -> dict[Key, Key]:
    """Keys that went and keys that came under the same id, paired in order."""
    came: dict[str, list[Key]] = {}
    for key in after:
        if key not in before:
            came.setdefault(key[0], []).append(key)
    went = [key for key in before if key not in after]
    return {key: came[key[0]].pop(0) for key in went if came.get(key[0])}


def _relabelled(pairs: list[tuple[DatasetRow, DatasetRow]]) -> tuple[RowChange, ...]:
    """The rows, before and after, whose labels are different sets."""
    changed = [(old, new) for old, new in pairs if set(split_agents(old.agents)) != set(split_agents(new.agents))]
    return tuple(_change(old, new, "agents", new.reason if new.fate == RELABELLED else "") for old, new in changed)


def _change(old: DatasetRow, new: DatasetRow, name: str, why: str = "") -> RowChange:
    """What one field of a row was and is."""
    return RowChange(new.prompt_id, new.text_sha256, getattr(old, name), getattr(new, name), why)


def diff_values(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Change, ...]:
    """Nested settings that differ, under dotted names; a setting that came or went has None on the other side."""
    old, new = dotted(before), dotted(after)
    names = sorted(old.keys() | new.keys())
    return tuple(Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def dotted(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings as one level, `section.key`."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def diff_files(before: Iterable[Material], after: Iterable[Material]) -> tuple[Change, ...]:
    """Data files and published models whose digests differ."""
    old, new = (
        {m.name: next(iter(m.digest.values()), "") for m in materials if m.role in (DATA, *BASE_MODELS)}
        for materials in (before, after)
    )
    return diff_values(old, new)


@dataclass(frozen=True)
class CodeChange:
    """A file of the code that differs; lines are None for a binary file."""

    path: str
    lines_added: int | None
    lines_removed: int | None


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    version: str
    commit: str


@dataclass(frozen=True)
class VersionDiff:
    """All that differs from `older` to `newer`.

    `outcomes` is None where one of them does not hold what it learnt from: labels of agents are in `rows`.
    """

    older: Side
    newer: Side
    rows: RowDiff
    outcomes: OutcomeDiff | None
    params: tuple[Change, ...]
    environment: tuple[Change, ...]
    files: tuple[Change, ...]
    code: tuple[CodeChange, ...]
    holdout: HoldoutDiff

    def to_json(self) -> JsonObject:
        """Plain values under stable names: those of the rows and of the holdout stand beside the others."""
        told = plain_fields(self)
        rows, holdout = told.pop("rows"), told.pop("holdout")
        sides = {name: told.pop(name) for name in ("older", "newer")}
        metrics, flips = holdout.pop("metrics"), holdout.pop("flips")
        counted = {"transitions": self.rows.transitions}
        return {**sides, **rows, **counted, **told, "holdout": holdout, "metrics": metrics, "flips": flips}
