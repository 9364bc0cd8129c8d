"""Each public format, from a fixture in its real layout to the table that routers fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data.outcomes import read_outcomes
from pipeline.data.prices import read_prices
from pipeline.importers import FORMATS, Imported, import_outcomes

FIXTURES = Path(__file__).with_name("fixtures")
SOURCES = {
    "routerbench": "routerbench.csv",
    "routerdc": "routerdc",
    "routellm": "routellm",
    "alpacaeval": "alpacaeval",
    "llmrouterbench": "llmrouterbench",
    "routerarena": "routerarena",
}
COLUMNS = [
    "prompt_id", "prompt", "candidate", "quality", "cost", "cost_source", "tokens_in", "tokens_out", "dataset"
]  # fmt: skip
Cells = dict[tuple[str, str], float]


def imported(name: str, source: str, folder: Path, **more: Any) -> tuple[Imported, pd.DataFrame]:
    out = folder / "out.parquet"
    done = import_outcomes(name, FIXTURES / source, out, **more)
    return done, pd.read_parquet(out)


def qualities(frame: pd.DataFrame) -> Cells:
    return {(row.prompt_id, row.candidate): row.quality for row in frame.itertuples()}


def test_every_format_has_a_fixture() -> None:
    assert set(SOURCES) == set(FORMATS)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_format_comes_over_whole_and_alike_in_every_ending(name: str, ending: str, tmp_path: Path) -> None:
    out, parquet = tmp_path / f"out.{ending}", tmp_path / "same.parquet"
    done = import_outcomes(name, FIXTURES / SOURCES[name], out)
    import_outcomes(name, FIXTURES / SOURCES[name], parquet)
    outcomes, same = read_outcomes(out), read_outcomes(parquet)
    assert outcomes.candidates == same.candidates == done.candidates
    assert outcomes.prompts == same.prompts
    assert len(outcomes) == done.prompts
    np.testing.assert_array_equal(outcomes.quality, same.quality)
    np.testing.assert_array_equal(outcomes.cost, same.cost)
    assert np.isfinite(outcomes.quality).sum() == done.rows
    assert sum(done.cost_sources.values()) == done.rows
    whole = (done.prompts + done.prompts_without_outcome) * len(done.candidates + done.candidates_without_outcome)
    assert done.rows + done.missing_cells == whole
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize("name", SOURCES)
def test_the_columns_are_the_same_for_every_format(name: str, tmp_path: Path) -> None:
    _, frame = imported(name, SOURCES[name], tmp_path)
    assert list(frame.columns) == COLUMNS
    assert frame["dataset"].ne("").all()
    assert (frame["cost"].isna() == frame["cost_source"].eq("")).all()


def test_routerbench_leaves_out_what_was_not_tried_and_what_has_no_answer(tmp_path: Path) -> None:
    done, frame = imported("routerbench", "routerbench.csv", tmp_path)
    assert qualities(frame) == {
        ("sums.val.1", "vendor/small-chat"): 1.0,
        ("sums.val.1", "large-1106"): 1.0,
        ("sums.val.2", "vendor/small-chat"): 0.0,
        ("sums.val.2", "large-1106"): 1.0,
        ("chat.dev.1", "vendor/small-chat"): 0.25,
        ("chat.dev.2", "large-1106"): 0.5,
    }
    assert (done.missing_cells, done.parse_failures, done.repeated_cells) == (2, 1, 2)
    assert done.cost_sources == {"list price (RouterBench)": 6}
    assert frame["cost"].iloc[1] == 0.0021


def test_routerbench_prompts_are_the_text_that_a_person_sends(tmp_path: Path) -> None:
    _, frame = imported("routerbench", "routerbench.csv", tmp_path)
    prompts = dict(zip(frame["prompt_id"], frame["prompt"], strict=True))
    assert prompts["sums.val.2"] == "What is 9 x 9, then halved?\nAnswer with a figure."
    assert prompts["chat.dev.1"] == "Name a river.\n\nAnd its source?"
    assert prompts["chat.dev.2"] == "Tell a short tale,\nplease."


def test_routerdc_reads_shares_as_they_are_and_probabilities_as_right_or_wrong(tmp_path: Path) -> None:
    done, frame = imported("routerdc", "routerdc", tmp_path)
    found = qualities(frame)
    assert found["sums-train/1", "org/one-7B"] == 0.9
    assert found["sums-train/2", "org/two-8B"] == 0.3
    assert found["choice_test/1", "org/one-7B"] == 1.0
    assert found["choice_test/1", "org/two-8B"] == 0.0
    assert ("choice_test/3", "org/one-7B") not in found
    assert done.missing_cells == 1
    assert set(frame["dataset"]) == {"sums", "choice"}


def test_routellm_reads_every_subject_and_finds_answers_that_are_not_there(tmp_path: Path) -> None:
    done, frame = imported("routellm", "routellm", tmp_path)
    found = qualities(frame)
    assert found["mmlu_kitchen_science/2", "weak-8x7b"] == 0.0
    assert ("mmlu_kitchen_science/3", "strong-4") not in found
    assert ("gsm8k/2", "weak-8x7b") not in found
    assert (done.candidates, done.missing_cells, done.parse_failures) == (("strong-4", "weak-8x7b"), 2, 1)


def test_alpacaeval_gives_the_chance_of_being_preferred_to_the_reference(tmp_path: Path) -> None:
    done, frame = imported("alpacaeval", "alpacaeval", tmp_path)
    table = frame.pivot(index="prompt", columns="candidate", values="quality")
    assert table["reference-model"].eq(0.5).all()
    assert table.loc["How do I poach an egg?"].to_dict() == {
        "reference-model": 0.5, "large-model": 1.0, "small-model": 0.25
    }  # fmt: skip
    assert table.loc["Name three herbs.", "large-model"] == 0.5
    assert table["small-model"].isna().sum() == 2
    assert done.parse_failures == 2
    assert frame["cost"].isna().all(), "the judge's price is not the candidate's"


def test_llmrouterbench_takes_the_latest_real_run_and_no_failed_call(tmp_path: Path) -> None:
    done, frame = imported("llmrouterbench", "llmrouterbench", tmp_path)
    assert qualities(frame) == {
        ("arith/test/1", "big-flagship"): 1.0,
        ("arith/test/2", "big-flagship"): 1.0,
        ("arith/test/1", "tiny-8b"): 1.0,
        ("arith/test/2", "tiny-8b"): 0.0,
    }
    assert (done.parse_failures, done.prompts_without_outcome, done.missing_cells) == (1, 1, 2)
    assert done.cost_sources == {"": 2, "measured": 2}, "a cost of 0 is no cost"
    assert frame["tokens_out"].tolist() == [40, 60, 3, 5]


def test_llmrouterbench_lines_do_not_pass_off_filled_zeros_as_outcomes(tmp_path: Path) -> None:
    done, frame = imported("llmrouterbench", "llmrouterbench_train.jsonl", tmp_path)
    assert ("arith/2", "big-flagship") not in qualities(frame)
    assert qualities(frame)["arith/2", "tiny-8b"] == 0.0
    assert done.parse_failures == 1


def test_llmrouterbench_keeps_a_file_whose_outputs_were_not_kept(tmp_path: Path) -> None:
    """Agents' runs have no output text; then an empty one says nothing, and zeros must not be picked out."""
    source = FIXTURES / "llmrouterbench/arith/test/tiny-8b/arith-test-tiny-8b-20251002_090000.json"
    content = json.loads(source.read_text())
    for record in content["records"]:
        record |= {"raw_output": "", "completion_tokens": 0}
    changed = tmp_path / "run.json"
    changed.write_text(json.dumps(content))
    done = import_outcomes("llmrouterbench", changed, tmp_path / "out.csv")
    assert (done.rows, done.parse_failures) == (3, 0)


def test_routerarena_makes_costs_from_its_own_price_list(tmp_path: Path) -> None:
    done, frame = imported("routerarena", "routerarena", tmp_path)
    found = qualities(frame)
    assert found["Sky_4", "maker/swift-1"] == 0.0, "the first run, though it stands second"
    assert ("Life_Forms_2", "maker/swift-1") not in found
    assert ("Time_9", "grand-2") not in found
    assert (done.parse_failures, done.repeated_cells, done.missing_cells) == (1, 1, 2)
    costs = {(row.prompt_id, row.candidate): row.cost for row in frame.itertuples()}
    assert costs["Sky_4", "grand-2"] == pytest.approx(41 * 2e-6 + 200 * 10e-6)
    assert costs["Sky_4", "maker/swift-1"] == pytest.approx(40 * 0.1e-6 + 12 * 0.4e-6)
    assert [source.split()[:3] for source in done.cost_sources] == [["list", "price", "model_cost.json"]]
    assert set(frame["dataset"]) == {"Sky", "Time", "Life_Forms"}


def test_routerarena_predictions_count_only_where_they_were_judged(tmp_path: Path) -> None:
    done, frame = imported("routerarena", "routerarena_predictions.json", tmp_path)
    assert qualities(frame) == {("Sky_4", "grand-2"): 1.0, ("Sky_4", "maker/swift-1"): 0.0}
    assert done.prompts_without_outcome == 1
    assert done.cost_sources == {"": 2}, "the costs that stand there are not to be trusted"


def test_a_price_file_fills_in_costs_only_where_the_source_has_none(tmp_path: Path) -> None:
    prices = read_prices(FIXTURES / "prices.yaml")
    done, frame = imported("llmrouterbench", "llmrouterbench", tmp_path, prices=prices)
    assert done.cost_sources == {"measured": 2, "tokens x prices test-1": 2}
    costs = {(row.prompt_id, row.candidate): row.cost for row in frame.itertuples()}
    assert costs["arith/test/1", "tiny-8b"] == pytest.approx(12 * 0.1e-6 + 3 * 0.2e-6)
    assert costs["arith/test/1", "big-flagship"] == 0.00061


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_awkward_texts_come_over_unchanged(ending: str, tmp_path: Path) -> None:
    texts = [
        "a\rb",
        "a\r\nb\n",
        'say "hi", twice',
        "\u2028 line",
        "emoji 🙂 漢字",
        "nul \x00 byte",
        "=1+1",
        "NaN",
        " x ",
    ]
    rows = [{"question": text, "scores": {"m,1": 1, "m 2": 0}} for text in texts]
    (tmp_path / "odd.json").write_text(json.dumps(rows))
    import_outcomes("routerdc", tmp_path / "odd.json", tmp_path / f"out.{ending}")
    outcomes = read_outcomes(tmp_path / f"out.{ending}")
    assert outcomes.prompts == tuple(texts)
    assert outcomes.quality.tolist() == [[0.0, 1.0]] * len(texts)
