"""The OpenAPI document, fuzzed: whatever is sent, no 5xx, and answers that are as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from small_service import Shelf, Small

from pipeline.serving.engine.settings import ServeParams

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
OPERATIONS = [
    ("POST", "/v1/route"), ("POST", "/v1/feedback"), ("GET", "/v1/agents"), ("GET", "/v1/version"),
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"),
]  # fmt: skip
fuzzed = settings(
    max_examples=80,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def document(two_routers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    params = ServeParams(host="testserver")  # the name under which the fuzzer calls
    service = Small(Shelf(two_routers, pointing="1"), tmp_path_factory.mktemp("fuzz"), params)
    service.switch.poll()
    yield schemathesis.openapi.from_asgi("/openapi.json", service.app)
    service.close()


def test_every_route_is_fuzzed(document: Any) -> None:
    raw = document.raw_schema["paths"]
    assert {(method.upper(), path) for path, methods in raw.items() for method in methods} == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_that_is_sent_breaks_the_service(document: Any, method: str, path: str) -> None:
    operation = document[path][method]
    statuses = set()

    def send(case: Any) -> None:
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if method == "POST" else (GenerationMode.POSITIVE,):
        fuzzed(given(case=operation.as_strategy(generation_mode=mode))(send))()
    assert statuses & {200, 202, 422}
    if method == "POST":
        assert 422 in statuses
