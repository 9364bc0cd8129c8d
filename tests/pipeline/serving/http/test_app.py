"""The service's answers over a real connection: routing, feedback, state, and errors that name what is wrong."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from small_service import AGENTS, ASKED, Small

from pipeline.runtime.errors import InputError
from pipeline.serving.engine.decision_journal import DECISIONS, FEEDBACK, decisions_with_feedback, entries


def _route(client: httpx.Client, **body: Any) -> Any:
    response = client.post("/v1/route", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def _error(response: httpx.Response) -> dict[str, str]:
    """The error of a response, in the one form that every error has."""
    assert response.headers["X-Request-ID"]
    assert set(response.json()) == {"error"}
    error: dict[str, str] = response.json()["error"]
    assert set(error) in ({"code", "message", "request_id"}, {"code", "message", "hint", "request_id"})
    assert error["request_id"] == response.headers["X-Request-ID"]
    return error


def test_a_prompt_is_routed_with_everything_behind_the_choice(client: httpx.Client, small: Small) -> None:
    response = client.post("/v1/route", json={"prompt": ASKED})
    answer = response.json()
    (result,) = answer["results"]
    assert answer["version"] == response.headers["X-Switchtender-Version"] == "1"
    assert answer["request_id"] == response.headers["X-Request-ID"]
    assert (answer["run_key"], answer["provenance_sha256"]) == ("run-1", "1".zfill(64))
    assert (answer["policy"], result["choice_probability"]) == ("stored", 1.0)
    assert set(result["agents"]) == {"translation", "email"}
    assert result["cost_usd"] == 0.005
    assert tuple(result["scores"]) == AGENTS
    assert result["ranking"] == sorted(AGENTS, key=lambda name: -result["scores"][name])
    (expected,) = small.switch.served.engine.score([ASKED])
    assert list(result["scores"].values()) == pytest.approx(expected.quality.tolist(), abs=1e-6)


def test_the_engine_takes_no_text_that_utf8_cannot_hold(small: Small) -> None:
    with pytest.raises(InputError, match="half a surrogate pair"):
        small.switch.served.engine.score([ASKED, "x\ud83d"])


def test_many_prompts_are_answered_in_their_order(client: httpx.Client) -> None:
    prompts = [f"join two tables in sql {number}" for number in range(50)] + [ASKED] * 3
    results = _route(client, prompts=prompts)["results"]
    alone = [_route(client, prompt=prompt)["results"][0] for prompt in prompts[::20]]
    assert results[::20] == alone
    assert results[-1] == results[-2]


def test_wishes_change_the_choice_and_nothing_else(client: httpx.Client) -> None:
    plain = _route(client, prompt=ASKED)["results"][0]
    three = _route(client, prompt=ASKED, top_k=3)["results"][0]
    assert three["agents"] == three["ranking"] == plain["ranking"]
    assert three["scores"] == plain["scores"]
    none_but = _route(client, prompt=ASKED, thresholds={"translation": 1.0, "email": 0.0, "sql": 1.0})
    assert none_but["results"][0]["agents"] == ["email"]
    cheap = _route(client, prompt=ASKED, policy="budget", budget_usd=0.001)
    assert (cheap["policy"], cheap["results"][0]["agents"]) == ("budget", ["email"])


def test_where_none_reaches_its_threshold_the_likeliest_is_chosen_and_answer_and_journal_say_so(
    client: httpx.Client, small: Small
) -> None:
    high = {"translation": 1.0, "email": 0.99, "sql": 0.98}
    answer = _route(client, prompts=[ASKED, "hi"], thresholds=high)
    for result in answer["results"]:
        assert result["agents"] == result["ranking"][:1]
        assert result["below_threshold"] is True
    assert _route(client, prompt=ASKED)["results"][0]["below_threshold"] is False
    written = [e for e in entries(small.folder / DECISIONS) if e["request_id"] == answer["request_id"]]
    assert [entry["below_threshold"] for entry in written] == [True, True]


def test_evidence_is_told_where_it_is_asked_for_and_there_is_some(
    client: httpx.Client, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _route(client, prompt=ASKED, explain=True)["results"][0]["evidence"] is None
    monkeypatch.setattr(small.switch.served.engine, "explain", lambda text: {"read": text})
    told = _route(client, prompts=[ASKED, "other"], explain=True)["results"]
    assert [each["evidence"] for each in told] == [{"read": ASKED}, {"read": "other"}]
    assert _route(client, prompt=ASKED)["results"][0]["evidence"] is None


def test_of_a_dialogue_the_latest_turn_decides_unless_more_is_asked_for(client: httpx.Client) -> None:
    history = [
        {"role": "user", "content": "select the newest order"},
        {"role": "user", "content": "translate it into french"},
        {"role": "assistant", "content": "sql sql sql"},
    ]
    alone = _route(client, prompt="and mail it")["results"][0]["scores"]
    assert _route(client, prompt="and mail it", history=history)["results"][0]["scores"] == alone
    joined = _route(client, prompt="translate it into french\nand mail it")["results"][0]["scores"]
    assert joined != alone
    assert _route(client, prompt="and mail it", history=history, history_turns=1)["results"][0]["scores"] == joined


def test_each_decision_is_written_down_without_its_text(client: httpx.Client, small: Small) -> None:
    answer = _route(client, prompts=[ASKED, "mail bob"], thresholds={"sql": 0.9})
    mine = [e for e in entries(small.folder / DECISIONS) if e["request_id"] == answer["request_id"]]
    assert [entry["index"] for entry in mine] == [0, 1]
    entry, result = mine[0], answer["results"][0]
    assert (entry["scores"], entry["chosen"], entry["probability"]) == (result["scores"], result["agents"], 1.0)
    assert (entry["version"], entry["provenance_sha256"], entry["of"]) == ("1", "1".zfill(64), "route")
    assert entry["wish"] == {"top_k": None, "thresholds": {"sql": 0.9}, "budget_usd": None}
    assert entry["prompt_sha256"] == sha256(ASKED.encode()).hexdigest()
    assert 0 <= entry["margin"] <= 1
    assert 0 < entry["milliseconds"] < 60_000
    assert "contract" not in (small.folder / DECISIONS).read_text()


def test_feedback_is_joined_with_its_decision(client: httpx.Client, small: Small) -> None:
    request_id = _route(client, prompts=[ASKED, "mail bob"])["request_id"]
    said = {"request_id": request_id, "index": 1, "right": ["email"], "note": "bob was right"}
    response = client.post("/v1/feedback", json=said)
    assert (response.status_code, response.json()) == (202, {"request_id": request_id, "index": 1, "matched": True})
    (found,) = [one for one in decisions_with_feedback(small.folder) if one.decision["request_id"] == request_id]
    assert (found.decision["index"], found.feedback[0]["right"]) == (1, ["email"])
    assert (found.feedback[0]["by"], found.feedback[0]["version"]) == ("anonymous", "1")


def test_feedback_of_long_ago_is_kept_unmatched(client: httpx.Client, small: Small) -> None:
    response = client.post("/v1/feedback", json={"request_id": "0" * 32, "rating": 0.25})
    assert (response.status_code, response.json()["matched"]) == (202, False)
    assert list(entries(small.folder / FEEDBACK))[-1]["rating"] == 0.25


def test_feedback_that_cannot_be_meant_is_refused(client: httpx.Client) -> None:
    request_id = _route(client, prompt=ASKED)["request_id"]
    for said, message in (
        ({"index": 1, "accepted": True}, "that request had 1 prompts"),
        ({"right": ["emial"]}, "did you mean 'email'?"),
        ({"right": [], "rating": 1.0}, "exactly one of"),
        ({}, "exactly one of"),
        ({"rating": 1.5}, "rating"),
        ({"accepted": "yes"}, "accepted"),
    ):
        response = client.post("/v1/feedback", json={"request_id": request_id, **said})
        assert response.status_code == 422
        assert message in _error(response)["message"]


def test_the_state_is_told(client: httpx.Client) -> None:
    version = client.get("/v1/version").json()
    assert (version["version"], version["precision"], version["refused"]) == ("1", "none", None)
    agents = client.get("/v1/agents").json()
    assert [agent["name"] for agent in agents["candidates"]] == list(AGENTS)
    assert [agent["cost_usd"] for agent in agents["candidates"]] == [0.004, 0.001, 0.02]
    assert all(0 < agent["threshold"] < 1 for agent in agents["candidates"])
    assert client.get("/healthz").json() == {"alive": True}
    assert client.get("/readyz").json() == {"ready": True, "version": "1", "degraded": False, "reason": None}


def test_metrics_count_what_was_done(client: httpx.Client) -> None:
    def counted() -> dict[str, float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in families
            for sample in family.samples
        }

    before = counted()
    _route(client, prompts=["mail ana at once", ASKED])
    client.post("/v1/route", json={"prompt": ""})
    client.get("/a/path/nobody/made")
    after = counted()

    def more(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more("switchtender_requests_total[('route', '/v1/route'), ('status', '200')]") == 1
    assert more("switchtender_requests_total[('route', '/v1/route'), ('status', '422')]") == 1
    assert more("switchtender_requests_total[('route', 'other'), ('status', '404')]") == 1
    assert more("switchtender_rejected_total[('code', 'invalid_request')]") == 1
    assert more("switchtender_prompts_total[]") == 2
    assert more("switchtender_cache_hits_total[]") == 1
    assert more("switchtender_decisions_total[('candidate', 'email'), ('version', '1')]") == 2
    assert more("switchtender_decided_prompts_total[('version', '1')]") == 2
    assert more("switchtender_decision_seconds_count[('version', '1')]") == 1
    assert more("switchtender_below_threshold_total[('version', '1')]") == 0
    assert "switchtender_small_margin_total[('version', '1')]" in after
    assert after["switchtender_requests_in_flight[]"] == 1
    assert after["switchtender_ready[]"] == 1
    assert "nobody" not in str(after)
    info = next(name for name in after if name.startswith("switchtender_version_info"))
    assert "('version', '1')" in info


@pytest.mark.parametrize(
    ("body", "code", "message", "hint"),
    [
        (b"{not json", "invalid_json", "not valid JSON", "JSON object"),
        (b"", "invalid_field", "", ""),
        (b"[1, 2]", "invalid_request", "not a JSON object", "application/json"),
        (b"{}", "invalid_request", "either 'prompt' or 'prompts'", ""),
        (b'{"prompt": "a", "prompts": ["b"]}', "invalid_request", "either 'prompt' or 'prompts'", ""),
        (b'{"promt": "a"}', "unknown_field", "unknown field 'promt'", "did you mean 'prompt'?"),
        (b'{"prompt": "a", "x": 1}', "unknown_field", "unknown field 'x'", "known are prompt, prompts"),
        (b'{"prompt": 5}', "invalid_field", "prompt: input should be a valid string", ""),
        (b'{"prompt": " \\n"}', "invalid_request", "the prompt is empty", ""),
        (b'{"prompts": []}', "invalid_field", "prompts: ", ""),
        (b'{"prompts": ["a", "b\\u0000c"]}', "invalid_request", "NUL", ""),
        (b'{"prompt": "a\\ud800"}', "invalid_", "", ""),
        (b'{"prompt": "a", "policy": "cheapest"}', "invalid_field", "policy: input should be 'stored', 'best'", ""),
        (b'{"prompt": "a", "policy": "budget"}', "invalid_request", "belong together", ""),
        (b'{"prompt": "a", "budget_usd": NaN, "policy": "budget"}', "invalid_field", "budget_usd", ""),
        (b'{"prompt": "a", "top_k": 4}', "invalid_request", "top_k 4", ""),
        (b'{"prompt": "a", "top_k": "2"}', "invalid_field", "top_k", ""),
        (b'{"prompt": "a", "thresholds": {"emial": 0.5}}', "invalid_request", "did you mean 'email'?", ""),
        (b'{"prompt": "a", "history": [{"role": "robot", "content": "b"}]}', "invalid_field", "history.0.role", ""),
        (b'{"prompts": ["a"], "history": [{"role": "user", "content": "b"}]}', "invalid_request", "'history'", ""),
        (json.dumps({"prompts": ["a"] * 257}).encode(), "too_many_prompts", "257", "at most 256"),
        (json.dumps({"prompt": "a" * 100_001}).encode(), "prompt_too_long", "100001", "at most 100000"),
        (b'{"prompt": "a", "top_k": ' + b"9" * 5000 + b"}", "", "", ""),
        (b"[" * 100_000, "", "", ""),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_by_name(
    client: httpx.Client, body: bytes, code: str, message: str, hint: str
) -> None:
    response = client.post("/v1/route", content=body, headers={"Content-Type": "application/json"})
    error = _error(response)
    assert response.status_code in (400, 422)
    assert error["code"].startswith(code)
    assert message in error["message"]
    assert hint in error.get("hint", "")
    assert len(response.content) < 1000
    assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200, "the service goes on"


def test_bytes_that_are_no_text_and_other_types_are_refused(client: httpx.Client) -> None:
    bad = client.post("/v1/route", content=b'{"prompt": "\xff"}', headers={"Content-Type": "application/json"})
    assert (bad.status_code, _error(bad)["code"]) == (400, "unreadable_body")
    form = client.post("/v1/route", content=b'{"prompt": "a"}', headers={"Content-Type": "text/plain"})
    assert form.status_code == 422
    assert "application/json" in _error(form)["hint"]


def test_what_is_not_there_is_said_in_the_same_form(client: httpx.Client) -> None:
    lost = client.get("/v2/route")
    assert (lost.status_code, _error(lost)["code"]) == (404, "not_found")
    wrong = client.get("/v1/route")
    assert (wrong.status_code, _error(wrong)["code"], wrong.headers["Allow"]) == (405, "method_not_allowed", "POST")
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404, "both load from elsewhere"


def test_the_document_has_examples_that_the_service_takes(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path in ("/v1/route", "/v1/feedback"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["schema"]["$ref"]
        for name, example in content["examples"].items():
            status = client.post(path, json=example["value"]).status_code
            assert status in (200, 202), name
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}


def test_a_failure_inside_leaves_no_trace_of_itself(
    small: Small, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(prompts: object) -> None:
        raise RuntimeError(f"cannot score {prompts}")

    monkeypatch.setattr(small.switch.served.engine, "score", broken)
    response = client.post("/v1/route", json={"prompt": "a secret that nobody asked before"})
    assert (response.status_code, _error(response)["code"]) == (500, "internal_error")
    assert "score" not in response.text
    logged = capfd.readouterr().err
    assert "secret" not in logged
    failure = next(json.loads(line) for line in logged.splitlines() if '"failure"' in line)
    assert (failure["kind"], failure["request_id"]) == ("RuntimeError", response.headers["X-Request-ID"])


def test_each_request_is_logged_in_one_line_without_its_text(
    client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = _route(client, prompts=[ASKED, "mail the contract"])
    client.get("/healthz")
    (line,) = [line for line in capfd.readouterr().err.splitlines() if answer["request_id"] in line]
    assert "contract" not in line
    logged = json.loads(line)
    assert (logged["route"], logged["status"], logged["version"], logged["prompts"]) == ("/v1/route", 200, "1", 2)
    assert "healthz" not in line
