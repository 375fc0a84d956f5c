"""Traces from the request to its statements, sent over OTLP. Imported only where tracing is switched on."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    get_current_span,
)
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
from starlette.types import ASGIApp

from app.db.texts import readable
from app.errors import INTERNAL
from app.monitoring.operation_log import OperationLog

_NOT_TRACED = (r"/livez$", r"/readyz$", r"/metrics$")
_WITHOUT_EXCEPTIONS = {"record_exception": False, "set_status_on_exception": False}


class Tracing:
    """The traces of this process."""

    def __init__(self, endpoint: str) -> None:
        named = OTELResourceDetector().detect().attributes
        resource = Resource.create({"service.name": "orders-api", **named})
        self._provider = _DiscreetProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(__name__)
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "database")  # the names that are stable now
        self._instrumentor = AsyncPGInstrumentor()  # type: ignore[no-untyped-call]  # the library is untyped
        self._instrumentor.instrument(tracer_provider=self._provider)

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return the application with a span for each request, in the trace that the client names."""
        return OpenTelemetryMiddleware(app, excluded_urls=_NOT_TRACED, tracer_provider=self._provider)

    @contextmanager
    def span(self, log: OperationLog) -> Iterator[None]:
        """Make a span of an operation, or of one event of a subscription."""
        with self._tracer.start_as_current_span("operation") as span:
            log.trace_id = format_trace_id(span.get_span_context().trace_id)
            try:
                yield
            finally:
                _describe(span, log)

    def close(self) -> None:
        """Send what has not been sent yet; may take seconds."""
        self._instrumentor.uninstrument()
        self._provider.shutdown()


def _describe(span: Span, log: OperationLog) -> None:
    name = log.name if log.type else ""
    span.update_name(f"{log.type or 'operation'} {name}".rstrip())
    operation = {"graphql.operation.type": log.type, "graphql.operation.name": name}
    span.set_attributes({**operation, "orders_api.path": log.path, "orders_api.request_id": log.request_id})
    if log.codes:
        span.set_attribute("orders_api.codes", [str(code) for code in log.codes])
    if INTERNAL in log.codes:
        span.set_status(Status(StatusCode.ERROR))


class _DiscreetProvider(TracerProvider):
    """Hands out tracers that record no values."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """Return the tracer of a library."""
        return _DiscreetTracer(super().get_tracer(*args, **kwargs))


class _DiscreetTracer(Tracer):
    """Makes spans without exceptions, as Postgres and its driver quote the values that they refuse, and without the
    query of a URL, which holds the variables of a GET."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        """Start a span."""
        return self._tracer.start_span(*args, **_discreet(kwargs))

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """Start a span that is the parent of others until the context ends. A statement outside any request, such as
        a readiness check, is not worth a trace of its own."""
        if kwargs.get("kind") is SpanKind.CLIENT and not get_current_span().get_span_context().is_valid:
            return nullcontext(INVALID_SPAN)
        return self._tracer.start_as_current_span(*args, **_discreet(kwargs))


def _discreet(options: Mapping[str, Any]) -> dict[str, Any]:
    attributes = dict(options.get("attributes") or {})
    attributes.pop("url.query", None)
    for name in ("db.query.text", "db.statement"):
        if name in attributes:
            attributes[name] = readable(attributes[name])
    return {**options, **_WITHOUT_EXCEPTIONS, "attributes": attributes}
