"""What is kept of prompts that were read, how much of it, and how it goes again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from pipeline.encoders import vector_cache
from pipeline.encoders.vector_cache import StoredReading, VectorCache, cache_folder, most_bytes
from pipeline.runtime.errors import InputError


def reading(seed: int, vectors: int = 1, width: int = 8) -> StoredReading:
    found = np.random.default_rng(seed).normal(size=(vectors, width)).astype(np.float32)
    return StoredReading(found, 10 + seed, whole=seed % 2 == 0)


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    return VectorCache(tmp_path / "cache", 10_000)


def test_what_was_put_comes_back_for_that_encoder_alone(cache: VectorCache) -> None:
    made = {f"prompt {i}": reading(i, vectors=1 + i % 3) for i in range(1201)}
    VectorCache(cache.path.parent, 10**9).put("minilm", made)
    found = cache.get("minilm", [*made, "never read"])
    assert found.keys() == made.keys()
    for text, one in made.items():
        assert (found[text].tokens, found[text].whole) == (one.tokens, one.whole)
        np.testing.assert_array_equal(found[text].vectors, one.vectors)
    assert cache.get("another", list(made)) == {}


def test_what_was_used_longest_ago_goes_first(cache: VectorCache, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = iter(range(1000, 2000))
    monkeypatch.setattr(vector_cache.time, "time", lambda: next(moment))
    each = reading(0, vectors=100).vectors.nbytes
    for text in ("a", "b", "c"):
        cache.put("e", {text: reading(0, vectors=100)})
    cache.get("e", ["a"])
    cache.most = 4 * each - 1  # of which nine tenths are left
    cache.put("e", {"d": reading(0, vectors=100)})
    assert cache.get("e", ["a", "b", "c", "d"]).keys() == {"a", "c", "d"}
    assert cache.size() == (3, 3 * each)


def test_erased_texts_are_gone_from_the_files_bytes(cache: VectorCache) -> None:
    secret, other = reading(1), reading(2)
    cache.put("e", {"secret": secret, "other": other})
    cache.put("f", {"secret": secret})
    assert secret.vectors.tobytes() in cache.path.read_bytes()
    assert cache.erase(["secret", "unknown"]) == 2
    assert secret.vectors.tobytes() not in cache.path.read_bytes()
    assert cache.get("e", ["secret", "other"]).keys() == {"other"}


def test_no_text_is_kept(cache: VectorCache) -> None:
    cache.put("e", {"my password is swordfish": reading(1)})
    assert b"swordfish" not in cache.path.read_bytes()


def test_a_damaged_file_is_told(cache: VectorCache) -> None:
    cache.path.parent.mkdir()
    cache.path.write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        cache.get("e", ["a"])


@pytest.mark.parametrize("value", ["off", "OFF ", " Off"])
def test_it_can_be_turned_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHTENDER_CACHE", value)
    assert cache_folder() is None


def test_by_default_it_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SWITCHTENDER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() is not None
    assert "switchtender" in str(cache_folder())


@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_a_bound_that_is_no_number_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHTENDER_CACHE_MB", value)
    with pytest.raises(InputError, match="whole number of megabytes"):
        most_bytes()
