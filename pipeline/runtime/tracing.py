"""Traces by OpenTelemetry, where its environment variables ask for them; without these nothing of it is imported.

OTEL_TRACES_EXPORTER names exporters (`otlp`, `console`, or any that is installed), OTEL_EXPORTER_OTLP_ENDPOINT a
collector; the others of https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ count too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.runtime.errors import InputError, SwitchtenderError, one_line

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Attributes = Mapping[str, str | int | float | bool]
SERVICE = "switchtender"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ENTRY_POINTS = "opentelemetry_traces_exporter"
_making = threading.Lock()
_made: list[TracerProvider] = []
_failed: list[str] = []


def is_wanted() -> bool:
    """Whether the environment asks for traces."""
    return bool(_exporters())


@contextmanager
def span(
    name: str, attributes: Attributes | None = None, *, parent: Context | None = None, tells_errors: bool = True,
    is_request: bool = False,
) -> Iterator[Span | None]:  # fmt: skip
    """A span around the block, below `parent` or the span that is open here; None where no traces are wanted.

    What the block raises marks it as failed, with the message unless `tells_errors` is False. `is_request` says that
    it answers somebody from outside. Where traces cannot be made (`trouble`), the work is done without.
    """
    provider = _provider()
    if provider is None:
        yield None
        return
    from opentelemetry.trace import SpanKind

    kind = SpanKind.SERVER if is_request else SpanKind.INTERNAL
    with provider.get_tracer(SERVICE).start_as_current_span(
        name, context=parent, kind=kind, attributes=dict(attributes or {}), record_exception=tells_errors,
        set_status_on_exception=tells_errors,
    ) as opened:  # fmt: skip
        try:
            yield opened
        except BaseException as error:
            if not tells_errors:
                mark_failed(opened, type(error).__name__)
            raise


def mark_failed(opened: Span, why: str = "") -> None:
    """Mark a span as one of something that failed."""
    from opentelemetry.trace import Status, StatusCode

    opened.set_status(Status(StatusCode.ERROR, why or None))


def here() -> Context | None:
    """What is open here, as the parent of spans in another thread; None where no traces are wanted."""
    if not is_wanted():
        return None
    from opentelemetry.context import get_current

    return get_current()


def caller_of(headers: Mapping[str, str]) -> Context | None:
    """The span of another service that a request's headers name (W3C trace context)."""
    if not is_wanted():
        return None
    from opentelemetry.propagate import extract

    return extract(dict(headers))


def trouble() -> str:
    """Why there are no traces although the environment asks for them; empty where there are, or none are wanted."""
    _provider()
    return _failed[0] if _failed else ""


def _exporters() -> tuple[str, ...]:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    named = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not named:
        return ("otlp",) if any(os.environ.get(name) for name in _ENDPOINTS) else ()
    return tuple(one for name in named.split(",") if (one := name.strip()) and one != "none")


def _provider() -> TracerProvider | None:
    """Of this process, made once; it sends what waits when the process ends."""
    if not is_wanted():
        return None
    with _making:
        if not (_made or _failed):
            try:
                _made.append(_new_provider())
            except (ImportError, ValueError, SwitchtenderError) as error:
                _failed.append(one_line(error))
        return _made[0] if _made else None


def _new_provider() -> TracerProvider:
    classes = [_exporter(name) for name in _exporters()]
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # What the environment says of the service goes before our name of it.
    named = OTELResourceDetector().detect()
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: SERVICE, **named.attributes}))
    for exporter in classes:
        provider.add_span_processor(BatchSpanProcessor(exporter()))
    return provider


def _exporter(name: str) -> Any:
    """The exporter's class.

    Raises:
        InputError: it is not installed.
    """
    from importlib.metadata import entry_points

    wanted = name
    if name == "otlp":
        protocol = next((os.environ[one] for one in _PROTOCOLS if os.environ.get(one)), "http/protobuf")
        wanted = f"otlp_proto_{'grpc' if protocol == 'grpc' else 'http'}"
    found = entry_points(group=_ENTRY_POINTS, name=wanted)
    if not found:
        way = "pip install 'switchtender[otel]'" if wanted == "otlp_proto_http" else f"install its package ({wanted})"
        raise InputError(f"the environment asks for traces by '{name}', which is not installed: {way}, or unset OTEL_*")
    return next(iter(found)).load()
