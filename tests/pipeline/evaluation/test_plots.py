from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import plot_data
from pipeline.evaluation.plots import PICTURES, draw_all
from pipeline.metrics.multilabel import expected_calibration_error, micro_f1
from pipeline.runtime.arrays import FloatMatrix

NAMES = ("coding", "sql", "email", "legal")
PNG = b"\x89PNG\r\n\x1a\n"


def _holdout(rows: int = 40, seed: int = 3) -> tuple[np.ndarray, FloatMatrix, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.random((rows, len(NAMES))) < 0.35
    score = np.where(truth, 1.5, -2.5) + random.normal(0, 1.5, truth.shape)
    probability = (1 / (1 + np.exp(-score))).astype(np.float32)
    return truth, probability, probability > 0.4


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_picture_has_its_rows_and_is_wide_enough(tmp_path: Path) -> None:
    draw_all(*_holdout(), NAMES, tmp_path)
    files = _bytes(tmp_path)
    assert set(files) == {f"{name}.{ending}" for name in PICTURES for ending in ("csv", "png")}
    for name in PICTURES:
        png = files[f"{name}.png"]
        assert png.startswith(PNG)
        assert 900 <= int.from_bytes(png[16:20], "big") <= 1200


def test_the_same_holdout_gives_the_same_bytes_whatever_the_readers_own_settings(
    tmp_path: Path,
) -> None:
    draw_all(*_holdout(), NAMES, tmp_path / "one")
    with matplotlib.rc_context(
        {
            "font.size": 30,
            "axes.facecolor": "red",
            "savefig.dpi": 40,
            "savefig.bbox": "tight",
        }
    ):
        draw_all(*_holdout(), NAMES, tmp_path / "two")
        assert matplotlib.rcParams["font.size"] == 30
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_a_picture_names_neither_software_nor_date(tmp_path: Path) -> None:
    draw_all(*_holdout(), NAMES, tmp_path)
    for name in PICTURES:
        png = (tmp_path / f"{name}.png").read_bytes()
        assert b"tEXt" not in png
        assert b"tIME" not in png


@pytest.mark.parametrize(("rows", "agents"), [(1, 4), (40, 1), (1, 1)])
def test_one_prompt_or_one_agent_is_enough(rows: int, agents: int, tmp_path: Path) -> None:
    truth, probability, chosen = _holdout()
    part = np.s_[:rows, :agents]
    draw_all(truth[part], probability[part], chosen[part], NAMES[:agents], tmp_path)
    assert len(_bytes(tmp_path)) == 2 * len(PICTURES)


@pytest.mark.filterwarnings("error")
def test_a_holdout_that_asks_for_nothing_and_a_router_that_chooses_nothing(
    tmp_path: Path,
) -> None:
    _, probability, _ = _holdout()
    nothing = np.zeros(probability.shape, dtype=bool)
    draw_all(nothing, probability * 0, nothing, NAMES, tmp_path)
    assert pd.read_csv(tmp_path / "precision_recall.csv").empty


def test_an_agent_without_holdout_prompts_has_no_figures_and_comes_last() -> None:
    truth, _, chosen = _holdout()
    truth[:, 1] = False
    last = plot_data.per_agent(truth, chosen, NAMES).iloc[-1]
    assert last["agent"] == "sql"
    assert last["support"] == 0
    assert last[["precision", "recall", "f1"]].isna().all()


def test_agents_are_sorted_by_f1_and_one_never_chosen_has_no_precision() -> None:
    truth, _, chosen = _holdout()
    chosen[:, 2] = False
    rows = plot_data.per_agent(truth, chosen, NAMES)
    assert rows["f1"].is_monotonic_decreasing
    email = rows[rows["agent"] == "email"].iloc[0]
    assert np.isnan(email["precision"])
    assert email["f1"] == 0


def test_the_curve_passes_through_the_point_of_one_threshold() -> None:
    truth, probability, _ = _holdout()
    rows = plot_data.precision_recall(truth, probability)
    f1 = 2 * rows["precision"] * rows["recall"] / (rows["precision"] + rows["recall"])
    for index in (5, 60, 120):
        expected = micro_f1(truth, probability >= np.float32(rows["threshold"][index]) - 1e-6)
        assert f1[index] == pytest.approx(expected, abs=1e-4)
    assert rows["recall"].iloc[-1] == 1
    assert rows["recall"].is_monotonic_increasing


def test_ties_make_one_point_and_a_large_table_few() -> None:
    truth = np.array([[True], [False], [True]])
    tied = plot_data.precision_recall(truth, np.full((3, 1), 0.5, dtype=np.float32))
    assert tied.to_dict("records") == [{"threshold": 0.5, "recall": 1.0, "precision": pytest.approx(2 / 3, abs=1e-6)}]
    assert len(plot_data.precision_recall(*_holdout(rows=3000)[:2])) <= 400


def test_the_gaps_of_all_bins_average_to_the_calibration_error() -> None:
    truth, probability, _ = _holdout()
    rows = plot_data.reliability_bins(truth, probability).query("cells == 'all'")
    assert rows["share"].sum() == pytest.approx(1)
    error = (rows["share"] * (rows["frequency"] - rows["probability"]).abs()).sum()
    assert error == pytest.approx(expected_calibration_error(truth, probability), abs=1e-5)


def test_likely_cells_are_those_at_the_limit_or_above() -> None:
    truth, probability, _ = _holdout()
    rows = plot_data.reliability_bins(truth, probability).query("cells == 'likely'")
    assert rows["count"].sum() == (probability >= plot_data.LIKELY).sum()
    assert rows["share"].sum() == pytest.approx((probability >= plot_data.LIKELY).mean(), abs=1e-5)


def test_confusion_names_the_missed_agent_and_the_one_in_its_place() -> None:
    truth = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], dtype=bool)
    chosen = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]], dtype=bool)
    rows = plot_data.cooccurrence(truth, chosen, NAMES).set_index(["asked", "chosen"])
    confused = rows["confused"][rows["confused"] > 0].to_dict()
    assert confused == {
        ("coding", "sql"): 1,
        ("sql", plot_data.NONE): 1,
        (plot_data.NONE, "legal"): 1,
    }
    assert rows.loc[("coding", "coding"), "both"] == 1
    assert rows.loc[("coding", "sql"), "together"] == 1
    assert rows.loc[("coding", "coding"), "together"] == 2
