"""A project of one's own from a table: a folder with git, DVC and settings, whose code is the installed package.

It is made beside its place and put there by one rename: whoever finds the folder finds it whole.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import flows
from flows.curation.lacks import UNWRITTEN, Lack, lacks_of_agents, lacks_of_rows
from flows.curation.new_rows import NewRow, read_rows, row_cells
from flows.curation.row_check import RowCheck
from flows.records.promotion_log import who_am_i
from flows.workspace.dvc_objects import ObjectStore
from flows.workspace.dvc_pointers import md5_of
from flows.workspace.git import git
from flows.workspace.installed_code import CODE, as_dependencies, record
from flows.workspace.project import Project
from flows.workspace.snapshot import POINTER
from pipeline.data import forgetting, label_reviews
from pipeline.data.agents import AGENTS_FILE, Agent, read_agents
from pipeline.data.dataset import COLUMNS, DATASET
from pipeline.data.holdout import HOLDOUT_FILE, holdout_text
from pipeline.data.holdout_draw import draw_holdout
from pipeline.data.outcomes import from_labels
from pipeline.runtime.csv_rows import with_rows
from pipeline.runtime.errors import InputError, SwitchtenderError, listed, suggestion
from pipeline.runtime.params import read_file
from pipeline.runtime.tables import LINE, read_table, write_text
from pipeline.runtime.text import is_unicode
from pipeline.validation.expectations import SUITES

_PACKAGE = Path(flows.__file__).resolve().parent
_OWN = _PACKAGE / "own_project_files"
_PLACES = {
    "gitignore": ".gitignore",
    "Makefile": "Makefile",
    "README.md": "README.md",
    "ci.yml": ".github/workflows/dataset.yml",
}
_NO_AGENTS = """# The agents: what each does and does not do. One entry each:
#
# - name: travel
#   owner: who answers for it
#   usd_per_call: 0.002
#   latency_ms: 900
#   description: Books journeys and lodging; plans routes, packing and visas. It does not pay.
"""


@dataclass(frozen=True)
class OwnProject:
    """A project that was made: its folder, how many agents, prompts and holdout rows it has, what its data lack,
    and the columns of the prompts' table that were not read.
    """

    folder: Path
    agents: int
    prompts: int
    holdout: int
    lacks: tuple[Lack, ...]
    passed_over: tuple[str, ...] = ()


def make(folder: Path, agents: Path | None = None, prompts: Path | None = None, *, dry_run: bool = False) -> OwnProject:
    """Make a project in a new or empty folder; a dry run makes it elsewhere and removes it.

    Without `agents` they are those that `prompts` names, to be described; without `prompts` the dataset is empty.

    Raises:
        InputError: the folder is not empty, or a file cannot be used.
        SwitchtenderError: git failed, or a place cannot be written; nothing is left of it.
    """
    place = folder.resolve()
    _require_usable(place)
    rows, passed_over = read_rows(prompts, ("added_on",)) if prompts else ([], [])
    taxonomy = _taxonomy(agents, rows)
    if agents is not None:
        _require_known(rows, taxonomy)
    try:
        if not dry_run:
            place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=None if dry_run else place.parent, prefix=f".{place.name}.") as beside:
            made = _made(Path(beside) / place.name, rows, taxonomy, agents, prompts)
            if not dry_run:
                made.folder.rename(place)
    except OSError as error:
        raise SwitchtenderError(f"{folder} cannot be made ({error.strerror}); choose another place") from error
    return replace(made, folder=place, passed_over=tuple(passed_over))


def _require_usable(place: Path) -> None:
    if re.search(r"[\x00-\x1f\x7f?%]", str(place)) or not is_unicode(str(place)):
        raise InputError(f"{str(place)!a}: neither ? nor % nor a line end may be in a project's path; choose another")
    if place == Path.cwd():
        raise InputError(f"{place} is the folder that you are in; go to the one above, and name it from there")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(f"{place} is there and not empty; name a new folder, and nothing in this one is touched")


def _taxonomy(agents: Path | None, rows: Sequence[NewRow]) -> tuple[Agent, ...]:
    if agents is not None:
        return read_agents(agents)
    names = sorted({name for row in rows for name in row.agents})
    return tuple(
        Agent(name=name, owner="nobody yet", usd_per_call=0.0, latency_ms=1000, description=UNWRITTEN) for name in names
    )


def _require_known(rows: Sequence[NewRow], agents: Sequence[Agent]) -> None:
    names = [agent.name for agent in agents]
    for row in rows:
        for name in row.agents:
            if name not in names:
                hint = suggestion(name, names, f"known are {listed(names)}", 0.8)
                raise InputError(f"{row.where}: unknown agent '{name}'; {hint}")


def _made(
    root: Path, rows: Sequence[NewRow], taxonomy: Sequence[Agent], agents: Path | None, prompts: Path | None
) -> OwnProject:
    """The whole project in a folder of its own, committed."""
    _lay_out(root)
    project = Project(root)
    described = agents.read_text(encoding="utf-8-sig") if agents else _yaml(taxonomy) if taxonomy else _NO_AGENTS
    write_text(described, root / AGENTS_FILE)
    text = _table(project, rows, prompts)
    write_text(text, root / DATASET)
    frame = pd.DataFrame({"agents": ["|".join(row.agents) for row in rows]}, dtype=object)
    lacks = list(lacks_of_agents(taxonomy, frame))
    held_out: tuple[str, ...] = ()
    write_text(holdout_text(held_out), root / HOLDOUT_FILE)
    if rows:
        # Of the shipped table, the list of suspects holds one row in ten.
        _set(root, r"listed: 40 (?=.*ranked)", f"listed: {min(40, max(3, len(rows) // 10)):<2} ")
        held_out, more = _judged(project, text, taxonomy)
        lacks += more
    _track(root, text.encode())
    record(root)
    git(root, "init", "--quiet")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "A project of switchtender init")
    return OwnProject(root, len(taxonomy), len(rows), len(held_out), tuple(lacks))


def _lay_out(root: Path) -> None:
    """The files that every project has; dvc.yaml names the record of the installed code where ours names the code."""
    shipped = _PACKAGE / "shipped"
    source = shipped if shipped.is_dir() else _PACKAGE.parent
    for pattern in (_PACKAGE / "shipped.txt").read_text(encoding="utf-8").split():
        for path in source.glob(pattern):
            _copy(path, root / path.relative_to(source))
    for name, place in _PLACES.items():
        _copy(_OWN / name, root / place)
    (root / CODE).mkdir()
    write_text(as_dependencies((root / "dvc.yaml").read_text(encoding="utf-8")), root / "dvc.yaml")
    _set(root, r"tracks: \[agents, models\]", "tracks: [agents]        ")
    for path, columns in (
        (label_reviews.REVIEWS_FILE, label_reviews.COLUMNS),
        (forgetting.FORGOTTEN_FILE, forgetting.COLUMNS),
    ):
        write_text(",".join(columns) + "\n", root / path)


def _set(root: Path, setting: str, value: str) -> None:
    """Change a setting of params.yaml in its line, whose comment stays."""
    path = root / "params.yaml"
    write_text(re.sub(setting, value, path.read_text(encoding="utf-8")), path)


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _yaml(agents: Sequence[Agent]) -> str:
    return yaml.safe_dump([agent.model_dump() for agent in agents], sort_keys=False, allow_unicode=True)


def _table(project: Project, rows: Sequence[NewRow], prompts: Path | None) -> str:
    """data/prompts.csv as it is written; what a row does not say of itself is filled in."""
    by, source = who_am_i(project), prompts.stem if prompts else ""
    taken = {row.prompt_id for row in rows}
    fresh = (name for number in range(1, 2 * len(rows) + 1) if (name := f"p{number:04d}") not in taken)
    cells = (
        row_cells(row) | {
            "prompt_id": row.prompt_id or next(fresh), "annotator": row.annotator or by, "source": row.source or source
        }
        for row in rows
    )  # fmt: skip
    return with_rows("", cells, COLUMNS)


def _judged(project: Project, text: str, taxonomy: Sequence[Agent]) -> tuple[tuple[str, ...], list[Lack]]:
    """The ids of a holdout drawn from sound rows, limits that fit the table, and what the table lacks."""
    names = [agent.name for agent in taxonomy]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / DATASET.name
        write_text(text, table)
        rows = read_table(table).drop(columns=LINE)
        while True:
            held_out, lacks = _drawn(project.root, rows, names)
            write_text(holdout_text(held_out), project.root / HOLDOUT_FILE)
            _fit_limits(project.root / SUITES, rows, len(held_out))
            check = RowCheck(project, Path(folder))
            checked = check.table(text)[1]
            if not set(held_out) & set(checked.quarantined["prompt_id"]):
                return held_out, [*lacks, *lacks_of_rows(check, checked)]
            # Once more from the rows that are left: a row that is put aside measures nothing.
            rows = checked.kept.drop(columns=LINE)


def _drawn(root: Path, rows: pd.DataFrame, names: Sequence[str]) -> tuple[tuple[str, ...], list[Lack]]:
    params = read_file(root / "params.yaml")
    split, seed = params["split"], int(params["run"]["seed"])
    try:
        outcomes = from_labels(rows, names)
        return draw_holdout(
            outcomes, split["holdout_share"], split["holdout_minimum"], seed, "split.holdout_minimum"
        ), []
    except InputError as error:
        found, _, mend = str(error).partition("; ")
        later = f"{mend}; then rm {HOLDOUT_FILE} && python -m pipeline.stages.split draw"
        return (), [Lack("holdout", found, later)]


def _fit_limits(suites: Path, rows: pd.DataFrame, holdout: int) -> None:
    """Limits of the whole table, as near to this one as the shipped ones are to the shipped table."""
    several = float(rows["agents"].str.contains("|", regex=False).mean()) if len(rows) else 0.0
    limits: dict[str, dict[str, float]] = {
        "enough_prompts": {"min_value": int(0.8 * len(rows))},
        "multi_agent_share": {
            "min_value": round(max(0.0, several - 0.15), 2), "max_value": round(min(1.0, several + 0.25), 2)
        },
        "holdout_size": {"min_value": max(1, int(0.7 * holdout))},
    }  # fmt: skip
    for name in ("kept_prompts", "holdout"):
        path = suites / f"{name}.json"
        suite: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for expectation in suite["expectations"]:
            expectation["kwargs"] |= limits.get(expectation["meta"]["rule"], {})
        write_text(json.dumps(suite, indent=2, ensure_ascii=False) + "\n", path)


def _track(root: Path, content: bytes) -> None:
    """DVC's pointer of the dataset, and its bytes in the remote that git keeps, so that a clone has them."""
    md5 = md5_of(content)
    pointer = f"outs:\n- md5: {md5}\n  size: {len(content)}\n  hash: md5\n  path: {DATASET.name}\n  remote: dataset\n"
    write_text(pointer, root / POINTER)
    ObjectStore("remote", str(root / "data" / "remote")).add(md5, content)
