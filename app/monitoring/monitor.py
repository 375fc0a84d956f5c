"""Tells of every operation that was answered: the log, and those who gather metrics and traces, if there are any."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from secrets import compare_digest
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from strawberry.types import ExecutionResult

from app.db.engine import Database
from app.db.texts import readable
from app.monitoring.operation_log import SUBSCRIPTION, Report
from app.settings import Environment, Settings

if TYPE_CHECKING:
    from app.monitoring.metrics import Metrics, Subscribers
    from app.monitoring.tracing import Tracing

PATH = "/metrics"
_LONGEST_NAME = 100
_LONGEST_STATEMENT = 5_000  # characters
_UNTRACED = nullcontext()


class Monitor:
    """What tells of the operations of this process, and of the process itself."""

    def __init__(self, settings: Settings, metrics: "Metrics | None" = None, tracing: "Tracing | None" = None) -> None:
        self._slow_seconds = settings.slow_operation_milliseconds / 1000
        self._token = settings.metrics_token
        self._metrics = metrics
        self._tracing = tracing
        self._log = structlog.get_logger(__name__).bind()  # for each line, the unbound one would assemble another

    @classmethod
    def of(cls, settings: Settings, database: Database, subscribers: "Subscribers") -> "Monitor":
        """Return the monitor that the settings ask for; what they do not ask for is not even imported."""
        metrics, tracing = None, None
        if settings.metrics_token is not None or settings.app_env is Environment.DEVELOPMENT:
            from app.monitoring.metrics import Metrics

            metrics = Metrics(database, subscribers)
        if settings.otel_exporter_otlp_endpoint is not None:
            from app.monitoring.tracing import Tracing

            tracing = Tracing(settings.otel_exporter_otlp_endpoint)
        return cls(settings, metrics, tracing)

    def tell(self, report: Report) -> None:
        """Tell of an operation that was answered."""
        seconds = perf_counter() - report.begun
        if self._metrics is not None:
            self._metrics.count(report, seconds)
        if seconds < self._slow_seconds or report.type == SUBSCRIPTION:
            self._log.info("operation", **_told(report, seconds))
        else:
            self._log.warning("operation", **_told(report, seconds), sql=statements_of(report, _LONGEST_STATEMENT))

    def span(self, report: Report) -> AbstractContextManager[None]:
        """Return what traces the operation while it runs."""
        return _UNTRACED if self._tracing is None else self._tracing.span(report)

    async def told(
        self, results: AsyncGenerator[ExecutionResult], report: Report
    ) -> AsyncGenerator[ExecutionResult, None]:
        """Yield the results of an operation that are streamed, and tell of it when it is over."""
        report.results = 0
        try:
            async with aclosing(results) as each:
                async for result in each:
                    report.results += 1
                    report.codes = codes_of(result)
                    yield result
        finally:
            self.tell(report)

    @property
    def routes(self) -> Sequence[Route]:
        """Where Prometheus asks, if it may."""
        return [] if self._metrics is None else [Route(PATH, self._show_metrics)]

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return the application with its requests traced, if they are to be."""
        return app if self._tracing is None else self._tracing.traced(app)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the process meanwhile."""
        async with nullcontext() if self._metrics is None else self._metrics.beating():
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
        return Response(await self._metrics.shown(), headers={"Content-Type": MEDIA_TYPE})


def codes_of(result: ExecutionResult) -> Sequence[Any]:
    """Return the codes of the errors of a result."""
    return [(error.extensions or {}).get("code") for error in result.errors or ()]


def _told(report: Report, seconds: float) -> dict[str, Any]:
    """Return what the log tells of an operation; its values and its document stay untold."""
    told: dict[str, Any] = {
        "request_id": report.request_id,
        "name": report.name if report.is_described and len(report.name) <= _LONGEST_NAME else _harmless(report.name),
        "type": report.type,
        "viewer": report.viewer_id,
        "path": report.path,
        "cost": report.cost,
        "statements": report.statements,
        "milliseconds": milliseconds(seconds),
        "codes": report.codes,
        "status": report.status,
    }
    if report.results is not None:
        told["results"] = report.results
    if report.trace_id is not None:
        told["trace_id"] = report.trace_id
    return told


def _harmless(name: str) -> str:
    """Return what a client calls a name as far as it is one: the rest could look like another line of the log."""
    return re.sub(r"[^_0-9A-Za-z]", "?", name[:_LONGEST_NAME])


def statements_of(report: Report, longest: int | None = None) -> list[dict[str, Any]]:
    """Return the statements of an operation, each as far as so many characters, without the values it was sent with."""
    return [
        {"sql": readable(sql)[:longest], "milliseconds": milliseconds(seconds)}
        for sql, seconds in report.statements_kept
    ]


def milliseconds(seconds: float) -> float:
    """Return a duration as it is told."""
    return round(seconds * 1000, 3)
