"""API keys: where they come from, what each allows, and that no secret is ever said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.runtime.errors import ParamsError
from pipeline.serving.http.auth import ANONYMOUS, ApiKeys, KeyHolder

ANA, BOB = "ana-secret-of-length-24x", "bob-secret-of-length-24x"
LINES = f"# who may what\n\nana {ANA} route,review\nbob {BOB} promote\n"


def test_without_keys_everybody_is_anonymous_and_may_everything() -> None:
    keys = ApiKeys.read("")
    assert not keys.required
    assert keys.holder(None) == keys.holder("anything") == ANONYMOUS


def test_keys_come_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys.txt").write_text(LINES)
    monkeypatch.setenv("OUR_KEYS", LINES)
    for keys in (ApiKeys.read("file:keys.txt", tmp_path), ApiKeys.read("env:OUR_KEYS")):
        assert keys.required
        assert keys.holder(ANA) == KeyHolder("ana", frozenset({"route", "review"}))
        assert keys.holder(BOB) == KeyHolder("bob", frozenset({"promote"}))
        assert keys.holder(None) is keys.holder("") is keys.holder(ANA[:-1]) is keys.holder("\ud800") is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ana", "expected `name secret rights`"),
        (f"ana {ANA} route,everything", "unknown right 'everything'"),
        (f"ana {ANA} ", "expected `name secret rights`"),
        ("ana short route", "shorter than 16"),
        (f"ana {ANA} route\nana {BOB} route", "line 2: a name or secret occurs twice"),
        (f"ana {ANA} route\nbob {ANA} route", "line 2: a name or secret occurs twice"),
        ("# nobody", "holds no key"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_without_its_secret(
    line: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEYS", line)
    with pytest.raises(ParamsError) as refused:
        ApiKeys.read("env:OUR_KEYS")
    assert said in str(refused.value)
    assert ANA not in str(refused.value)


@pytest.mark.parametrize("where", ["keys.txt", "env:", "file:", "file:/nowhere/keys.txt", "env:NOT_SET_AT_ALL"])
def test_a_place_without_keys_is_refused(where: str) -> None:
    with pytest.raises(ParamsError, match="keys"):
        ApiKeys.read(where)
