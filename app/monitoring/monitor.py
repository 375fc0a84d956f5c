"""Reports every operation to the log, and to metrics and traces where they are switched on."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from secrets import compare_digest
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.db.engine import Database
from app.db.texts import readable
from app.monitoring.operation_log import SUBSCRIPTION, OperationLog
from app.settings import Environment, Settings

if TYPE_CHECKING:
    from app.monitoring.metrics import Metrics, Subscribers
    from app.monitoring.tracing import Tracing

PATH = "/metrics"
_LONGEST_NAME = 100
_LONGEST_STATEMENT = 5_000  # characters
_UNTRACED = nullcontext()


class Monitor:
    """Reports the operations of this process, and the process itself."""

    def __init__(self, settings: Settings, metrics: "Metrics | None" = None, tracing: "Tracing | None" = None) -> None:
        self._slow_seconds = settings.slow_operation_milliseconds / 1000
        self._token = settings.metrics_token
        self._metrics = metrics
        self._tracing = tracing
        self._log = structlog.get_logger(__name__).bind()  # the unbound logger would assemble itself for each line

    @classmethod
    def of(cls, settings: Settings, database: Database, subscribers: "Subscribers") -> "Monitor":
        """Return the monitor that the settings ask for, and import nothing else."""
        metrics, tracing = None, None
        if settings.metrics_token is not None or settings.app_env is Environment.DEVELOPMENT:
            from app.monitoring.metrics import Metrics

            metrics = Metrics(database, subscribers)
        if settings.otel_exporter_otlp_endpoint is not None:
            from app.monitoring.tracing import Tracing

            tracing = Tracing(settings.otel_exporter_otlp_endpoint)
        return cls(settings, metrics, tracing)

    def report(self, log: OperationLog) -> None:
        """Report an operation that is over."""
        seconds = perf_counter() - log.begun
        if self._metrics is not None:
            self._metrics.count(log, seconds)
        if seconds < self._slow_seconds or log.type == SUBSCRIPTION:
            self._log.info("operation", **_fields(log, seconds))
        else:
            self._log.warning("operation", **_fields(log, seconds), sql=statements_of(log, _LONGEST_STATEMENT))

    def span(self, log: OperationLog) -> AbstractContextManager[None]:
        """Return the span that traces the operation while it runs."""
        return _UNTRACED if self._tracing is None else self._tracing.span(log)

    @property
    def routes(self) -> Sequence[Route]:
        """The route that Prometheus scrapes, where metrics are switched on."""
        return [] if self._metrics is None else [Route(PATH, self._show_metrics)]

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return the application with its requests traced, where tracing is switched on."""
        return app if self._tracing is None else self._tracing.traced(app)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sample the process while it runs."""
        async with nullcontext() if self._metrics is None else self._metrics.sampling():
            yield
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    async def _show_metrics(self, request: Request) -> Response:
        from app.monitoring.metrics import MEDIA_TYPE

        assert self._metrics is not None, "there is a route"
        if self._token is not None:
            wanted = f"Bearer {self._token.get_secret_value()}"
            if not compare_digest(request.headers.get("authorization", "").encode(), wanted.encode()):
                return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        return Response(await self._metrics.exposition(), headers={"Content-Type": MEDIA_TYPE})


def _fields(log: OperationLog, seconds: float) -> dict[str, Any]:
    """Return the fields of an operation's line in the log; the document and its values are not among them."""
    fields: dict[str, Any] = {
        "request_id": log.request_id,
        "name": log.name if log.is_described and len(log.name) <= _LONGEST_NAME else _harmless(log.name),
        "type": log.type,
        "viewer": log.viewer_id,
        "path": log.path,
        "cost": log.cost,
        "statements": log.statements,
        "milliseconds": milliseconds(seconds),
        "codes": log.codes,
        "status": log.status,
    }
    if log.results is not None:
        fields["results"] = log.results
    if log.trace_id is not None:
        fields["trace_id"] = log.trace_id
    return fields


def _harmless(name: str) -> str:
    """Return a name from a client without what could look like another line of the log."""
    return re.sub(r"[^_0-9A-Za-z]", "?", name[:_LONGEST_NAME])


def statements_of(log: OperationLog, longest: int | None = None) -> list[dict[str, Any]]:
    """Return the statements of an operation without their values, each cut to so many characters."""
    return [
        {"sql": readable(sql)[:longest], "milliseconds": milliseconds(seconds)} for sql, seconds in log.statements_kept
    ]


def milliseconds(seconds: float) -> float:
    """Return a duration in milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
