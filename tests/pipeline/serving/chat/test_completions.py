"""The chat endpoint, driven by OpenAI's own client against upstreams on loopback that answer and fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from chat_service import MESSAGES, PROMPT, SECRET, Start, entry_of
from sandbox import ROOT
from stub_upstreams import USAGE, WORDS, Stub

from pipeline.runtime.errors import InputError, ParamsError, SwitchtenderError
from pipeline.serving.chat import upstream_client as forwarding
from pipeline.serving.chat.completions import FailedAttempt, chat_router
from pipeline.serving.chat.upstreams import Upstreams

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")  # LiteLLM's own


def test_an_answer_is_passed_on_in_openais_shape(start: Start, stub: Stub) -> None:
    service = start("ok")
    raw = service.client().chat.completions.with_raw_response.create(model="switchtender", messages=MESSAGES)
    answer = raw.parse()
    assert answer.model == "ok"
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls[0].function.name == "send"
    assert answer.usage.total_tokens == USAGE["total_tokens"]
    shape = httpx.Response(200, content=raw.content).json()
    assert set(shape) == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert set(shape["choices"][0]["message"]) == {"role", "content", "refusal", "tool_calls"}
    request_id = raw.headers["x-request-id"]
    assert raw.headers["x-switchtender-version"] == "7"
    assert raw.headers["x-switchtender-candidate"] == "ok"
    assert "x-switchtender-tried" not in raw.headers
    assert service.prompts == [(PROMPT, request_id)]
    assert service.answered == [(request_id, "ok", ())]


def test_a_request_goes_on_untouched(start: Start, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    given = {
        "messages": [{"role": "system", "content": "Be brief."}, *MESSAGES],
        "temperature": 0.3,
        "max_tokens": 50,
        "tools": [{"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}],
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "verbosity": "low",
        "metadata": {"team": "legal"},
        "user": "u1",
        "logit_bias": {"42": -100},
        "not_yet_invented": {"deep": [1, None]},
    }
    start("ok").post(**given)
    (call,) = stub.calls
    assert call.body == given | {"model": "stub"}
    assert call.headers["authorization"] == f"Bearer {SECRET}"
    assert "ours" not in str(call.headers)


def test_the_environments_key_goes_nowhere_by_itself(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the key for a provider would be sent to any address that is configured without one."""
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    (tmp_path / "upstreams.yaml").write_text(f"ok: {{model: openai/stub, api_base: '{stub.base('ok')}'}}")
    forwarder = forwarding.UpstreamClient(Upstreams.read(tmp_path / "upstreams.yaml"))
    assert asyncio.run(forwarder.ask("ok", {"messages": MESSAGES}))["model"] == "ok"
    assert "of-the-environment" not in str(stub.calls[0].headers)


def test_no_field_of_a_request_turns_into_an_option_of_the_library(start: Start, stub: Stub) -> None:
    """Else a caller could have the upstream's key sent to an address of their own."""
    elsewhere = {"api_base": stub.base("theirs"), "base_url": stub.base("theirs"), "custom_llm_provider": "ollama"}
    options = {"api_key": "theirs", "mock_response": "hello", "fallbacks": ["x"], "num_retries": 3, "drop_params": True}
    more = {"extra_headers": {"a": "b"}, "model_list": [], "prompt_id": "p", "callbacks": ["langfuse"], "no-log": False}
    given = {**elsewhere, **options, **more}
    assert start("ok").post(**given).status_code == 200
    (call,) = stub.calls
    assert call.kind == "ok"
    assert call.body == {"model": "stub", "messages": MESSAGES, **given}
    assert call.headers["authorization"] == f"Bearer {SECRET}"


def test_nothing_that_a_message_names_is_fetched_from_here(start: Start, stub: Stub) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"{stub.url}/picture.png", "detail": "high"}}
    paper = {"type": "file", "file": {"file_id": f"{stub.url}/paper.pdf"}}
    text = {"type": "text", "text": PROMPT}
    tool = {"type": "mcp", "server_url": "litellm_proxy/mcp/x", "server_label": "x"}
    service = start("ok", "anthropic")
    for stream in (False, True):
        assert service.post(messages=[{"role": "user", "content": [text, picture]}], tools=[tool], stream=stream).text
    assert stub.calls[0].body["tools"] == [tool]
    for model, part in (("ok", paper), ("anthropic", picture)):
        refused = service.post(model=model, messages=[{"role": "user", "content": [text, part]}])
        assert refused.status_code == 400
    assert stub.asked() == ["ok", "ok"]


def test_the_latest_users_text_decides(start: Start) -> None:
    service = start("ok")
    parts = [
        {"type": "text", "text": "Look at this."},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "text", "text": "What is it?"},
    ]
    talk = [*MESSAGES, {"role": "user", "content": parts}, {"role": "assistant", "content": "A cat."}]
    assert service.post(messages=talk).status_code == 200
    assert [prompt for prompt, _ in service.prompts] == ["Look at this.\nWhat is it?"]


def test_a_stream_is_passed_on_as_it_arrives(start: Start, stub: Stub) -> None:
    service = start("gated")
    words: list[str | None] = []

    async def run() -> Any:
        stream = await service.async_client().chat.completions.create(
            model="auto", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in _opening(stream)]
        return stream.response.headers, chunks

    async def _opening(stream: Any) -> Any:
        async for chunk in stream:
            if chunk.choices:
                words.append(chunk.choices[0].delta.content)
            stub.gate.set()  # the upstream says its second word only now
            yield chunk

    headers, chunks = asyncio.run(run())
    assert words == [*WORDS, None]
    assert {chunk.model for chunk in chunks} == {"gated"}
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices] == [None, None, None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]
    assert headers["x-switchtender-candidate"] == "gated"
    assert headers["x-switchtender-version"] == "7"
    assert headers["content-type"].startswith("text/event-stream")


def test_a_stream_ends_as_openais_does(start: Start) -> None:
    text = start("ok").post(stream=True).text
    assert text.endswith("data: [DONE]\n\n")
    assert "usage" not in text
    assert "provider_specific_fields" not in text
    assert all(line.startswith("data: ") for line in text.split("\n\n") if line)


FAILURES = [
    ("401", "401"),
    ("403", "403"),
    ("404", "404"),
    ("408", "timeout"),
    ("429", "429"),
    ("500", "500"),
    ("503", "503"),
    ("529", "529"),
    ("slow", "timeout"),
    ("trickles", "timeout"),
    ("down", "connection"),
    ("empty", "empty"),
    ("garbage", "unreadable"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_the_next_one_steps_in_once_each_in_order(start: Start, stub: Stub, stream: bool, capfd: Any) -> None:
    failing = [kind for kind, _ in FAILURES] + (["error_first"] if stream else [])
    service = start(*failing, "ok")
    response = service.post(stream=stream)
    assert response.status_code == 200
    assert response.headers["x-switchtender-candidate"] == "ok"
    reasons = dict(pair.split("=") for pair in response.headers["x-switchtender-tried"].split(", "))
    assert list(reasons) == failing
    expected = dict(FAILURES) | ({"empty": "broke off", "error_first": "500"} if stream else {})
    assert reasons == expected
    assert stub.asked() == [kind for kind in [*failing, "ok"] if kind != "down"]
    tried = tuple(FailedAttempt(kind, reason) for kind, reason in reasons.items())
    assert service.answered == [(response.headers["x-request-id"], "ok", tried)]
    error = capfd.readouterr().err
    assert '"event": "fallback"' in error
    assert '"429": "429"' in error
    assert PROMPT not in error


def test_the_chosen_are_asked_before_the_others(start: Start, stub: Stub) -> None:
    service = start("500", "ok", "503", ranking=("500", "elsewhere", "ok", "503"), chosen=("503",))
    assert service.post().json()["model"] == "ok"
    assert stub.asked() == ["503", "500", "ok"]


def test_a_pinned_candidate_is_asked_alone(start: Start, stub: Stub) -> None:
    service = start("500", "ok")
    client = service.client()
    assert [model.id for model in client.models.list()] == ["switchtender", "500", "ok"]
    assert client.models.retrieve("ok").id == "ok"
    raw = client.chat.completions.with_raw_response.create(model="ok", messages=[{"role": "system", "content": "x"}])
    assert raw.headers["x-switchtender-candidate"] == "ok"
    with pytest.raises(openai.InternalServerError, match=r"no upstream answered: 500 \(500\)"):
        client.chat.completions.create(model="500", messages=MESSAGES)
    assert stub.asked() == ["ok", "500"]
    assert service.prompts == []


def test_an_unknown_model_is_not_found(start: Start, stub: Stub) -> None:
    client = start("ok").client()
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert error.value.code == "model_not_found"
    assert error.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt/4o")
    assert stub.calls == []


@pytest.mark.parametrize("stream", [False, True])
def test_when_all_are_down_each_is_named(start: Start, stream: bool) -> None:
    service = start("500", "down", "503")
    with pytest.raises(openai.APIStatusError) as error:
        service.client().chat.completions.create(model="auto", messages=MESSAGES, stream=stream)
    assert error.value.status_code == 502
    assert "500 (500), down (connection), 503 (503)" in error.value.message
    assert error.value.response.headers["x-switchtender-tried"] == "500=500, down=connection, 503=503"
    assert service.answered[0][1] is None


def test_without_an_upstream_for_any_candidate(start: Start, stub: Stub) -> None:
    service = start("ok", ranking=("legal", "sales"))
    with pytest.raises(openai.InternalServerError, match=r"legal, sales") as error:
        service.client().chat.completions.create(model="auto", messages=MESSAGES)
    assert (error.value.status_code, error.value.code) == (503, "no_upstream")
    assert stub.calls == []


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_request_comes_back_as_the_upstream_said(start: Start, stub: Stub, status: int, stream: bool) -> None:
    service = start(str(status), "ok")
    response = service.post(stream=stream)
    assert response.status_code == status
    said = {"message": "no, not with 'Bearer ***'", "type": "stub_error", "param": "tools", "code": "stub_code"}
    assert response.json() == {"error": said}
    assert response.headers["x-switchtender-tried"] == f"{status}={status}"
    assert stub.asked() == [str(status)]


@pytest.mark.parametrize("kind", ["breaks", "cut", "error", "stalls"])
def test_a_stream_that_breaks_says_so(start: Start, stub: Stub, kind: str, capfd: Any) -> None:
    service = start(kind, "ok")
    words: list[str | None] = []
    stream = service.client().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="stream broke"):
        words.extend(chunk.choices[0].delta.content for chunk in stream)
    assert words == [WORDS[0]]
    text = service.post(stream=True).text
    assert '"error"' in text
    assert "[DONE]" not in text
    assert '"finish_reason":"stop"' not in text
    assert stub.asked() == [kind, kind]
    assert '"event": "stream_broke"' in capfd.readouterr().err


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_while_waiting_ends_the_upstreams_call(start: Start, stub: Stub, stream: bool) -> None:
    service = start("hangs", "ok")

    async def leave() -> None:
        async with httpx.AsyncClient(timeout=20) as client, asyncio.timeout(20):
            body = {"messages": MESSAGES, "stream": stream}
            asking = asyncio.ensure_future(client.post(f"{service.url}/v1/chat/completions", json=body))
            while not stub.calls:
                await asyncio.sleep(0.01)
            asking.cancel()

    asyncio.run(leave())
    assert stub.gone.wait(10)
    assert stub.asked() == ["hangs"]


def test_a_client_that_goes_away_in_the_middle_ends_the_upstreams_call(start: Start, stub: Stub) -> None:
    with start("gated").client().chat.completions.create(model="auto", messages=MESSAGES, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.content == WORDS[0]
        assert not stub.gone.is_set()
    assert stub.gone.wait(10)


def test_an_upstream_of_another_protocol_is_translated(start: Start, stub: Stub) -> None:
    client = start("anthropic").client()
    answer = client.chat.completions.create(model="auto", messages=MESSAGES, temperature=0.5)
    assert answer.choices[0].message.content == "".join(WORDS)
    chunks = list(client.chat.completions.create(model="auto", messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "".join(WORDS)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert stub.calls[0].body["temperature"] == 0.5
    assert stub.calls[0].headers["x-api-key"] == SECRET


def test_a_tool_is_called_in_pieces(start: Start) -> None:
    client = start("tools").client()
    chunks = list(
        client.chat.completions.create(
            model="auto", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert not any(chunk.usage for chunk in chunks)  # the upstream said nothing of it, and nothing is made up
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [call.function.name for call in calls] == ["send", None]
    assert "".join(call.function.arguments for call in calls) == '{"to": "Ana"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_parameter_that_a_provider_lacks_is_left_to_the_next(start: Start, stub: Stub) -> None:
    service = start("anthropic", "ok")
    response = service.post(logit_bias={"42": -100})
    assert response.headers["x-switchtender-tried"] == "anthropic=unsupported"
    assert stub.asked() == ["ok"]
    assert stub.calls[0].body["logit_bias"] == {"42": -100}
    alone = service.post(model="anthropic", logit_bias={"42": -100})
    assert alone.status_code == 400
    assert "anthropic (unsupported)" in alone.json()["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {"max_tokens": 9}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 50}, {"max_tokens": 9}),
        ({"max_completion_tokens": 50}, {"max_completion_tokens": 9}),
        ({"max_completion_tokens": 1e5}, {"max_tokens": 9}),
        ({"max_tokens": 5, "max_completion_tokens": "100000"}, {"max_tokens": 5}),
    ],
)
def test_an_upstreams_own_limit_and_headers(start: Start, stub: Stub, asked: Any, sent: Any) -> None:
    service = start("ok", entry=", max_tokens: 9, headers: {X-Team: legal, X-Gateway-Key: env:STUB_KEY}")
    assert service.post(**asked).status_code == 200
    assert {name: value for name, value in stub.calls[0].body.items() if "max" in name} == sent
    assert stub.calls[0].headers["x-team"] == "legal"
    assert stub.calls[0].headers["x-gateway-key"] == SECRET


BAD_BODIES = {
    "not JSON": (b"{", "json"),
    "not an object": (b"[]", "body"),
    "no messages": (b"{}", "messages"),
    "empty messages": (b'{"messages": []}', "messages"),
    "messages of text": (b'{"messages": ["hi"]}', "messages.0"),
    "no user": (b'{"messages": [{"role": "system", "content": "x"}]}', "no message of role 'user'"),
    "no text": (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "no text"),
    "null text": (b'{"messages": [{"role": "user", "content": null}]}', "no text"),
    "NaN": (b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}', "NaN"),
    "half a pair": (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
    "two choices": (b'{"messages": [{"role": "user", "content": "x"}], "n": 2, "stream": true}', "choice"),
    "model of no name": (b'{"messages": [{"role": "user", "content": "x"}], "model": 3}', "model"),
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_bad_body_is_refused_in_openais_form(start: Start, stub: Stub, what: str) -> None:
    body, words = BAD_BODIES[what]
    headers = {"Content-Type": "application/json"}
    response = httpx.post(f"{start('ok').url}/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert words.lower() in error["message"].lower()
    assert stub.calls == []


@pytest.mark.parametrize(("fails", "status"), [(InputError("too long"), 400), (SwitchtenderError("not ready"), 503)])
def test_what_the_router_says_no_to(start: Start, stub: Stub, fails: Exception, status: int) -> None:
    response = start("ok", fails=fails).post()
    assert response.status_code == status
    assert response.json()["error"]["message"] == str(fails)
    assert stub.calls == []


def test_neither_secrets_nor_prompts_are_logged(
    start: Start, stub: Stub, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    service = start("401", "500", "slow", "breaks", "400", "ok", entry=", headers: {X-Gateway-Key: env:STUB_KEY}")
    answers = [
        service.post(model=kind, stream=stream) for kind in ("auto", "500", "breaks", "400") for stream in (False, True)
    ]
    told = "".join(answer.text + str(answer.headers) for answer in answers)
    out, error = capfd.readouterr()
    for text in (told, out, error, caplog.text):
        assert SECRET not in text
        assert PROMPT not in text
    assert PROMPT in str(stub.calls[0].body)


def test_the_library_keeps_to_itself(stub: Stub, tmp_path: Path) -> None:
    """In a fresh process, with everything set that would make it talk."""
    (tmp_path / ".env").write_text("FROM_A_DOT_ENV=1\n")
    (tmp_path / "upstreams.yaml").write_text(f"ok: {{{entry_of(stub, 'ok')}}}")
    talkative = {"LITELLM_LOG": "DEBUG", "LITELLM_DROP_PARAMS": "True", "LITELLM_MODE": "DEV", "STUB_KEY": SECRET}
    command = [sys.executable, "-c", FRESH, str(tmp_path / "upstreams.yaml"), PROMPT]
    environment = talkative | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "ok\n"
    assert stub.asked() == ["ok"]


FRESH = """
import asyncio, logging, os, sys
from pathlib import Path

def hook(event, args):
    if event == "socket.connect" and args[1][0] != "127.0.0.1" or event == "socket.getaddrinfo":
        print("connects to", args)

sys.addaudithook(hook)
logging.basicConfig(level="DEBUG", stream=sys.stdout, format="%(name)s %(message)s")
logging.getLogger("asyncio").setLevel("WARNING")
from pipeline.serving.chat.upstream_client import UpstreamClient, library, prepare
from pipeline.serving.chat.upstreams import Upstreams
assert "litellm" not in sys.modules
upstreams = Upstreams.read(Path(sys.argv[1]))
prepare(upstreams)
import litellm.anthropic_beta_headers_manager as betas
assert betas.reload_beta_headers_config()
assert not library().drop_params and "FROM_A_DOT_ENV" not in os.environ
body = {"messages": [{"role": "user", "content": sys.argv[2]}]}
print(asyncio.run(UpstreamClient(upstreams).ask("ok", body))["model"])
"""


def test_without_the_library_there_is_one_clear_line(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(InputError, match=r"pip install 'switchtender\[chat\]'"):
        chat_router(lambda prompt, request_id: pytest.fail("routed"), Upstreams({}))


def test_a_provider_that_the_library_does_not_know(start: Start, stub: Stub, tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "upstreams.yaml").write_text("small: {model: nobody/small, api_base: 'http://127.0.0.1:1/v1'}")
    upstreams = Upstreams.read(tmp_path / "upstreams.yaml")
    with pytest.raises(ParamsError, match=r"small\.model.*nobody/small"):
        forwarding.prepare(upstreams)
    forwarding.start_preparing(upstreams).join()
    assert '"event": "chat_not_ready"' in capfd.readouterr().err
