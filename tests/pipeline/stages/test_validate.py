"""Each rule of data/expectations can fail, and what fails it is named, placed and kept out."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sandbox import ROOT

from pipeline.data.agents import read_agents
from pipeline.data.dataset import DATASET
from pipeline.data.fates import KEPT, QUARANTINED, read_fates
from pipeline.data.forgetting import forgotten_rows
from pipeline.data.holdout import read_holdout
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import read_table, sha256_text
from pipeline.stages import validate as stage
from pipeline.stages.validate import DOCS, OUT, validate
from pipeline.validation import derived_prompt_tables as tables
from pipeline.validation import prompt_table
from pipeline.validation.derived_outcome_tables import OUTCOME_TABLES
from pipeline.validation.expectations import CRITICAL, ROW, Suite, SuiteRunner, read_suites
from pipeline.validation.prompt_table import ValidationParams, check_table
from pipeline.validation.quarantine import TableCheck

DATA = ROOT / "data"
PARAMS = ValidationParams(
    encoder="minilm", near_duplicate_cosine=0.92, holdout_overlap=0.6, source_growth=0.1, max_quarantined_share=0.02
)
COLUMNS = ["prompt_id", "prompt", "agents", "annotator", "source", "added_on"]
Row = dict[str, str]
EMBEDDING = FrozenEmbedding("minilm", 256)


@dataclass
class Dataset:
    """The shipped rows, with a holdout of every fourth one, for a test to spoil."""

    rows: list[Row]
    holdout: list[str]
    columns: list[str] = field(default_factory=lambda: list(COLUMNS))

    @property
    def train(self) -> list[Row]:
        return [row for row in self.rows if row["prompt_id"] not in self.holdout]

    def write(self) -> None:
        """Write the files that the stage reads, in the current folder."""
        with DATASET.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writerow(self.columns)
            writer.writerows([row.get(name, "") for name in self.columns] for row in self.rows)
        Path("data/holdout.txt").write_text("# a comment\n" + "\n".join(self.holdout) + "\n", encoding="utf-8")

    def line(self, row: Row) -> int:
        """The line of the file on which a row begins, counted by hand."""
        before = self.rows[: next(i for i, other in enumerate(self.rows) if other is row)]
        return 2 + sum(1 + len(re.findall(r"\r\n|\r|\n", "".join(earlier.values()))) for earlier in before)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of its own; the real encoder, which remembers texts from test to test."""
    shutil.copytree(DATA / "expectations", tmp_path / "data/expectations")
    shutil.copy(DATA / "agents.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prompt_table, "embed_for_comparison", remembered)
    return tmp_path


def remembered(prompts: Sequence[str], encoder: str) -> FloatMatrix:
    assert encoder == PARAMS.encoder
    return EMBEDDING.embed(prompts)


@pytest.fixture
def dataset() -> Dataset:
    with (DATA / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    return Dataset(rows, [row["prompt_id"] for row in rows[::4]])


def read_shipped(folder: Path) -> dict[str, Suite]:
    return read_suites(tables.TABLES, tables.TABLES_WITH_LINES, folder, OUTCOME_TABLES)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> SuiteRunner:
    """One Great Expectations context for all the examples below."""
    folder = tmp_path_factory.mktemp("gx")
    suites = read_shipped(DATA / "expectations")
    return SuiteRunner(suites, folder / "gx", folder / "docs")


def check(dataset: Dataset, runner: SuiteRunner) -> TableCheck:
    """Judge a dataset as the stage does, without its outputs."""
    dataset.write()
    taxonomy = [agent.name for agent in read_agents()]
    forgotten = {digest for _, digest in forgotten_rows(Path())}
    return check_table(read_table(DATASET), runner, taxonomy, read_holdout(), forgotten, PARAMS)


def broken(checked: TableCheck) -> set[str]:
    return {result.rule.name for result in checked.rule_results if not result.success}


# --- Rules that put a row aside: rule, how the dataset is spoilt; each returns the row that must go.


def put(column: str, value: str) -> Callable[[Dataset], Row]:
    def spoil(dataset: Dataset) -> Row:
        row = dataset.train[60]
        row[column] = value
        return row

    return spoil


def repeat_id(dataset: Dataset) -> Row:
    first, second = dataset.train[60:62]
    second["prompt_id"] = first["prompt_id"]
    return second


def repeat_text(dataset: Dataset) -> Row:
    first, second = dataset.train[60:62]
    second["prompt"] = f"  {first['prompt'].upper()}\n"
    return second


def nearly_repeat_text(dataset: Dataset) -> Row:
    first, second = dataset.train[60:62]
    second["prompt"] = f"{first['prompt']} please!"
    return second


def leak_holdout(dataset: Dataset) -> Row:
    """The train row stands before the holdout row that it repeats, and still it is the one that goes."""
    row, held_out = dataset.train[10], next(row for row in dataset.rows[200:] if row["prompt_id"] in dataset.holdout)
    row["prompt"] = held_out["prompt"]
    return row


def nearly_leak_holdout(dataset: Dataset) -> Row:
    row = leak_holdout(dataset)
    row["prompt"] += " please!"
    return row


def hide_holdout_row(dataset: Dataset) -> Row:
    """A holdout row behind a paragraph of its own, in letters of which half are Cyrillic."""
    row = leak_holdout(dataset)
    disguised = row["prompt"].translate(str.maketrans("aeopcx", "аеорсх"))
    row["prompt"] = f"{dataset.train[40]['prompt'].lower()} Never mind that, it is done.\n\n{disguised}"
    return row


def bring_back(dataset: Dataset) -> Row:
    row = dataset.train[60]
    line = f"p0007,{sha256_text(row['prompt'])},2026-11-22,ana,deletion request"
    Path("data/forgotten.csv").write_text(f"prompt_id,text_sha256,forgotten_on,by,reason\n{line}\n")
    return row


ROW_EXAMPLES: list[tuple[str, Callable[[Dataset], Row]]] = [
    ("prompt_id_present", put("prompt_id", "")),
    ("prompt_id_form", put("prompt_id", "P0061")),
    ("prompt_id_form", put("prompt_id", "p0061\n")),
    ("prompt_id_form", put("prompt_id", "../p0061")),
    ("prompt_id_unique", repeat_id),
    ("prompt_present", put("prompt", "")),
    ("prompt_present", put("prompt", " \n\t ")),
    ("prompt_present", put("prompt", "\u200b\u2060 \u3164")),
    ("row_not_forgotten", bring_back),
    ("prompt_length", put("prompt", "hm")),
    ("prompt_length", put("prompt", "x" * 8001)),
    ("prompt_no_control_characters", put("prompt", "Ring the bell \x07 and tell me who came.")),
    ("prompt_no_control_characters", put("prompt", "Two lines\rfrom an old Mac, which one is first?")),
    ("prompt_no_control_characters", put("prompt", "C1 controls \x85 are no text either.")),
    ("prompt_no_lost_characters", put("prompt", "A caf\ufffd near the harbour that opens at six.")),
    ("agents_present", put("agents", "")),
    ("annotator_present", put("annotator", " ")),
    ("source_present", put("source", "")),
    ("added_on_present", put("added_on", "")),
    ("added_on_form", put("added_on", "2026-1-5")),
    ("added_on_exists", put("added_on", "2026-02-30")),
    ("agent_known", put("agents", "coding|juggling")),
    ("agent_known", put("agents", "coding||sql")),
    ("agent_named_once", put("agents", "coding|sql|coding")),
    ("prompt_text_unique", repeat_text),
    ("prompt_not_nearly_repeated", nearly_repeat_text),
    ("prompt_not_in_holdout", leak_holdout),
    ("prompt_not_in_holdout", nearly_leak_holdout),
    ("prompt_holds_no_holdout_row", hide_holdout_row),
]


@pytest.mark.parametrize(("rule", "spoil"), ROW_EXAMPLES)
def test_a_row_that_breaks_a_rule_is_put_aside_under_that_rule(
    rule: str, spoil: Callable[[Dataset], Row], dataset: Dataset, runner: SuiteRunner
) -> None:
    row = spoil(dataset)
    checked = check(dataset, runner)
    leaks = {"prompt_holds_no_holdout_row"} if rule == "prompt_not_in_holdout" else set()
    assert broken(checked) == {rule} | leaks
    assert list(checked.reasons) == [dataset.line(row)]
    assert {reason.split(" (")[0] for reason in checked.reasons[dataset.line(row)]} == {rule} | leaks
    assert checked.quarantined["prompt"].tolist() == [row["prompt"]]
    assert len(checked.kept) == len(dataset.rows) - 1


# --- Rules that stop the night: rule, how the dataset is spoilt.


def lose_column(dataset: Dataset) -> None:
    dataset.columns.remove("source")


def add_column(dataset: Dataset) -> None:
    dataset.columns.append("comment")


def swap_columns(dataset: Dataset) -> None:
    dataset.columns[1:3] = ["agents", "prompt"]


def lose_prompts(dataset: Dataset) -> None:
    lost = [
        row for row in dataset.train if row["agents"] in ("coding", "web_research", "data_analysis", "sql", "email")
    ]
    lost += [row for row in dataset.train if row["agents"] in ("calendar", "translation", "summarizing", "finance")]
    gone = {row["prompt_id"] for row in lost + [row for row in dataset.train if "coding|" in row["agents"]]}
    dataset.rows = [row for row in dataset.rows if row["prompt_id"] not in gone]


def name_one_agent(dataset: Dataset) -> None:
    common = {"coding", "email", "web_research", "data_analysis", "summarizing", "calendar", "translation", "sql"}
    for row in dataset.rows:
        if set(row["agents"].split("|")) <= common:
            row["agents"] = row["agents"].split("|")[0]


def name_several_agents(dataset: Dataset) -> None:
    for row in dataset.rows[:350]:
        row["agents"] += "" if "|" in row["agents"] else "|email" if row["agents"] != "email" else "|coding"


def shorten_holdout(dataset: Dataset) -> None:
    dataset.holdout = dataset.holdout[:79]


def empty_holdout(dataset: Dataset) -> None:
    dataset.holdout = []


def name_unknown_holdout_row(dataset: Dataset) -> None:
    dataset.holdout.append("p9999")


def spoil_holdout_row(dataset: Dataset) -> None:
    next(row for row in dataset.rows if row["prompt_id"] in dataset.holdout)["source"] = ""


def starve_agent(dataset: Dataset) -> None:
    for row in [row for row in dataset.rows if "image_understanding" in row["agents"].split("|")][5:]:
        names = [name for name in row["agents"].split("|") if name != "image_understanding"]
        row["agents"] = "|".join(names or ["image_generation"])


def forget_agent(dataset: Dataset) -> None:
    for row in dataset.rows:
        row["agents"] = "|".join(dict.fromkeys(row["agents"].replace("image_understanding", "speech").split("|")))


def flood(dataset: Dataset) -> None:
    for row in dataset.train[-60:]:
        row.update(source="partner feed", added_on="2026-12-01")


CRITICAL_EXAMPLES: list[tuple[str, Callable[[Dataset], None], str]] = [
    ("columns", lose_column, "added_on"),
    ("columns", add_column, "'prompt_id', 'prompt'"),
    ("columns", swap_columns, "'prompt_id', 'agents'"),
    ("enough_prompts", lose_prompts, "observed 3"),
    ("multi_agent_share", name_one_agent, "observed 0."),
    ("multi_agent_share", name_several_agents, "observed 0."),
    ("holdout_size", shorten_holdout, "observed 79"),
    ("holdout_size", empty_holdout, "observed 0"),
    ("holdout_complete", name_unknown_holdout_row, "p9999: 'absent'"),
    ("holdout_sound", spoil_holdout_row, "'quarantined'"),
    ("enough_prompts_per_agent", starve_agent, "image_understanding: 5"),
    ("enough_prompts_per_agent", forget_agent, "image_understanding: 0"),
    ("source_grows_slowly", flood, "partner feed: 0.1357"),
]


@pytest.mark.parametrize(("rule", "spoil", "observed"), CRITICAL_EXAMPLES)
def test_a_dataset_that_breaks_a_critical_rule_stops_the_stage(
    rule: str,
    spoil: Callable[[Dataset], None],
    observed: str,
    dataset: Dataset,
    runner: SuiteRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(dataset)
    dataset.write()
    monkeypatch.setattr(stage, "SuiteRunner", lambda *_: runner)
    monkeypatch.setattr(runner, "write_docs", lambda: DOCS / "index.html")  # a shared context has all earlier pages
    with pytest.raises(InputError) as stop:
        validate(PARAMS)
    message = str(stop.value)
    assert message.startswith(f"rule '{rule}' failed: ")
    assert observed in message
    assert f"data/expectations/{suite_of(rule)}.json" in message
    assert "results.json" in message
    assert "\n" not in message
    assert stop.value.exit_code == 2
    failed = [result["rule"] for result in results() if result["success"] is False]
    assert [name for name in failed if name in severities(CRITICAL)] == [rule]
    assert (OUT / "quarantine.csv").exists()
    assert not (OUT / "prompts.parquet").exists()


def results() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((OUT / "results.json").read_text(encoding="utf-8"))
    return found


def severities(wanted: str) -> set[str]:
    suites = read_shipped(DATA / "expectations")
    return {rule.name for suite in suites.values() for rule in suite.rules if rule.severity == wanted}


def suite_of(name: str) -> str:
    suites = read_shipped(DATA / "expectations")
    return next(rule.suite for suite in suites.values() for rule in suite.rules if rule.name == name)


def test_every_rule_has_an_example_that_breaks_it() -> None:
    assert {example[0] for example in ROW_EXAMPLES} == severities(ROW)
    assert {example[0] for example in CRITICAL_EXAMPLES} == severities(CRITICAL)


# --- The stage as a whole.


def outputs() -> dict[str, bytes]:
    files = [*sorted(OUT.glob("*")), Path("var/stages/fates/validate.parquet")]
    return {path.name: path.read_bytes() for path in files}


def test_sound_rows_pass_in_order_and_each_output_is_the_same_bytes_again(dataset: Dataset) -> None:
    dataset.train[60]["source"] = ""
    dataset.write()
    summary = validate(PARAMS)
    assert summary == {"rows": 502, "kept": 501, "quarantined": 1, "rules": 28, "failed": 1}
    kept = pd.read_parquet(OUT / "prompts.parquet")
    assert kept.columns.tolist() == [*COLUMNS, "line"]
    assert kept["prompt"].tolist() == [row["prompt"] for row in dataset.rows if row is not dataset.train[60]]
    first = outputs()
    validate(PARAMS)
    assert outputs() == first


def test_a_row_in_quarantine_keeps_its_line_its_text_and_every_reason(dataset: Dataset) -> None:
    dataset.train[30]["prompt"] = 'Three lines,\n"quoted",\nand a question: what follows?'
    row = dataset.train[60]
    row.update(prompt="cut\rhere \x07", agents="coding|coding|juggling")
    dataset.write()
    validate(PARAMS)
    quarantine = read_table(OUT / "quarantine.csv", required=("reasons",))
    with (OUT / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        (found,) = csv.DictReader(file)
    assert len(quarantine) == 1
    assert (found["line"], found["prompt_id"]) == (str(dataset.line(row)), row["prompt_id"])
    assert (found["prompt"], found["agents"]) == (row["prompt"], row["agents"])
    reasons = [reason.split(" (")[0] for reason in found["reasons"].split("; ")]
    assert reasons == ["prompt_no_control_characters", "agent_known", "agent_named_once"]
    fates = read_fates("validate").set_index("line")
    assert fates["fate"].value_counts().to_dict() == {KEPT: 501, QUARANTINED: 1}
    assert fates.loc[dataset.line(row), "reason"] == found["reasons"]
    assert fates.index.tolist() == [dataset.line(each) for each in dataset.rows]


def test_rows_beyond_the_200_that_gx_lists_are_put_aside_too_and_fail_the_night(dataset: Dataset) -> None:
    for row in dataset.train[:300]:
        row["prompt"] = "hm"
    dataset.write()
    with pytest.raises(InputError, match=r"300 of 502 rows .* limit of 2.0%.* line 3: prompt_length; .*quarantine.csv"):
        validate(PARAMS)
    assert len(read_table(OUT / "quarantine.csv")) == 300
    assert read_fates("validate")["fate"].value_counts().to_dict() == {QUARANTINED: 300, KEPT: 202}


def test_a_dataset_with_no_sound_row_stops_also_where_any_share_is_borne(dataset: Dataset) -> None:
    for row in dataset.rows:
        row["agents"] = ""
    dataset.write()
    with pytest.raises(InputError, match="502 of 502 rows"):
        validate(PARAMS.model_copy(update={"max_quarantined_share": 1.0}))
    assert {result["rule"] for result in results() if result["success"] is None} >= {"enough_prompts", "holdout_sound"}


def test_a_row_like_a_quarantined_one_is_kept(dataset: Dataset, runner: SuiteRunner) -> None:
    first, second = dataset.train[60:62]
    first["agents"], second["prompt"] = "juggling", first["prompt"]
    assert list(check(dataset, runner).reasons) == [dataset.line(first)]


def test_outputs_of_an_earlier_night_do_not_outlive_a_failure(dataset: Dataset) -> None:
    dataset.write()
    validate(PARAMS)
    dataset.columns.remove("source")
    dataset.write()
    with pytest.raises(InputError, match="rule 'columns' failed"):
        validate(PARAMS)
    assert sorted(path.name for path in OUT.iterdir()) == ["quarantine.csv", "results.json"]
    assert len(read_fates("validate")) == 0


def test_a_missing_input_is_named(dataset: Dataset) -> None:
    dataset.write()
    for path in (Path("data/holdout.txt"), Path("data/agents.yaml"), Path("data/expectations/labels.json")):
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match=re.escape(str(path))):
            validate(PARAMS)
        path.write_bytes(kept)
    DATASET.unlink()
    with pytest.raises(TableError, match=re.escape(str(DATASET))):
        validate(PARAMS)


# --- Suites that a person got wrong: "could not look" is never "found nothing".


def edit_suite(name: str, edit: Callable[[dict[str, Any]], object]) -> None:
    path = Path(f"data/expectations/{name}.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


SLIPS: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("labels", lambda s: s["expectations"][0].update(type="expect_column_values_to_bee_in_set"), "unknown type"),
    ("labels", lambda s: s["expectations"][0]["kwargs"].update(column="agnet"), "'agent_known' cannot be evaluated"),
    ("labels", lambda s: s["expectations"][0]["kwargs"].update(colum="agent"), "labels.json: .*colum"),
    ("labels", lambda s: s["expectations"][0]["kwargs"].update(value_set={"$PARAMETER": "taxnomy"}), "labels.json"),
    ("labels", lambda s: s["expectations"][0]["meta"].pop("why"), "has no meta.why"),
    ("labels", lambda s: s["expectations"][0]["meta"].update(severity="fatal"), "severity 'fatal'"),
    ("labels", lambda s: s["expectations"].append(s["expectations"][0]), "two rules named 'agent_known'"),
    ("labels", lambda s: s.pop("expectations"), "labels.json is not an expectation suite"),
    ("labels", lambda s: s.update(name="label"), "make it 'labels'"),
    ("agents", lambda s: s["expectations"][0]["meta"].update(severity="row"), "judges no rows"),
]


@pytest.mark.parametrize(("name", "slip", "message"), SLIPS)
def test_a_slip_in_a_suite_is_an_error_that_names_the_file(
    name: str, slip: Callable[[dict[str, Any]], object], message: str, dataset: Dataset
) -> None:
    edit_suite(name, slip)
    dataset.write()
    with pytest.raises(InputError, match=message) as stop:
        validate(PARAMS)
    assert "\n" not in str(stop.value)
    assert "data/expectations" in str(stop.value)


def test_a_suite_of_no_known_table_is_an_error() -> None:
    Path("data/expectations/promts.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"promts\.json judges no known table"):
        read_shipped(Path("data/expectations"))


# --- Data Docs.


def test_data_docs_ask_no_other_host_and_show_prompts_as_text(dataset: Dataset) -> None:
    attack = "<img src=x onerror=alert(1)><script>alert(2)</script>\x07"
    dataset.train[60]["prompt"] = attack
    dataset.write()
    validate(PARAMS)
    pages = {path: path.read_text(encoding="utf-8") for path in DOCS.rglob("*.html")}
    assert len(pages) == 1 + 2 * len(tables.TABLES)
    assert not [path for path in DOCS.rglob("*") if path.is_file() and path not in pages]
    for page in pages.values():
        assert not re.search(
            r"""\bsrc\s*=|url\(\s*["']?(https?:)?//|<script|<iframe|<link[^>]+//|@import""", unquoted(page)
        )
        assert "<img" not in page
        assert "Content-Security-Policy" in page
    assert any("&lt;img src=x onerror" in page for page in pages.values())
    index = pages[DOCS / "index.html"]
    links = re.findall(r'href="([^"]+)"', index)
    assert len(links) == 2 * len(tables.TABLES)
    assert all((DOCS / link).is_file() for link in links)
    assert re.findall(r">(\w+)</a></td><td>failed", index) == ["prompt_rows"]


def unquoted(page: str) -> str:
    """A page without its escaped text."""
    return re.sub(r"&lt;.*?&gt;", "", page)
