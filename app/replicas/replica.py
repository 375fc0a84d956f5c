"""One replica: a pool of connections whose answers are judged, each by itself, as one URL may lead to several servers.

A statement is sent within another, which says how much the server that answers has replayed, and returns nothing unless
the server shows what the client has written: so the answer, and the judgement of it, are of one moment."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, StrEnum
from functools import lru_cache, partial
from typing import Any
from uuid import UUID
from weakref import WeakSet

import asyncpg
import structlog
from sqlalchemy import make_url

from app.db.asyncpg_internals import cut_off
from app.db.engine import connect, is_disconnection, open_database
from app.db.poolers import pooling_of
from app.db.servers import Driver, Servers
from app.db.unit_of_work import UnitOfWork
from app.errors import Overloaded
from app.monitoring.operation_log import timed_statement
from app.replicas.progress import Progress
from app.settings import Settings

SECONDS = 1.0
"""How long a query may wait for the answer of a replica."""
_STATEMENT_SECONDS = 0.9  # so that Postgres ends what is only slow, and the connection can be used again
_PROBE_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_REPLAYED = "CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint END"
_NOTHING = "SELECT NULL"
_CONFLICTS = (asyncpg.SerializationError, asyncpg.QueryCanceledError, asyncpg.DeadlockDetectedError)

log = structlog.get_logger(__name__)


class Reason(StrEnum):
    """Why the primary answers a query in place of a replica."""

    NOT_REPLAYED = "not_replayed"
    """What the client has written isn't there yet."""
    LAGGING = "lagging"
    NO_REPLICA = "no_replica"
    """The server takes writes, so it may be the primary, or a former one."""
    CONFLICT = "conflict"
    """Replay, or the time limit, ended the statement."""
    FAILED = "failed"
    """The statement fails there: it may lack a migration."""
    BROKEN = "broken"
    """The server doesn't answer."""
    LEFT_OUT = "left_out"


class Unfit(Exception):
    """A replica cannot answer this query."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class State(Enum):
    """What a replica is used for."""

    FIT = "fit"
    CLOSED = "closed"
    """Its open connections go on, if any are left, but a new one has led to a server that isn't fit."""
    OUT = "out"


class Replica:
    """A replica, which is left out from when it fails until it has been found fit again."""

    def __init__(self, url: str, settings: Settings, progress: Progress) -> None:
        self._url = make_url(url)
        self.name = f"{self._url.host or 'localhost'}:{self._url.port or 5432}"
        """Names it in metrics and in the log."""
        self._state = State.OUT
        self.lag = 0.0
        """By how many seconds its last answer was behind."""
        self._longest_lag = settings.database_replica_lag_seconds
        self._progress = progress
        self._failed = asyncio.Event()
        limited = min(_STATEMENT_SECONDS, settings.statement_timeout_seconds)
        own = settings.model_copy(update={"statement_timeout_seconds": limited})
        self._servers = Servers.of(self._url)
        self._open: WeakSet[Driver] = WeakSet()
        self.database = open_database(url, own, self._opened)

    @property
    def is_fit(self) -> bool:
        """Whether it answers queries."""
        if self._state is State.CLOSED:
            return any(not connection.is_closed() for connection in self._open)
        return self._state is State.FIT

    async def _opened(self, **arguments: Any) -> Driver:
        """Return a new connection, if it leads to a server that is fit."""
        if self._state is not State.FIT:
            raise Unfit(Reason.LEFT_OUT)
        async with asyncio.timeout(SECONDS):
            connection = await self._servers.connect(**arguments)
            try:
                self._require_fit(await connection.fetchrow(_judging(_NOTHING)))
            except BaseException as failure:
                connection.terminate()
                if isinstance(failure, Unfit):
                    self._state = State.CLOSED
                raise
        self._open.add(connection)
        return connection

    async def row(self, sql: str, parameters: Sequence[Any], tokens: Sequence[UUID]) -> Any:
        """Return the first row of a read-only statement, of a state that shows what these tokens stand for; Unfit if
        the primary must answer."""
        try:
            return await self.database.lent(partial(self._judged_row, sql, parameters, tokens))
        except Exception as failure:
            raise self._judged(failure) from failure

    async def _judged_row(self, sql: str, parameters: Sequence[Any], tokens: Sequence[UUID], driver: Driver) -> Any:
        ending = asyncio.get_running_loop().call_later(SECONDS, cut_off, driver)
        try:
            with timed_statement(sql):
                if tokens:
                    row = await driver.fetchrow(_showing(sql, len(parameters) + 1), *parameters, tokens)
                else:
                    row = await driver.fetchrow(_judging(sql), *parameters)
        finally:
            ending.cancel()
        try:
            return self._require_fit(row)
        except Unfit as unfit:
            if _is_of_server(unfit):
                driver.terminate()
            raise

    def _require_fit(self, row: Any) -> Any:
        """Return a row if the server that returned it is fit; raise Unfit if not."""
        if row is None:
            raise Unfit(Reason.NOT_REPLAYED)
        replayed = row[-1]
        if replayed is None:
            raise Unfit(Reason.NO_REPLICA)
        self.lag = self._progress.lag(replayed)
        if self.lag > self._longest_lag:
            raise Unfit(Reason.LAGGING)
        return row

    def _judged(self, failure: Exception) -> Exception:
        """Return why the primary must answer instead, and leave the replica out if that concerns it as a whole."""
        if isinstance(failure, Overloaded) and failure.__cause__ is None:
            return failure  # too many callers wait for connections: the primary shall not drown, too
        if isinstance(failure, Unfit):
            reason = failure.reason
        else:
            original = failure.__cause__ or failure
            apart = Reason.CONFLICT if isinstance(original, _CONFLICTS) else Reason.FAILED
            reason = Reason.BROKEN if is_disconnection(failure) else apart
        if reason is Reason.BROKEN:
            self._leave(str(failure) or type(failure).__name__)
        return Unfit(reason)

    @asynccontextmanager
    async def snapshot(self, work: UnitOfWork, tokens: Sequence[UUID]) -> AsyncIterator[None]:
        """Have all statements of an operation see one state, which shows what these tokens stand for. Unfit if the
        primary must run the operation."""
        ending = asyncio.get_running_loop().call_later(SECONDS, work.cut_off)
        try:
            await work.begin_snapshot()
            given = [list(tokens)] if tokens else []
            self._require_fit(await work.driver_row(_showing(_NOTHING, 1) if tokens else _judging(_NOTHING), given))
            yield
            if work.failure is not None:
                raise work.failure
        except Exception as failure:
            if _is_of_server(failure):
                work.cut_off()
            raise self._judged(failure) from failure
        finally:
            ending.cancel()
            await work.close()

    def _leave(self, reason: str) -> None:
        if self._state is not State.OUT:
            log.warning("left out a replica", server=self.name, reason=reason)
        self._state = State.OUT
        self._failed.set()

    async def watch(self) -> None:
        """Find out again and again whether the server is fit."""
        while True:
            try:
                await self._look()
            except Exception as failure:
                log.debug("a replica is not fit", server=self.name, reason=str(failure) or type(failure).__name__)
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._failed.wait(), _LOOK_SECONDS)

    async def _look(self) -> None:
        """Ask the server, and use it again if it is fit. Raise why it isn't."""
        self._failed.clear()
        if self._state is State.FIT:
            await self.row(_NOTHING, [], ())
            return
        await self._probe()
        if self._state is State.OUT:
            self.database.drop_idle()  # some may lead to a server that doesn't answer
            log.info("using a replica", server=self.name)
        self._state = State.FIT

    async def _probe(self) -> None:
        """Raise why the server isn't fit."""
        async with asyncio.timeout(_PROBE_SECONDS):
            connection = await connect(self._url, "replica check", _PROBE_SECONDS, names_statements=False)
            try:
                if not (pooling := await pooling_of(connection, self._url)).is_safe:
                    log.error("a replica is behind an unsuitable pooler", server=self.name, pooler=pooling.value)
                    raise Unfit(Reason.BROKEN)
                async with connection.transaction():
                    self._require_fit(await connection.fetchrow(_judging(_NOTHING)))
            finally:
                connection.terminate()


def _is_of_server(failure: Exception) -> bool:
    """Return whether the server that a connection leads to isn't fit, so that the connection is of no use."""
    return isinstance(failure, Unfit) and failure.reason in (Reason.LAGGING, Reason.NO_REPLICA)


@lru_cache(2_000)
def _judging(sql: str) -> str:
    """Return a statement that also returns how much the server has replayed."""
    return f"SELECT answer.*, {_REPLAYED} FROM ({sql}) AS answer"  # noqa: S608  # our own statements


@lru_cache(2_000)
def _showing(sql: str, number: int) -> str:
    """Return a statement that returns nothing unless the server shows the entries of the audit trail in its parameter
    with this number. Postgres looks for them first, so that it does nothing in vain."""
    tokens = f"${number}::uuid[]"
    shown = f"SELECT count(*) FROM audit_entries WHERE id = ANY ((SELECT {tokens})::uuid[])"  # noqa: S608
    return f"{_judging(sql)} WHERE ({shown}) = cardinality({tokens})"  # our own statements
