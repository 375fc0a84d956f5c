"""One replica: a pool of connections whose answers are judged, each by itself, as one URL may lead to several servers.

A statement is sent within another, which says how much the server that answers has replayed, and returns nothing unless
the server shows what the client has written: so the answer, and the judgement of it, are of one moment."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from math import inf
from typing import Any
from uuid import UUID
from weakref import WeakSet

import asyncpg
import structlog
from sqlalchemy import make_url

from app.db.asyncpg_internals import cut_off
from app.db.engine import cause_of, connect, is_disconnection, open_database
from app.db.models import AuditEntry
from app.db.poolers import pooling_of
from app.db.server_settings import startup_parameters
from app.db.servers import Driver, Servers
from app.db.unit_of_work import UnitOfWork
from app.errors import Overloaded
from app.monitoring.operation_log import timed_statement
from app.replicas.progress import Progress
from app.settings import Settings

ANSWER_SECONDS = 1.0
"""How long a statement may wait for the answer of a replica."""
_STATEMENT_SECONDS = 0.9  # so that Postgres ends what is only slow, and the connection can be used again
_LOOK_SECONDS = 1.0
_CONFLICTS_IN_A_ROW, _REST_SECONDS = 3, 10.0
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
    FULL = "full"
    """It has no connections left."""
    BROKEN = "broken"
    """The server doesn't answer."""
    LEFT_OUT = "left_out"


class Unfit(Exception):
    """A replica cannot answer this query."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def is_of_connection(self) -> bool:
        """Whether the connection leads to a server that can answer none."""
        return self.reason in (Reason.LAGGING, Reason.NO_REPLICA)


class Replica:
    """A replica. If a new connection leads to no fit server, those that are open go on, and no more are opened until a
    probe has succeeded; if the server doesn't answer, all of them are closed."""

    def __init__(self, url: str, settings: Settings, progress: Progress) -> None:
        self._url = make_url(url)
        self.name = f"{self._url.host or 'localhost'}:{self._url.port or 5432}"
        """Names it in metrics and in the log."""
        self.lag = inf
        """By how many seconds its last answer was behind, at most."""
        self._longest_lag = settings.database_replica_lag_seconds
        self._progress = progress
        self._may_open = False
        self._open: WeakSet[Driver] = WeakSet()
        self._conflicts = 0
        """How many statements in a row were ended there."""
        self._out_until = 0.0
        self._why_out: str | None = None
        limited = min(_STATEMENT_SECONDS, settings.statement_timeout_seconds)
        self._settings = settings.model_copy(update={"statement_timeout_seconds": limited})
        self._servers = Servers.of(self._url)
        self.database = open_database(url, self._settings, self._opened, answer_seconds=ANSWER_SECONDS)

    @property
    def is_fit(self) -> bool:
        """Whether it answers queries."""
        return self._may_open or any(not connection.is_closed() for connection in self._open)

    async def row(self, sql: str, parameters: Sequence[Any], tokens: Sequence[UUID]) -> Any:
        """Return the first row of a read-only statement, of a state that shows what these tokens stand for; Unfit if
        the primary must answer."""
        row = await self._answer(sql, parameters, tokens)
        self._conflicts = 0
        return row

    async def _answer(self, sql: str, parameters: Sequence[Any], tokens: Sequence[UUID]) -> Any:
        try:
            return await self.database.lent(partial(self._judged_row, sql, parameters, tokens))
        except Exception as failure:
            raise self._judged(failure) from failure

    async def _judged_row(self, sql: str, parameters: Sequence[Any], tokens: Sequence[UUID], driver: Driver) -> Any:
        ending = asyncio.get_running_loop().call_later(ANSWER_SECONDS, cut_off, driver)
        try:
            with timed_statement(sql):
                if tokens:
                    row = await driver.fetchrow(_if_shown(sql, len(parameters) + 1), *parameters, tokens)
                else:
                    row = await driver.fetchrow(_with_progress(sql), *parameters)
        finally:
            ending.cancel()
        try:
            return self._require_fit(row)
        except Unfit as unfit:
            if unfit.is_of_connection:
                driver.terminate()
            raise

    @asynccontextmanager
    async def snapshot(self, work: UnitOfWork, tokens: Sequence[UUID]) -> AsyncIterator[None]:
        """Have all statements of an operation see one state, which shows what these tokens stand for. Unfit if the
        primary must run the operation."""
        try:
            await work.begin_snapshot()
            sql = _if_shown(_NOTHING, 1) if tokens else _with_progress(_NOTHING)
            self._require_fit(await work.driver_row(sql, [tokens] if tokens else []))
            yield
            if work.failure is not None:
                raise work.failure
            self._conflicts = 0
        except Exception as failure:
            if isinstance(failure, Unfit) and failure.is_of_connection:
                work.cut_off()
            # Replay closes the connection of a transaction in its way that waits for the next statement.
            raise self._judged(failure, is_conflict=work.was_closed) from failure
        finally:
            await work.close()

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

    def _judged(self, failure: Exception, *, is_conflict: bool = False) -> Exception:
        """Return why the primary must answer instead, and leave the replica out if that concerns it as a whole."""
        if isinstance(failure, Overloaded) and failure.__cause__ is None:
            return failure  # too many callers wait for connections: the primary shall not drown, too
        reason = self._reason(failure, is_conflict=is_conflict)
        if reason is Reason.BROKEN:
            self._leave(str(failure) or type(failure).__name__)
        elif reason is Reason.CONFLICT:
            self._conflicts += 1
            if self._conflicts >= _CONFLICTS_IN_A_ROW:
                self._leave("statements wait for replay, or take too long", _REST_SECONDS)
        return Unfit(reason)

    def _reason(self, failure: Exception, *, is_conflict: bool) -> Reason:
        if isinstance(failure, Unfit):
            return failure.reason
        cause = cause_of(failure.__cause__ or failure)
        if isinstance(cause, _CONFLICTS) or is_conflict:
            return Reason.CONFLICT
        if isinstance(cause, asyncpg.TooManyConnectionsError):
            return Reason.FULL
        return Reason.BROKEN if is_disconnection(failure) else Reason.FAILED

    def _leave(self, reason: str, seconds: float = 0.0) -> None:
        """Close all connections, and open none for so long, nor before a probe has succeeded."""
        self._may_open, self._conflicts, self.lag = False, 0, inf
        self._out_until = asyncio.get_running_loop().time() + seconds
        for connection in list(self._open):
            cut_off(connection)
        self._note_out(reason)

    async def _opened(self, **arguments: Any) -> Driver:
        """Return a new connection, if it leads to a server that is fit."""
        if not self._may_open:
            raise Unfit(Reason.LEFT_OUT)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = await self._servers.connect(**arguments)
                try:
                    self._require_fit(await connection.fetchrow(_with_progress(_NOTHING)))
                except BaseException:
                    connection.terminate()
                    raise
        except (Unfit, asyncpg.TooManyConnectionsError):
            self._may_open = False
            raise
        self._open.add(connection)
        return connection

    async def watch(self) -> None:
        """Find out again and again whether the server is fit."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if self._may_open:
                    await self._answer(_NOTHING, [], ())
                elif clock() >= self._out_until:
                    await self._probe()
                    self._may_open = True
                    self._note_fit()
            except Exception as failure:
                if not self.is_fit:
                    self._note_out(str(failure) or type(failure).__name__)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _probe(self) -> None:
        """Connect as the pool does; raise why the server isn't fit."""
        parameters = startup_parameters(self._settings)
        connection = await connect(self._url, "replica", ANSWER_SECONDS, names_statements=False, **parameters)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if not (pooling := await pooling_of(connection, self._url)).is_safe:
                    raise UnsuitablePooler(f"it is behind {pooling.value}")
                async with connection.transaction():
                    self._require_fit(await connection.fetchrow(_with_progress(_NOTHING)))
        finally:
            connection.terminate()

    def _note_out(self, reason: str) -> None:
        if self._why_out != reason:
            log.warning("left out a replica", server=self.name, reason=reason)
        self._why_out = reason

    def _note_fit(self) -> None:
        if self._why_out is not None:
            log.warning("using a replica again", server=self.name)
        self._why_out = None


class UnsuitablePooler(Exception):
    """Clients of the pooler before a replica would receive each other's answers."""


def _with_progress(sql: str) -> str:
    """Return a statement around another, which also returns how much the server has replayed."""
    return f"SELECT answer.*, {_REPLAYED} FROM ({sql}) AS answer"  # noqa: S608  # our own statements


def _if_shown(sql: str, number: int) -> str:
    """Return a statement around another, which returns nothing unless the server shows the entries of the audit trail
    in its parameter with this number. Postgres looks for them first, so that it does nothing in vain."""
    tokens = f"${number}::uuid[]"
    shown = f"SELECT count(*) FROM {AuditEntry.__tablename__} WHERE id = ANY ((SELECT {tokens})::uuid[])"  # noqa: S608
    return f"{_with_progress(sql)} WHERE ({shown}) = cardinality({tokens})"
