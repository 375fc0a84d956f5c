"""Reports every operation to the log, and to metrics and traces where they are switched on."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence, Sized
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
from app.events.log import Events
from app.monitoring.operation_log import SUBSCRIPTION, OperationLog
from app.process.connections import Connections
from app.pruning.schedule import Pruning
from app.replicas.reading import Replicas
from app.settings import Environment, Settings

if TYPE_CHECKING:
    from app.monitoring.metrics import Metrics
    from app.monitoring.tracing import Tracing

PATH = "/metrics"
_LONGEST_NAME = 100
_LONGEST_STATEMENT = 5_000  # characters
_UNTRACED = nullcontext()
_TRUST = (
    "If the peer is your proxy, list it in TRUSTED_PROXIES and have it send X-Forwarded-For. Until then, its clients "
    "count as one, and one of them can use up the attempts of all."
)


class Monitor:
    """Reports the operations of this process, and the process itself."""

    _metrics: "Metrics | None" = None
    _tracing: "Tracing | None" = None
    _has_reported_proxy = False

    def __init__(
        self,
        settings: Settings,
        database: Database,
        events: Events,
        connections: Connections,
        turns: Sized,
        replicas: Replicas,
        pruning: Pruning,
    ) -> None:
        """Set up what the settings ask for, and import nothing else."""
        self._slow_seconds = settings.slow_operation_milliseconds / 1000
        self._token = settings.metrics_token
        self._log = structlog.get_logger(__name__).bind()  # the unbound logger would assemble itself for each line
        if settings.metrics_token is not None or settings.app_env is Environment.DEVELOPMENT:
            from app.monitoring.metrics import Metrics

            self._metrics = Metrics(database, events, connections, turns, replicas, pruning)
        if settings.otel_exporter_otlp_endpoint is not None:
            from app.monitoring.tracing import Tracing

            self._tracing = Tracing(settings.otel_exporter_otlp_endpoint)

    def report(self, log: OperationLog) -> None:
        """Report an operation that is over."""
        seconds = perf_counter() - log.begun
        if self._metrics is not None:
            self._metrics.count(log, seconds)
        if seconds >= self._slow_seconds and log.type != SUBSCRIPTION:
            self._log.warning("operation", **_fields(log, seconds), sql=_statements_of(log, _LONGEST_STATEMENT))
        elif self._log.is_enabled_for(logging.INFO):
            self._log.info("operation", **_fields(log, seconds))

    def report_untrusted_proxy(self, peer: str) -> None:
        """Report that a proxy's word for the client's address isn't taken, in the log once."""
        if self._metrics is not None:
            self._metrics.untrusted_forwards.inc()
        if not self._has_reported_proxy:
            self._has_reported_proxy = True
            self._log.warning("forwarded headers ignored", peer=peer, advice=_TRUST)

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
        # A name that is in no valid document could look like another line of the log.
        "name": log.name[:_LONGEST_NAME] if log.type else re.sub(r"[^_0-9A-Za-z]", "?", log.name[:_LONGEST_NAME]),
        "type": log.type,
        "viewer": log.viewer_id,
        "path": log.path,
        "cost": log.cost,
        "statements": log.statements,
        "milliseconds": _milliseconds(seconds),
        "codes": list(log.codes),
        "status": log.status,
    }
    optional = {"client_request_id": log.client_request_id, "results": log.results, "trace_id": log.trace_id}
    return fields | {name: value for name, value in optional.items() if value is not None}


def explanation(log: OperationLog) -> dict[str, Any]:
    """Return `extensions.explain`: which path answers an operation, and its statements without their values."""
    explained = {"path": log.path, "milliseconds": _milliseconds(perf_counter() - log.begun)}
    declined = {} if log.declined is None else {"declined": log.declined}
    return {**explained, **declined, "statements": _statements_of(log)}


def _statements_of(log: OperationLog, longest: int | None = None) -> list[dict[str, Any]]:
    """Return the statements of an operation without their values, each cut to so many characters."""
    return [
        {"sql": readable(sql)[:longest], "milliseconds": _milliseconds(seconds)} for sql, seconds in log.statements_kept
    ]


def _milliseconds(seconds: float) -> float:
    """Return a duration in milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
