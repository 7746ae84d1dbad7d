"""Traces: request > decode > decompose > verify > engine, as OpenTelemetry spans where an endpoint is set.

Spans carry ids, counts, modes and outcomes, and never instructions, images or what the judge wrote. The context of a
caller's `traceparent` (W3C Trace Context) is continued, and handed on to remote engines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

outgoing: ContextVar[Mapping[str, str]] = ContextVar("outgoing", default=MappingProxyType({}))
"""Headers for requests to remote engines, of whatever is being done at the time."""

Attribute = str | int | float | bool


class TracingError(ValueError):
    """Traces were asked for and cannot be made; the message says what to do."""


class Tracer(Protocol):
    """Makes spans. The current one is each task's own, and its children's parent."""

    def span(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> AbstractContextManager[Span]:
        """A span for as long as the context lasts; what is raised in it marks it failed."""

    def request(self, name: str, headers: Sequence[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        """A request's span, continuing the trace that its headers (ASGI's) are of."""

    def headers(self) -> dict[str, str]:
        """Headers that hand the current span on."""

    def close(self) -> None:
        """Send what has not been sent."""


class Span:
    """Something that is being timed; this one is not."""

    def note(self, name: str, value: Attribute) -> None:
        """Add what is only known now."""


class NoTracer:
    """Makes nothing, at no cost."""

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> Iterator[Span]:
        """Nothing."""
        yield _NOTHING

    @contextmanager
    def request(self, name: str, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Nothing."""
        yield _NOTHING

    def headers(self) -> dict[str, str]:
        """None."""
        return {}

    def close(self) -> None:
        """Nothing."""


_NOTHING = Span()


class OpenTelemetryTracer:
    """Spans by the OpenTelemetry SDK, in a provider of their own."""

    def __init__(self, exporter: SpanExporter, *, at_once: bool = False) -> None:
        """Send spans to an exporter, in batches or (for tests) at once."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        # `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win, as everywhere.
        self._provider = TracerProvider(resource=Resource.create({"service.name": "edit-rrm"}))
        self._provider.add_span_processor((SimpleSpanProcessor if at_once else BatchSpanProcessor)(exporter))
        self._tracer = self._provider.get_tracer("edit_rrm")

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> Iterator[Span]:
        """A span for as long as the context lasts; what is raised in it marks it failed."""
        with self._tracer.start_as_current_span(name, attributes=attributes) as started:
            yield _Started(started)

    @contextmanager
    def request(self, name: str, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[Span]:
        """A request's span, continuing the trace that its headers (ASGI's) are of."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
        context = TraceContextTextMapPropagator().extract(carrier)
        with self._tracer.start_as_current_span(name, context=context, kind=SpanKind.SERVER) as started:
            yield _Started(started)

    def headers(self) -> dict[str, str]:
        """Headers that hand the current span on."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return carrier

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


class _Started(Span):
    def __init__(self, span: Any) -> None:
        self._span = span

    def note(self, name: str, value: Attribute) -> None:
        """Add what is only known now."""
        self._span.set_attribute(name, value)


def tracer_for(endpoint: str | None) -> Tracer:
    """A tracer that sends to an OTLP endpoint over HTTP, such as `http://collector:4318/v1/traces`; None for no traces.

    Raises:
        TracingError: OpenTelemetry is not installed.
    """
    if endpoint is None:
        return NoTracer()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise TracingError(
            f"traces were asked for and OpenTelemetry cannot be imported ({error}): install 'edit-rrm[tracing]', or "
            "unset EDIT_RRM_OTLP_ENDPOINT"
        ) from None
    return OpenTelemetryTracer(OTLPSpanExporter(endpoint=endpoint))
