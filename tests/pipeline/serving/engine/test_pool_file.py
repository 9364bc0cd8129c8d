"""A pool.yaml beside the service: who may answer and at what price, followed as the file changes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from small_service import AGENTS, ASKED, Shelf, Small, running

from pipeline.data.outcomes import Outcomes
from pipeline.data.pool import read_pool
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import fit_router
from pipeline.runtime.errors import InputError
from pipeline.serving.engine.engine import Engine
from pipeline.serving.engine.pool_file import PoolFile


@dataclass
class Pool:
    """A pool.yaml of the three agents that a test rewrites."""

    path: Path

    def write(self, **changes: str) -> None:
        lines = [
            f"- {{name: {name}, usd_per_million_in: 1, usd_per_million_out: 2, context_tokens: 1000, owner: us"
            f"{', ' + changes[name] if name in changes else ''}}}"
            for name in AGENTS
            if changes.get(name) != "gone"
        ]
        self.replace("\n".join(lines))

    def replace(self, text: str) -> None:
        """At a later time than before, as any later write has."""
        before = self.path.stat().st_mtime_ns if self.path.exists() else 0
        self.path.write_text(text)
        os.utime(self.path, ns=(before + 1_000_000, before + 1_000_000))


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    made = Pool(tmp_path / "pool.yaml")
    made.write()
    return made


# --- the file ---------------------------------------------------------------------------------------------------


def test_a_change_of_the_file_is_followed(pool: Pool) -> None:
    followed = PoolFile(pool.path)
    assert [entry.state for entry in followed.of(("sql", "email"))] == ["in_service"] * 2
    pool.write(sql="state: retired")
    assert [entry.name for entry in followed.of(("sql", "email"))] == ["sql", "email"]
    assert [entry.state for entry in followed.of(("sql", "email"))] == ["retired", "in_service"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: sql, usd_per_million_in: 1", "not valid YAML"),
        ("[]", "not a list"),
        ("- {name: sql, usd_per_million_in: 1, context_tokens: 9, owner: us}", "usd_per_million_out is unknown"),
        ("", "not a list"),
    ],
)
def test_a_broken_file_changes_nothing_and_is_told_once(
    text: str, said: str, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.write(sql="state: retired")
    followed = PoolFile(pool.path)
    pool.replace(text)
    for _ in range(3):
        assert followed.of(AGENTS)[2].state == "retired", "the last good pool holds"
    assert said in followed.trouble
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in told] == ["pool_refused"]
    pool.write()
    assert followed.of(AGENTS)[2].state == "in_service"
    assert followed.trouble == ""


def test_a_file_that_goes_away_and_comes_back_as_it_was_is_no_trouble_any_more(pool: Pool) -> None:
    followed = PoolFile(pool.path)
    followed.of(AGENTS)
    away = pool.path.rename(pool.path.with_suffix(".away"))
    assert len(followed.of(AGENTS)) == 3
    assert "cannot be read" in followed.trouble
    away.rename(pool.path)
    followed.of(AGENTS)
    assert followed.trouble == ""


def test_a_file_that_forgets_a_candidate_is_broken(pool: Pool) -> None:
    followed = PoolFile(pool.path)
    pool.write(sql="gone")
    assert len(followed.of(AGENTS)) == 3
    assert "the pool has no candidate 'sql'" in followed.trouble
    with pytest.raises(InputError, match="no candidate 'other'"):
        followed.of((*AGENTS, "other"))


def test_of_two_versions_each_is_judged_by_its_own_candidates(pool: Pool) -> None:
    followed = PoolFile(pool.path)
    followed.of(AGENTS)
    pool.replace(pool.path.read_text().replace("name: sql", "name: newer"))
    assert len(followed.of(AGENTS)) == 3, "the version that serves goes on with what it was given"
    assert "no candidate 'sql'" in followed.trouble
    assert [entry.name for entry in followed.of(("newer", "email"))] == ["newer", "email"]
    assert followed.trouble == ""
    assert len(followed.of(AGENTS)) == 3


def test_a_pool_that_cannot_be_used_at_the_start_stops_it(tmp_path: Path, pool: Pool) -> None:
    with pytest.raises(InputError, match="does not exist"):
        PoolFile(tmp_path / "none.yaml")
    pool.replace("[]")
    with pytest.raises(InputError, match="not a list"):
        PoolFile(pool.path)


def test_the_engine_prices_a_prompt_by_the_pool_of_the_moment(tmp_path: Path, pool: Pool) -> None:
    rows = 30
    cost = np.tile(np.array([[500e-6, 300e-6, 100e-6]], dtype=np.float32), (rows, 1))
    quality = np.random.default_rng(0).random((rows, 3)).astype(np.float32)
    prompts = tuple(f"{i:04d}" for i in range(rows))  # a token each: answers of 249.5, 149.5 and 49.5 tokens
    outcomes = Outcomes(prompts, prompts, AGENTS, quality, cost, False)
    fit_router("tfidf", outcomes, FinetuningParams(), 7, prices=read_pool(pool.path)).save(tmp_path / "router")
    engine = Engine.load(tmp_path / "router", pool=PoolFile(pool.path))
    (scored,) = engine.score(["0001"])
    assert engine.offered("0001", scored).cost == pytest.approx([500e-6, 300e-6, 100e-6])
    pool.replace(pool.path.read_text().replace("usd_per_million_out: 2", "usd_per_million_out: 4"))
    assert engine.offered("0001", scored).cost == pytest.approx([999e-6, 599e-6, 199e-6])
    assert engine.cached("0001") is scored, "what is remembered of a text holds no price of the moment"


# --- the service ------------------------------------------------------------------------------------------------


@pytest.fixture
def service(two_routers: dict[str, Path], tmp_path: Path, pool: Pool) -> Iterator[tuple[Small, httpx.Client]]:
    small = Small(Shelf(two_routers, pointing="1"), tmp_path / "journal", pool=PoolFile(pool.path))
    small.switch.poll()
    with running(small.app) as client:
        yield small, client
    small.close()


def route(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/route", json={"prompt": ASKED, **body})
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()["results"][0]
    return result


def test_retirement_labels_and_context_are_enforced_from_one_request_to_the_next(
    service: tuple[Small, httpx.Client], pool: Pool
) -> None:
    _, client = service
    assert set(route(client)["agents"]) == {"translation", "email"}
    pool.write(translation="state: retired")
    assert route(client)["agents"] == ["email"]
    assert "translation" not in route(client)["ranking"]
    assert set(route(client)["scores"]) == set(AGENTS), "the score of everybody is still told"
    pool.write(email="never_send: [health]")
    assert "email" in route(client)["agents"]
    assert "email" not in route(client, labels=["Health"])["agents"]
    assert "email" not in route(client, labels=["Health"], top_k=3)["agents"]
    pool.write(translation="note: small")
    pool.replace(pool.path.read_text().replace("context_tokens: 1000", "context_tokens: 5", 1))
    assert "translation" not in route(client)["agents"]


def test_a_decision_says_whom_the_pool_barred(service: tuple[Small, httpx.Client], pool: Pool) -> None:
    small, client = service
    pool.write(email="never_send: [health]", sql="state: retired")
    route(client, labels=["health"])
    route(client)
    lines = [json.loads(line) for line in (small.folder / "decisions.jsonl").read_text().splitlines()]
    assert [line["barred"] for line in lines] == [["email", "sql"], ["sql"]]
    assert [line["wish"].get("labels") for line in lines] == [["health"], None]


def test_where_nobody_may_answer_the_request_is_refused(service: tuple[Small, httpx.Client], pool: Pool) -> None:
    _, client = service
    pool.write(**dict.fromkeys(AGENTS, "never_send: [secret]"))
    response = client.post("/v1/route", json={"prompt": ASKED, "labels": ["secret"]})
    assert response.status_code == 422
    assert "the pool lets no candidate answer" in response.json()["error"]["message"]


def test_a_broken_pool_shows_in_health_and_metrics_though_nobody_asks(
    service: tuple[Small, httpx.Client], pool: Pool
) -> None:
    small, client = service
    assert client.get("/readyz").json()["degraded"] is False
    assert "switchtender_pool_failing 0.0" in client.get("/metrics").text
    pool.replace("- broken")
    small.switch.poll()
    health = client.get("/readyz").json()
    assert health["degraded"] is True
    assert "the pool read before holds" in health["reason"]
    assert "switchtender_pool_failing 1.0" in client.get("/metrics").text
    assert route(client)["agents"]


def test_a_version_whose_candidates_the_pool_does_not_know_is_refused(
    two_routers: dict[str, Path], tmp_path: Path, pool: Pool
) -> None:
    pool.write(sql="gone")
    small = Small(Shelf(two_routers, pointing="1"), tmp_path / "journal", pool=PoolFile(pool.path))
    small.switch.poll()
    small.close()
    assert small.switch.refused is not None
    assert "the pool has no candidate 'sql'" in small.switch.refused.reason


def test_labels_without_a_pool_are_refused(client: httpx.Client) -> None:
    response = client.post("/v1/route", json={"prompt": ASKED, "labels": ["health"]})
    assert response.status_code == 422
    assert "labels need a pool" in response.json()["error"]["message"]


def test_a_request_may_weigh_quality_against_cost(client: httpx.Client) -> None:
    body = {"prompt": ASKED, "policy": "willingness", "quality_per_usd": 1e6}
    assert client.post("/v1/route", json=body).json()["results"][0]["agents"] == ["email"], "the cheapest of the three"
    assert client.post("/v1/route", json=body).json()["policy"] == "willingness"
