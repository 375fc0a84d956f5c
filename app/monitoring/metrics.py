"""Metrics for Prometheus: the number and duration of operations of each kind, and the state of the process.

With several workers the library keeps the figures of each in a file of the directory PROMETHEUS_MULTIPROC_DIR, and any
worker answers for all."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from sqlalchemy.pool import QueuePool
from stamina import retry

from app.db.engine import Database
from app.errors import INTERNAL
from app.events.log import Events
from app.monitoring.operation_log import SUBSCRIPTION, OperationLog
from app.monitoring.workers import DIRECTORY
from app.process.connections import Connections
from app.pruning.catalog import LOGS
from app.pruning.schedule import Pruning
from app.replicas.reading import Replicas
from app.security import passwords

MEDIA_TYPE = CONTENT_TYPE_LATEST
UNTRUSTED_FORWARDS = "orders_api_untrusted_forwards"
OTHER = "other"
NAMES_KEPT = 100
_LONGEST_NAME = 100

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_COSTS = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
_BEAT_SECONDS = 1.0

Series = tuple[Counter, Histogram, Counter, Histogram]


class Metrics:
    """The figures of this process."""

    def __init__(
        self,
        database: Database,
        events: Events,
        connections: Connections,
        turns: Sized,
        replicas: Replicas,
        pruning: Pruning,
    ) -> None:
        self._directory = os.environ.get(DIRECTORY)
        self._registry = registry = CollectorRegistry()
        kind = ("name", "type", "path")
        self._operations = Counter("orders_api_operations", "Operations answered.", (*kind, "code"), registry=registry)
        self._seconds = Histogram(
            "orders_api_operation_seconds",
            "Duration of queries and mutations.",
            kind,
            buckets=_SECONDS,
            registry=registry,
        )
        self._statements = Counter("orders_api_statements", "Statements sent for operations.", kind, registry=registry)
        self._cost = Histogram(
            "orders_api_operation_cost", "Cost of operations, in points.", kind, buckets=_COSTS, registry=registry
        )
        self._lag = Histogram(
            "orders_api_event_loop_lag_seconds",
            "Event loop lag, measured every second.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )
        self.untrusted_forwards = Counter(
            UNTRUSTED_FORWARDS, "Requests with forwarded headers of a proxy that is not trusted.", registry=registry
        )
        self._names: set[str] = {"", OTHER}
        self._series: dict[tuple[str, str, str, str], Series] = {}
        """Those of each kind of operation, looked up once because the library is slow."""
        self._gauges = {
            **self._sampled(database, events, connections, turns),
            **self._of_replicas(replicas),
            **self._ahead(pruning),
        }
        self._totals = (
            (self._counter("connections_refused", "Connections refused, by the limit.", "limit"), connections.refused),
            (
                self._counter("connections_timed_out", "Connections closed, by what took too long.", "what"),
                connections.timed_out,
            ),
            (
                self._counter("reads", "Queries that were read from the database, by its server.", "server"),
                replicas.queries,
            ),
            (
                self._counter(
                    "replica_fallbacks",
                    "Queries that the primary answered instead of a replica, by the reason.",
                    "reason",
                ),
                replicas.fallbacks,
            ),
            (
                self._counter("pruned", "Rows deleted because they are old, without those of partitions.", "kind"),
                pruning.rows,
            ),
        )
        self._counted: dict[tuple[Counter, str], int] = {}
        # With several workers the library exposes no figures of each process, so they are sampled into gauges.
        self._process = registry if self._directory is None else CollectorRegistry()
        self._process_gauges: dict[str, Gauge] = {}
        ProcessCollector(registry=self._process)
        GCCollector(registry=self._process)

    def count(self, log: OperationLog, seconds: float) -> None:
        """Count an operation that is over."""
        code = INTERNAL if INTERNAL in log.codes else str(next(iter(log.codes), ""))
        found = self._series.get((log.name, log.type, log.path, code)) or self._find(log, code)
        operations, durations, statements, costs = found
        operations.inc()
        statements.inc(log.statements)
        if log.cost is not None:
            costs.observe(log.cost)
        if log.type != SUBSCRIPTION:  # which lasts as long as the client wants
            durations.observe(seconds)

    async def exposition(self) -> bytes:
        """Return the figures of all processes in the format of Prometheus."""
        self._sample()
        return await asyncio.to_thread(self._exposition)  # thousands of lines must not hold up operations

    @asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Sample the process every second."""
        task = asyncio.create_task(self._sample_forever(), name="metrics")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _sample_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._sample()
            due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._lag.observe(loop.time() - due)

    def _sampled(
        self, database: Database, events: Events, connections: Connections, turns: Sized
    ) -> dict[Gauge, Callable[[], float]]:
        """Return the gauges of the state of the process, and what reads each."""
        heard = self._gauge("events_heard", "1 if every process receives events from Postgres.", "livemin")
        waiting = self._gauge("events_waiting", "Committed events that nobody has announced.", "livemax")
        oldest = self._gauge("events_oldest_seconds", "Age of the oldest event that nobody has announced.", "livemax")
        position = self._gauge("events_position", "Position of the last batch of events.", "livemax")
        gauges: dict[Gauge, Callable[[], float]] = {
            self._gauge("pool_waiting", "Operations waiting for a connection."): lambda: database.waiting,
            self._gauge("subscribers", "Active subscriptions."): lambda: len(events),
            heard: lambda: events.is_heard,
            waiting: lambda: events.backlog.waiting,
            oldest: lambda: events.backlog.oldest,
            position: lambda: events.position,
            self._gauge("reads_waiting", "Reads for subscriptions that wait for their turn."): lambda: len(turns),
            self._gauge("connections", "Open connections."): lambda: len(connections),
            self._gauge("connection_limit", "Maximum number of open connections."): lambda: connections.limits.in_all,
            self._gauge("hashing_waiting", "Passwords being hashed, or waiting for it."): passwords.waiting,
        }
        if isinstance(pool := database.engine.pool, QueuePool):
            gauges[self._gauge("pool_size", "Maximum number of connections in the pool.")] = pool.size
            gauges[self._gauge("pool_checked_out", "Connections in use.")] = pool.checkedout
        return gauges

    def _of_replicas(self, replicas: Replicas) -> dict[Gauge, Callable[[], float]]:
        if not replicas:
            return {}
        lag = self._gauge("replica_lag_seconds", "How far the last replica is behind the primary, at most.", "livemax")
        fit = self._gauge("replicas_fit", "Replicas that answer queries of every process.", "livemin")
        number = self._gauge("replicas", "Replicas in DATABASE_REPLICA_URLS.", "livemax")
        return {lag: lambda: replicas.lag, fit: lambda: replicas.fit, number: lambda: len(replicas)}

    def _ahead(self, pruning: Pruning) -> dict[Gauge, Callable[[], float]]:
        """Return the gauges of how far ahead there are partitions, and what reads each."""
        gauge = Gauge(
            "orders_api_partitions_ahead_days",
            "For how many days there are partitions.",
            ("table",),
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        return {gauge.labels(table): partial(pruning.days_ahead, table) for table in LOGS}

    def _gauge(self, name: str, description: str, mode: Literal["livesum", "livemin", "livemax"] = "livesum") -> Gauge:
        """Return a gauge that is the sum over all processes, the minimum or the maximum."""
        return Gauge(f"orders_api_{name}", description, registry=self._registry, multiprocess_mode=mode)

    def _counter(self, name: str, description: str, label: str) -> Counter:
        return Counter(f"orders_api_{name}", description, (label,), registry=self._registry)

    def _sample(self) -> None:
        for gauge, value in self._gauges.items():
            gauge.set(value())
        for counter, figures in self._totals:
            for kind, total in figures.items():
                counter.labels(kind).inc(total - self._counted.get((counter, kind), 0))
                self._counted[counter, kind] = total
        if self._process is self._registry:
            return
        for metric in self._process.collect():
            for name, labels, number, *_ in metric.samples:
                if name not in self._process_gauges:
                    self._process_gauges[name] = Gauge(
                        name, metric.documentation, tuple(labels), registry=self._registry, multiprocess_mode="liveall"
                    )
                gauge = self._process_gauges[name]
                (gauge.labels(**labels) if labels else gauge).set(number)

    def _exposition(self) -> bytes:
        if self._directory is None:
            return generate_latest(self._registry)
        _forget_dead(Path(self._directory))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]  # the library is untyped
        return _exposed(registry)

    def _find(self, log: OperationLog, code: str) -> Series:
        """Return the series of an operation. Clients choose the names, so their number is limited, and only operations
        of valid documents add one."""
        name = log.name
        if name not in self._names:
            has_space = len(self._names) < NAMES_KEPT and len(name) <= _LONGEST_NAME
            if has_space and log.type:
                self._names.add(name)
            else:
                name = OTHER
        key = (name, log.type, log.path, code)
        if key not in self._series:
            kind = key[:3]
            self._series[key] = (
                self._operations.labels(*key),
                self._seconds.labels(*kind),
                self._statements.labels(*kind),
                self._cost.labels(*kind),
            )
        return self._series[key]


@retry(on=struct.error, attempts=5, wait_initial=0.02)
def _exposed(registry: CollectorRegistry) -> bytes:
    """Return the figures of all processes; the file of one that is just starting is empty for a moment."""
    return generate_latest(registry)


def _forget_dead(directory: Path) -> None:
    """Remove the gauges of worker processes that have ended; what they counted stays."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]  # the library is untyped
