"""Price files and pools: what they say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sandbox import ROOT

from pipeline.data.pool import cost_of, eligible, eligible_matrix, named, read_pool
from pipeline.data.prices import read_prices
from pipeline.runtime.errors import InputError

PROJECT = ROOT
POOL = """\
- {name: one, usd_per_million_in: 1, usd_per_million_out: 2, context_tokens: 100, owner: us}
- {name: two, usd_per_million_in: 0, usd_per_million_out: 0, context_tokens: 50, owner: us, never_send: [Health]}
- {name: old, usd_per_million_in: 9, usd_per_million_out: 9, context_tokens: 900, owner: us, state: retired}
"""


def written(folder: Path, text: str, name: str = "file.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_the_shipped_price_file_and_pool_are_sound() -> None:
    prices = read_prices(PROJECT / "data/prices.yaml")
    assert prices.cost("gpt-4-1106-preview", 1_000_000, 500_000) == 25.0
    assert prices.label == "tokens x prices 1"
    pool = read_pool(PROJECT / "docs/examples/pool.yaml")
    assert [candidate.state for candidate in pool] == ["in_service"] * 3 + ["retired"]


def test_an_unknown_price_is_never_zero() -> None:
    prices = read_prices(PROJECT / "data/prices.yaml")
    with pytest.raises(InputError, match="no price of 'gpt-5-chatt'; did you mean 'gpt-5-chat'"):
        prices.cost("gpt-5-chatt", 1, 1)
    with pytest.raises(InputError, match="no candidate 'gpt-6'"):
        named(read_pool(PROJECT / "docs/examples/pool.yaml"), "gpt-6")


def test_a_price_list_of_routerarena_answers_to_names_as_files_have_them(tmp_path: Path) -> None:
    price = {"input_token_price_per_million": 1, "output_token_price_per_million": 2.5}
    prices = read_prices(written(tmp_path, json.dumps({"maker_swift": price, "grand": price}), "model_cost.json"))
    assert prices.cost("maker/swift", 1e6, 1e6) == 3.5
    assert prices.label.startswith("list price model_cost.json ")


HEAD = 'version: "1"\nas_of: 2026-01-02\ncandidates:\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "- {name: a, usd_per_million_in: 1, source: x}", "the price usd_per_million_out is unknown"),
        (
            HEAD + "- {name: a, usd_per_million_in: null, usd_per_million_out: 1, source: x}",
            "usd_per_million_in is unknown",
        ),
        (HEAD + "- {name: a, usd_per_million_in: 1, usd_per_million_out: 1}", "entry 1 ('a'): source: field required"),
        (HEAD + "- {name: a, usd_per_million_in: -1, usd_per_million_out: 1, source: x}", "greater than or equal to 0"),
        (HEAD + "- {name: a, usd_per_million_in: .nan, usd_per_million_out: 1, source: x}", "finite number"),
        (
            HEAD + "- {name: a, usd_per_milion_in: 1, usd_per_million_out: 1, source: x}",
            "did you mean 'usd_per_million_in'",
        ),
        (
            HEAD + "- {name: a, usd_per_million_in: 1, usd_per_million_out: 1, source: x}\n" * 2,
            "entry 2 ('a'): stands twice",
        ),
        (HEAD + "- a", "entry 1: "),
        ("version: 1\nas_of: 2026-01-02\ncandidates: [x]", "version: input should be a valid string"),
        ('version: "1"\ncandidates: [x]', "as_of: field required"),
        ("[", "not valid YAML"),
        ("", "entry: input should be a valid dictionary"),
    ],
)
def test_a_malformed_price_file_gets_one_line(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_prices(written(tmp_path, text))
    assert expected in str(refused.value), refused.value
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"m": {"input_token_price_per_million": 1}}', '{"m": 1}', "{}"])
def test_a_malformed_price_list_of_routerarena_gets_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_prices(written(tmp_path, text, "model_cost.json"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("owner: us", "owner: us, never_sent: [x]"),
            "entry 1 ('one'): unknown key 'never_sent'; did you mean 'never_send'",
        ),
        (("usd_per_million_in: 1,", ""), "entry 1 ('one'): the price usd_per_million_in is unknown"),
        (("usd_per_million_in: 1,", "usd_per_million_in: ,"), "the price usd_per_million_in is unknown"),
        (("usd_per_million_in: 1,", "usd_per_million_in: '1',"), "usd_per_million_in: input should be a valid number"),
        (("context_tokens: 100", "context_tokens: 0"), "context_tokens: input should be greater than 0"),
        (("name: two", "name: one"), "entry 2 ('one'): stands twice"),
        (("state: retired", "state: retried"), "state: input should be 'in_service' or 'retired'"),
        (("[Health]", "['']"), "a word is empty"),
        (("[Health]", "['&']"), "a word is empty"),
        (("[Health]", "['health, legal']"), "looks like several with ','"),
        (("usd_per_million_in: 1,", "usd_per_million_in: .inf,"), "input should be a finite number"),
        (("name: one", "name: 'one|two'"), "name: has the name 'one|two'"),
        (("name: one", "name: 1"), "name: input should be a valid string (found 1)"),
        (("name: two", "name: ' one '"), "stands twice"),
        (("name: two", "name: one, name: two"), "'name' stands twice"),
        (("[Health]", "Health"), "never_send: input should be a valid tuple"),
    ],
)
def test_a_malformed_pool_gets_one_line(change: tuple[str, str], expected: str, tmp_path: Path) -> None:
    assert change[0] in POOL
    path = written(tmp_path, POOL.replace(*change, 1))
    with pytest.raises(InputError) as refused:
        read_pool(path)
    assert str(refused.value).startswith(str(path))
    assert expected in str(refused.value), refused.value
    assert "\n" not in str(refused.value)


def test_a_pool_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_pool(tmp_path / "pool.yaml")
    with pytest.raises(InputError, match="not a list"):
        read_pool(written(tmp_path, "name: one"))


def test_a_name_of_the_pool_is_read_as_one_of_a_table_and_its_near_twin_is_told(tmp_path: Path) -> None:
    text = "\ufeff" + POOL.replace("name: one", "name: ' GPT 5 Mini '")
    pool = read_pool(written(tmp_path, text))
    assert named(pool, "GPT 5 Mini").usd_per_million_out == 2
    with pytest.raises(InputError, match="it differs from 'GPT 5 Mini' by characters that look alike"):
        named(pool, "gpt 5 mini")


def test_costs_of_one_prompt_and_of_many(tmp_path: Path) -> None:
    one, two, _ = read_pool(written(tmp_path, POOL))
    assert cost_of(one, 1_000_000, 500_000) == 2.0
    assert cost_of(two, 10, 10) == 0.0
    tokens_in, tokens_out = np.array([0.0, 1e6]), np.array([1e6, 0.0])
    np.testing.assert_array_equal(cost_of(one, tokens_in, tokens_out), [2.0, 1.0])


@pytest.mark.parametrize(
    ("tokens_in", "labels", "names"),
    [
        (10, (), ("one", "two")),
        (49, (), ("one", "two")),
        (50, (), ("one",)),  # no room for a token of an answer
        (99, (), ("one",)),
        (100, (), ()),
        (10, ("health",), ("one",)),
        (10, ("HEALTH ",), ("one",)),
        (10, ("healthy",), ("one", "two")),
        (10, ("health, legal",), ("one",)),
        (10, ("Legal/HEALTH",), ("one",)),
        (10, ("public health",), ("one",)),
        (10, ("hea\u200blth",), ("one",)),
        (10, ("\uff28ealth",), ("one",)),
        (10, ("publicHealth",), ("one",)),
        (10, ("heal th",), ("one",)),
        (10, ("h\u0435alth",), ("one",)),  # a Cyrillic letter that looks like a Latin one: it cannot be read
        (10, ("&",), ("one",)),
        (10, ("",), ("one",)),
        (10, ("legal", "other"), ("one", "two")),
        (60, ("health",), ("one",)),
    ],
)
def test_who_may_answer(tokens_in: int, labels: tuple[str, ...], names: tuple[str, ...], tmp_path: Path) -> None:
    assert eligible(read_pool(written(tmp_path, POOL)), tokens_in, labels) == names


def test_who_may_answer_for_many_prompts_at_once(tmp_path: Path) -> None:
    pool = read_pool(written(tmp_path, POOL))
    tokens_in, labels = np.array([10, 60, 10, 200]), [(), (), ("health",), ()]
    matrix = eligible_matrix(pool, tokens_in, labels)
    assert matrix.tolist() == [
        [True, True, False], [True, False, False], [True, False, False], [False, False, False]
    ]  # fmt: skip
    assert eligible_matrix(pool, np.zeros(0, np.int64), []).shape == (0, 3)
