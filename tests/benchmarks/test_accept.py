"""The rows and the page of TagRouter's own figures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accept import MINED, PAPERS, SHIPPED, best_other, pool_lines, settings
from benchmarks.cross_validation import CrossValidation, KeptEmbedding
from benchmarks.page import fill
from benchmarks.tags import PAPER
from pipeline.data.outcomes import Outcomes
from pipeline.routers.base.protocol import Predictions
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results" / "accept-rates.md"
SURE, UNSURE = [0.9, 0.1], [0.6, 0.5]


class Answered(CrossValidation):
    """Fitting takes minutes: every router says the same here, and the bare sums say the reverse."""

    def crossvalidated(self, label: str, make: Callable[[], Any]) -> tuple[Predictions, FloatMatrix]:
        quality = np.float32([SURE, UNSURE] * (len(self.outcomes) // 2))
        none = np.zeros_like(quality, dtype=np.bool_)
        return Predictions(self.outcomes.candidates, quality, quality.astype(np.float64), none), 1 - quality


@pytest.fixture
def shop() -> Answered:
    """Of each two prompts the small model fails at the first; it costs a fifth."""
    ids = tuple(map(str, range(40)))
    quality = np.float32([[1, 0], [1, 1]] * 20)
    cost = np.tile(np.float32([5, 1]), (40, 1))
    outcomes = Outcomes(ids, ids, ("large", "small"), quality, cost, False, folds=np.arange(40) // 8)
    return Answered(outcomes, KeptEmbedding("minilm", 128), None)


def row(lines: list[str], label: str) -> list[str]:
    (found,) = [line for line in lines if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_a_row_tells_everything_beside_the_reference(shop: Answered) -> None:
    lines = list(pool_lines(shop, settings("")))
    always = row(lines, "large always")
    assert always[1:6] == ["1.000 (1.000 to 1.000)", "0 / 40 / 0", "1.000", "1.25", "1.000"]
    other = row(lines, "small always")
    assert (other[2], other[3], other[5]) == ("0 / 20 / 20", "0.200", "0.500")
    area, accept, counts, cost, rank, quality, theta = row(lines, SHIPPED)
    assert (area, counts, cost, rank, quality) == ("0.875", "0 / 40 / 0", "0.600", "1.25", "1.000")
    assert accept.startswith("1.000")
    assert theta == "0.100 to 0.100"


def test_the_papers_scorer_is_judged_by_its_bare_sums(shop: Answered) -> None:
    lines = list(pool_lines(shop, settings("")))
    assert row(lines, PAPERS.format("our mined"))[0] == "0.625", "the reverse of what the others say"
    assert row(lines, "tags with counts")[0] == row(lines, "knn")[0] == "0.875"


def test_theta_is_swept_for_a_pair(shop: Answered) -> None:
    lines = list(pool_lines(shop, settings("")))
    start = lines.index("| theta | share to the reference | accept rate | cost |")
    assert lines[start + 2] == "| 0.000 | 1.000 | 1.000 | 1.000 |"
    assert lines[start + 3] == "| 0.100 | 0.500 | 1.000 | 0.600 |"
    assert "swept on the prompts that are judged" in lines[start - 2]


def test_the_best_other_is_of_highest_quality_but_for_the_reference(shop: Answered) -> None:
    assert [best_other(shop.outcomes, reference) for reference in (0, 1)] == [1, 0]


def test_fewer_candidates_keep_their_columns_and_what_was_made(shop: Answered) -> None:
    few = shop.among(["small", "large"])
    assert few.outcomes.quality.mean(axis=0).tolist() == [0.5, 1.0]
    assert few.outcomes.cost[0].tolist() == [1.0, 5.0]
    assert few.tagged is shop.tagged


def test_each_kind_of_tag_is_alone_on_its_row_and_written_ones_stand_in_for_phrases() -> None:
    on = {"clusters", "surface", "phrases"}
    alone = {label: on - set(changes) for label, changes in MINED.items() if label.endswith("only")}
    assert alone == {"phrases only": {"phrases"}, "surface tags only": {"surface"}, "clusters only": {"clusters"}}
    written = settings("smollm2")
    assert written["written tags only"] == {**written["phrases only"], "generator": "smollm2"}
    assert PAPER.items() <= written[PAPERS.format("written")].items()


@pytest.mark.parametrize("place", ["accept", "accept written"])
def test_the_page_has_a_place_for_each_run(place: str, tmp_path: Path) -> None:
    page = Path(shutil.copy(PAGE, tmp_path))
    fill(page, place, ["new figures"])
    assert f"<!-- {place} -->\n\nnew figures\n\n<!-- end of {place} -->" in page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="lacks"):
        fill(page, "accepted", [""])
