"""Traces: off without the environment's word, a span a request and a stage with it, and no prompt in any."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from small_service import ASKED, Shelf, Small, fit_small, running

from pipeline.runtime import tracing
from pipeline.runtime.tracing import here, is_wanted, span, trouble

USED = """
import sys
from pipeline.runtime.tracing import span, trouble, caller_of
with span("night"):
    pass
assert (trouble(), caller_of({"traceparent": "x"})) == ("", None)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    tracing._made.clear()
    tracing._failed.clear()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where spans go instead of to a collector."""
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setattr(tracing, "_new_provider", lambda: provider)
    return found


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "router"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, True),
    ],
)
def test_the_environment_says_whether_there_are_traces(
    variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_wanted() == wanted


def test_without_its_word_nothing_of_opentelemetry_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", USED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_spans_are_printed_where_the_console_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "from pipeline.runtime.tracing import span\nwith span('night', {'switchtender.track': 'agents'}): pass"
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert '"name": "night"' in told
    assert '"service.name": "switchtender"' in told
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our router")
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert '"service.name": "our router"' in told


@pytest.mark.parametrize("name", ["zipkin", "otlp"])
def test_an_exporter_that_is_not_installed_costs_the_traces_and_not_the_work(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", name)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    with span("night") as opened:
        assert opened is None
    assert "not installed" in trouble()
    assert ("switchtender[otel]" in trouble()) == (name == "otlp")


def test_a_stage_is_a_child_of_the_night_whichever_thread_runs_it(spans: InMemorySpanExporter) -> None:
    from threading import Thread

    def stage(parent: Any) -> None:
        with span("train", parent=parent):
            pass

    with span("night"):
        thread = Thread(target=stage, args=[here()])
        thread.start()
        thread.join()
    train, night = spans.get_finished_spans()
    assert train.parent.span_id == night.context.span_id


@pytest.mark.parametrize("tells", [True, False])
def test_what_fails_is_marked_with_its_message_only_where_that_may_be_told(
    spans: InMemorySpanExporter, tells: bool
) -> None:
    with pytest.raises(ValueError), span("night", tells_errors=tells):
        raise ValueError("a prompt of somebody")
    (night,) = spans.get_finished_spans()
    assert night.status.status_code.name == "ERROR"
    assert ("a prompt" in night.to_json()) == tells


def test_a_request_is_a_span_with_its_route_status_and_version_and_without_its_prompt(
    spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    service = Small(Shelf({"1": fit_small(tmp_path / "1")}, pointing="1"), tmp_path / "journal")
    service.switch.poll()
    caller = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    with running(service.app) as client:
        client.post("/v1/route", json={"prompt": ASKED}, headers=caller).raise_for_status()
        assert client.post("/v1/route", json={"prompts": []}).status_code == httpx.codes.UNPROCESSABLE_ENTITY
    service.close()
    routed, refused = spans.get_finished_spans()
    assert (routed.name, routed.kind) == ("POST /v1/route", SpanKind.SERVER)
    facts = dict(routed.attributes or {})
    assert (facts["http.route"], facts["http.response.status_code"], facts["switchtender.version"]) == (
        "/v1/route", 200, "1",
    )  # fmt: skip
    assert f"{routed.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c", "one trace with the caller's"
    assert "contract" not in routed.to_json()
    assert dict(refused.attributes or {})["http.response.status_code"] == 422
