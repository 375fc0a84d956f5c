"""Metrics for Prometheus: the number and duration of operations of each kind, and the state of the process.

With several workers the library keeps the figures of each in a file of the directory PROMETHEUS_MULTIPROC_DIR, and any
worker answers for all."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

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

from app.db.engine import Database
from app.errors import INTERNAL
from app.monitoring.operation_log import SUBSCRIPTION, OperationLog
from app.monitoring.workers import DIRECTORY

MEDIA_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
NAMES_KEPT = 100
_LONGEST_NAME = 100

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_COSTS = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
_BEAT_SECONDS = 1.0


class Subscribers(Protocol):
    """The subscriptions of the process."""

    def __len__(self) -> int: ...

    @property
    def is_heard(self) -> bool:
        """Whether the process receives events now."""
        ...


class _Series(NamedTuple):
    """The series of one kind of operation, looked up once because the library is slow."""

    operations: Counter
    seconds: Histogram
    statements: Counter
    cost: Histogram


class Metrics:
    """The figures of this process."""

    def __init__(self, database: Database, subscribers: Subscribers) -> None:
        self._directory = os.environ.get(DIRECTORY)
        self._registry = registry = CollectorRegistry()
        kind = ("name", "type", "path")
        self._operations = Counter("orders_api_operations", "Operations answered.", (*kind, "code"), registry=registry)
        self._seconds = Histogram(
            "orders_api_operation_seconds", "How long operations took.", kind, buckets=_SECONDS, registry=registry
        )
        self._statements = Counter("orders_api_statements", "Statements sent for operations.", kind, registry=registry)
        self._cost = Histogram(
            "orders_api_operation_cost", "What operations cost.", kind, buckets=_COSTS, registry=registry
        )
        self._lag = Histogram(
            "orders_api_event_loop_lag_seconds",
            "How late the event loop came to what was due, looked at every second.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )
        self._names: set[str] = {"", OTHER}
        self._series: dict[tuple[str, str, str, str], _Series] = {}
        self._gauges: dict[Gauge, Callable[[], float]] = {
            self._gauge("pool_waiting", "Operations that wait for a connection."): lambda: database.waiting,
            self._gauge("subscribers", "Subscriptions that are followed."): lambda: len(subscribers),
            self._gauge("events_heard", "Whether events are heard.", "livemin"): lambda: subscribers.is_heard,
        }
        if isinstance(pool := database.engine.pool, QueuePool):
            self._gauges[self._gauge("pool_size", "Connections that the pool may have.")] = pool.size
            self._gauges[self._gauge("pool_checked_out", "Connections that are in use.")] = pool.checkedout
        self._process = _EachProcess(self._registry) if self._directory else None
        if self._process is None:
            ProcessCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def count(self, log: OperationLog, seconds: float) -> None:
        """Count an operation that is over."""
        code = _worst(log)
        series = self._series.get((log.name, log.type, log.path, code)) or self._find(log, code)
        series.operations.inc()
        series.statements.inc(log.statements)
        if log.cost is not None:
            series.cost.observe(log.cost)
        if log.type != SUBSCRIPTION:  # which lasts as long as the client wants
            series.seconds.observe(seconds)

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

    def _gauge(self, name: str, description: str, mode: Literal["livesum", "livemin"] = "livesum") -> Gauge:
        """Return a gauge that is the sum over all processes, or the minimum."""
        return Gauge(f"orders_api_{name}", description, registry=self._registry, multiprocess_mode=mode)

    def _sample(self) -> None:
        for gauge, value in self._gauges.items():
            gauge.set(value())
        if self._process is not None:
            self._process.sample()

    def _exposition(self) -> bytes:
        registry = self._registry
        if self._directory is not None:
            _forget_dead(Path(self._directory))
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]  # the library is untyped
        return generate_latest(registry)

    def _find(self, log: OperationLog, code: str) -> _Series:
        """Return the series of an operation. Clients choose the names, so their number is limited, and only operations
        of valid documents add one."""
        name = log.name
        if name not in self._names:
            has_space = len(self._names) < NAMES_KEPT and len(name) <= _LONGEST_NAME
            if has_space and log.is_described:
                self._names.add(name)
            else:
                name = OTHER
        key = (name, log.type, log.path, code)
        if key not in self._series:
            kind = key[:3]
            self._series[key] = _Series(
                self._operations.labels(*key),
                self._seconds.labels(*kind),
                self._statements.labels(*kind),
                self._cost.labels(*kind),
            )
        return self._series[key]


class _EachProcess:
    """Figures of each process that the library exposes for a single process only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        apart = CollectorRegistry()
        ProcessCollector(registry=apart)
        GCCollector(registry=apart)
        self._apart = apart
        self._gauges: dict[str, Gauge] = {}

    def sample(self) -> None:
        """Record the figures of this process now."""
        for metric in self._apart.collect():
            for sample in metric.samples:
                gauge = self._gauges.get(sample.name)
                if gauge is None:
                    gauge = self._gauges[sample.name] = Gauge(
                        sample.name,
                        metric.documentation,
                        tuple(sample.labels),
                        registry=self._registry,
                        multiprocess_mode="liveall",
                    )
                (gauge.labels(**sample.labels) if sample.labels else gauge).set(sample.value)


def _worst(log: OperationLog) -> str:
    """Return the code of the error that an operation is counted with, if it had any."""
    codes = log.codes
    if not codes:
        return ""
    return INTERNAL if INTERNAL in codes else str(codes[0])


def _forget_dead(directory: Path) -> None:
    """Remove the gauges of worker processes that have ended; what they counted stays."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]  # the library is untyped
