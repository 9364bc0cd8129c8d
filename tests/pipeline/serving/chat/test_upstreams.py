"""upstreams.yaml: a slip in it is one line that says where and what to do, and never repeats a secret."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from sandbox import ROOT

from pipeline.runtime.errors import ParamsError
from pipeline.serving.chat.upstreams import Upstreams

ENVIRONMENT = {"SMALL_KEY": "not-a-real-key-1", "GATEWAY_KEY": "not-a-real-key-2", "OTHER": "unrelated"}
GOOD = """
small:
  model: openai/gpt-4o-mini
  api_key_env: SMALL_KEY
  headers: {X-Team: legal, X-Gateway-Key: env:GATEWAY_KEY}
local:
  model: openai/qwen
  api_base: http://127.0.0.1:8000/v1
  timeout_seconds: 5
"""


def read(tmp_path: Path, text: str) -> Upstreams:
    path = tmp_path / "upstreams.yaml"
    path.write_text(text, encoding="utf-8")
    return Upstreams.read(path, ENVIRONMENT)


def test_entries_are_read_with_the_secrets_that_they_name(tmp_path: Path) -> None:
    upstreams = read(tmp_path, GOOD)
    assert list(upstreams.by_candidate) == ["small", "local"]
    assert (upstreams.key("small"), upstreams.key("local")) == ("not-a-real-key-1", None)
    assert upstreams.headers("small") == {"X-Team": "legal", "X-Gateway-Key": "not-a-real-key-2"}
    assert upstreams.by_candidate["local"].timeout_seconds == 5
    assert upstreams.by_candidate["small"].timeout_seconds == 60


def test_a_ranking_is_cut_to_those_that_can_be_reached(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).order(["legal", "local", "small", "local"]) == ["local", "small"]


def test_secrets_are_masked_and_not_shown(tmp_path: Path) -> None:
    upstreams = read(tmp_path, GOOD)
    assert upstreams.scrub("bad key not-a-real-key-1, unrelated") == "bad key ***, unrelated"
    assert "not-a-real-key" not in repr(upstreams)


def test_the_shipped_example_can_be_used() -> None:
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LEGAL_MODEL_KEY", "GATEWAY_KEY")
    upstreams = Upstreams.read(ROOT / "docs/examples/upstreams.yaml", dict.fromkeys(names, "set"))
    assert list(upstreams.by_candidate) == ["small", "large", "local", "legal"]


SLIPS = {
    "no candidate": ("# nothing\n", "names no candidate"),
    "a list": ("- small\n", "names no candidate"),
    "no YAML": ("small: {model: openai/x\n", "is not valid YAML in line 2"),
    "no entry": ("small:\n", "small: input should be"),
    "no model": ("small: {api_base: http://x}\n", "small.model: field required"),
    "no provider": ("small: {model: gpt-4o}\n", "small.model: write the provider and its model, such as openai/"),
    "misspelt": ("small: {model: openai/x, timeout: 3}\n", "unknown key 'timeout'; did you mean 'timeout_seconds'?"),
    "unlike any": ("small: {model: openai/x, zzz: 3}\n", "unknown key 'zzz'; known are model, api_base, api_key_env"),
    "no address": ("small: {model: openai/x, api_base: localhost}\n", "small.api_base: write an address"),
    "no time": ("small: {model: openai/x, timeout_seconds: 0}\n", "small.timeout_seconds: input should be greater"),
    "text for a number": ("small: {model: openai/x, max_tokens: '3'}\n", "small.max_tokens: input should be a valid"),
    "unset": ("small: {model: openai/x, api_key_env: NOWHERE}\n", "small: environment variable NOWHERE is not set"),
    "unset header": ("small: {model: openai/x, headers: {A: env:NOWHERE}}\n", "variable NOWHERE is not set"),
    "line end in a header": (
        'small: {model: openai/x, headers: {A: "b\\r\\nc: d"}}\n',
        "small.headers: 'A' is no header",
    ),
    "header of no name": ("small: {model: openai/x, headers: {'a b': c}}\n", "small.headers: 'a b' is no header"),
    "name of routing": ("auto: {model: openai/x}\n", "auto: this name asks for routing"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_line_that_names_it(tmp_path: Path, slip: str) -> None:
    text, words = SLIPS[slip]
    with pytest.raises(ParamsError) as error:
        read(tmp_path, text)
    message = str(error.value)
    assert message.startswith(str(tmp_path / "upstreams.yaml"))
    assert words in message
    assert "\n" not in message
    assert error.value.exit_code == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"is missing; docs/examples/upstreams\.yaml shows one"):
        Upstreams.read(tmp_path / "upstreams.yaml", {})


# Made up, in the forms that real ones have.
OPENAI, AWS, HEXADECIMAL = "sk-proj-Zq8Zq8Zq8Zq8Zq8Z", "AKIAZQ8ZQ8ZQ8ZQ8ZQ8Z", "0123456789abcdef0123456789abcdef"
SECRETS = {
    "key itself": (f"small: {{model: openai/x, api_key: {OPENAI}}}\n", OPENAI),
    "key for a name": (f"small: {{model: openai/x, api_key_env: {OPENAI}}}\n", OPENAI),
    "key like a name": (f"small: {{model: openai/x, api_key_env: {AWS}}}\n", AWS),
    "key of hexadecimals": (f"small: {{model: openai/x, api_key_env: {HEXADECIMAL}}}\n", HEXADECIMAL),
    "header": ("small: {model: openai/x, headers: {Authorization: hunter2}}\n", "hunter2"),
    "header of another name": ("small: {model: openai/x, headers: {X-Team: Bearer hunter2}}\n", "hunter2"),
    "password in the address": ("small: {model: openai/x, api_base: 'https://ana:hunter2@x.org'}\n", "hunter2"),
    "key in the address": ("small: {model: openai/x, api_base: 'https://x.org?key=hunter2'}\n", "hunter2"),
    "key as a key": (f"small: {{model: openai/x, {OPENAI}: 1}}\n", OPENAI),
    "key as a candidate": (f"{OPENAI}: {{model: gpt}}\n", OPENAI),
    "beside a slip": (f"small: {{model: openai/x, zzz: 1, api_key: {OPENAI}}}\n", OPENAI),
    "in broken YAML": (f"small:\n  api_key: {OPENAI}: x\n", OPENAI),
    "header without a form": (f"small: {{model: openai/x, headers: {{X-Team: {HEXADECIMAL}}}}}\n", HEXADECIMAL),
    "in an entry of another type": (f"small: [{OPENAI}]\n", OPENAI),
    "in a value of another type": (f"small: {{model: [{OPENAI}]}}\n", OPENAI),
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_refused_and_not_repeated(tmp_path: Path, case: str) -> None:
    text, secret = SECRETS[case]
    with pytest.raises(ParamsError) as error:
        read(tmp_path, text)
    assert secret not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-4o-mini-2024-07-18", "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", "together_ai/hf-internal/x"],
)
def test_names_and_addresses_are_no_secrets(tmp_path: Path, model: str) -> None:
    address = f"https://gateway.example.org/v1/{HEXADECIMAL}/openai"
    upstream = read(tmp_path, f"small: {{model: '{model}', api_base: '{address}'}}\n").by_candidate["small"]
    assert (upstream.model, upstream.api_base) == (model, address)
