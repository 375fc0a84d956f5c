"""The engine and its pool: how connections are opened and handed out, and how their failures are classified."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import asyncpg
import structlog
from sqlalchemy import URL, PoolProxiedConnection, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, EmulatedDBAPIException, MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, ManagesConnection, QueuePool

from app.db.asyncpg_internals import PooledConnection, socket_of
from app.db.pool_queue import PoolQueue, Share
from app.db.server_settings import startup_parameters, statement_seconds
from app.db.servers import Driver, Servers, arguments_of
from app.db.sqlalchemy_internals import connection_over, in_greenlet, put_back, take_idle
from app.errors import DatabaseUnavailable, OutcomeUnknown, Overloaded, RequestError, TimedOut, TransactionConflict
from app.monitoring.operation_log import timed_statement
from app.settings import Settings

T = TypeVar("T")
log = structlog.get_logger(__name__)

_DISCONNECTIONS = (
    DatabaseUnavailable,
    Overloaded,
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's state is inconsistent because the connection just broke
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    PoolTimeoutError,
)
FAULTS = (TransactionConflict, TimedOut, Overloaded, DatabaseUnavailable, OutcomeUnknown)
"""Failures of the database itself, for which an operation is given up."""
_OUT_OF_TIME = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError, asyncpg.IdleInTransactionSessionTimeoutError)
_TOO_MANY = (asyncpg.TooManyConnectionsError, PoolTimeoutError)
_CLOSE_SECONDS = 3.0
_LATE_SECONDS = 1.0  # for Postgres to end a statement whose time is over, and to say so
PAUSE_AFTER_BREAK = 0.02
"""Seconds for the driver to notice other connections that broke at the same time, so that none of them is used."""


class Database:
    """The connection pool of one process. SQLAlchemy begins no transactions on its connections."""

    def __init__(
        self,
        engine: AsyncEngine,
        wait_seconds: float = 10,
        queue_length: int = 1_000,
        write_seconds: float = 10,
        servers: Servers | None = None,
        answer_seconds: float | None = None,
    ) -> None:
        """Wrap an engine whose isolation level is AUTOCOMMIT: reads save the round trips of BEGIN and ROLLBACK, and
        UnitOfWork begins the transactions of mutations. At most `queue_length` callers wait for a connection.
        After `write_seconds`, Postgres should have ended any statement."""
        self.write_seconds = write_seconds
        self.answer_seconds = answer_seconds
        self.events_committed: Callable[[], None] = lambda: None
        """Called after the commit of a mutation that has written events."""
        self.engine = engine
        self.servers = servers or Servers.of(engine.url)
        self._pool = cast(QueuePool, engine.pool)
        self._queue = PoolQueue(self._pool, wait_seconds, queue_length)
        event.listen(engine.sync_engine, "checkin", self._queue.returned)
        event.listen(engine.sync_engine, "checkout", _require_open)
        event.listen(engine.sync_engine, "do_connect", _require_greenlet)

    @property
    def waiting(self) -> int:
        """The number of callers waiting for a connection."""
        return len(self._queue)

    @property
    def is_connected(self) -> bool:
        """Whether the pool has connections."""
        return self._pool.checkedin() + self._pool.checkedout() > 0

    def over(self, pooled: PoolProxiedConnection) -> AsyncConnection:
        """Wrap a pooled connection for SQLAlchemy; closing it returns the pooled one."""
        return connection_over(self.engine, pooled)

    async def driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Run a read-only statement and return its first row, saving the 0.04 ms that SQLAlchemy adds.
        If the connection breaks, run it once more on another one."""
        try:
            return await self._driver_row(sql, parameters)
        except Exception as failure:
            if not is_broken(failure):
                raise
        await asyncio.sleep(PAUSE_AFTER_BREAK)
        return await self._driver_row(sql, parameters)

    async def _driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        async def fetch(driver: Driver) -> Any:
            with timed_statement(sql):
                return await driver.fetchrow(sql, *parameters)

        return await self.lent(fetch)

    async def lent(self, run: Callable[[Driver], Awaitable[T]]) -> T:
        """Return what `run` makes of a pooled connection when it is this caller's turn; it must leave nothing to reset.
        A connection that is closed by then is not used again."""
        shares = await self._queue.wait()
        entry = self._idle_entry()
        if entry is None:
            connection = await self._checked_out(shares)
            try:
                return await _run_with(connection, run)
            finally:
                connection.close()
        self._queue.taken(entry.info, shares)
        try:
            return await _run_with(entry, run)
        finally:
            put_back(self._pool, entry)
            self._queue.returned(None, entry)

    def _idle_entry(self) -> ConnectionPoolEntry | None:
        """Return an idle connection as the pool holds it; None if there is none, or it is broken."""
        entry = take_idle(self._pool)
        if entry is not None and (entry.dbapi_connection is None or driver_of(entry).is_closed()):
            put_back(self._pool, entry)
            return None
        return entry

    async def take(self) -> PoolProxiedConnection:
        """Return a pooled connection when it is this caller's turn; only opening a new one needs a greenlet.
        Overloaded if too many callers wait, DatabaseUnavailable if none can be opened."""
        return await self._checked_out(await self._queue.wait())

    async def _checked_out(self, shares: Sequence[Share]) -> PoolProxiedConnection:
        try:
            connection = await self._connected()
        except BaseException:
            self._queue.not_taken(shares)  # because no connection will be returned
            raise
        self._queue.taken(connection.info, shares)
        return connection

    async def _connected(self) -> PoolProxiedConnection:
        if self._pool.checkedin():
            with suppress(MissingGreenlet):  # the idle connection is broken; reconnect below
                return self._pool.connect()
        try:
            return await self.engine.raw_connection()
        except (OSError, DBAPIError, EmulatedDBAPIException, PoolTimeoutError) as failure:
            # Any reason counts: a Postgres that rejects the password is as good as none.
            log.warning("cannot connect to the database", reason=str(failure) or type(failure).__name__)
            raise (Overloaded if isinstance(cause_of(failure), _TOO_MANY) else DatabaseUnavailable) from failure

    async def close(self) -> None:
        """Close every connection of the pool, even if the database no longer responds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.engine.dispose()


def _require_open(connection: Any, _: Any, __: Any) -> None:
    """Have the pool replace a connection that broke while idle."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _require_greenlet(*_: Any) -> None:
    """Raise MissingGreenlet before SQLAlchemy creates a coroutine that nobody would await."""
    if not in_greenlet():
        raise MissingGreenlet


async def _run_with(connection: ManagesConnection, run: Callable[[Driver], Awaitable[T]]) -> T:
    driver = driver_of(connection)
    try:
        return await run(driver)
    except BaseException as failure:
        if driver.is_closed():
            connection.invalidate(failure)
        raise


def driver_of(connection: ManagesConnection) -> Driver:
    """Return asyncpg's own connection."""
    return cast(Driver, connection.driver_connection)


def open_database(
    url: str, settings: Settings, connect: Callable[..., Any] | None = None, answer_seconds: float | None = None
) -> Database:
    """Return the database at `url`; it connects at the first statement. `connect` opens a connection for the driver's
    arguments; by default, to the server that takes writes. A connection whose server doesn't answer a statement of a
    unit of work within `answer_seconds` is cut off."""
    wait, servers = settings.database_pool_wait_seconds, Servers.of(make_url(url))
    engine = create_async_engine(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        pool_timeout=wait,
        hide_parameters=True,  # errors are logged, and parameters contain password hashes
        connect_args={
            "connection_class": PooledConnection,
            "server_settings": startup_parameters(settings),
            "timeout": wait,
            "async_creator_fn": connect or servers.connect,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def detect_a_silent_host(connection: Any, _: Any) -> None:
        _keep_alive(connection.driver_connection, settings.operation_timeout_seconds)

    most, seconds = settings.database_pool_queue, statement_seconds(settings) + _LATE_SECONDS
    return Database(engine, wait, most, seconds, servers, answer_seconds)


def _keep_alive(driver: Any, seconds: float) -> None:
    """Have the kernel close a connection whose peer has gone silent, such as a host that lost power."""
    connected = socket_of(driver)
    if connected.family == socket.AF_UNIX:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": round(seconds * 1000)}
    for option, value in options.items():
        if hasattr(socket, option):  # Linux has them all
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def connect(url: URL, purpose: str, seconds: float, *, names_statements: bool = True, **parameters: str) -> Any:
    """Return a driver connection outside the pool, to the server that takes writes; Postgres displays its purpose.
    If it names no statements, transactions on it are safe behind any pooler. `parameters` are startup parameters."""
    arguments = {**arguments_of(url), "server_settings": {"application_name": f"orders-api {purpose}", **parameters}}
    if not names_statements:
        arguments["statement_cache_size"] = 0
    return await Servers.of(url).connect(**arguments, timeout=seconds)


def engine_to(url: str) -> AsyncEngine:
    """Return an engine for a command."""
    return create_async_engine(url, connect_args={"async_creator_fn": Servers.of(make_url(url)).connect})


def raise_fault(failure: BaseException | None) -> None:
    """Raise the error that clients see, one of FAULTS, if the database itself failed."""
    if isinstance(failure, FAULTS):
        raise failure
    cause = cause_of(failure)
    if isinstance(cause, (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)):
        raise TransactionConflict from failure
    if isinstance(cause, asyncpg.InvalidCachedStatementError):  # a migration has changed the type of a column
        PooledConnection.renew(PooledConnection.edition)
        raise TransactionConflict from failure
    if isinstance(cause, _OUT_OF_TIME):
        raise TimedOut from failure
    if is_read_only(failure):
        log.warning("the database server takes no writes", reason=str(failure))
        raise DatabaseUnavailable from failure
    if is_disconnection(failure):
        log.warning("lost the connection to the database", reason=str(failure) or type(failure).__name__)
        raise DatabaseUnavailable from failure


def is_disconnection(failure: BaseException | None) -> bool:
    """Return whether the database could not be reached."""
    cause = cause_of(failure)
    if isinstance(cause, asyncpg.DataError):  # which is also an asyncpg.InterfaceError
        return False
    return isinstance(cause, _DISCONNECTIONS) or (isinstance(failure, DBAPIError) and failure.connection_invalidated)


def is_read_only(failure: BaseException | None) -> bool:
    """Return whether the server refused a write, as a standby does, so that nothing was done."""
    return isinstance(cause_of(failure), asyncpg.ReadOnlySQLTransactionError)


def is_broken(failure: BaseException) -> bool:
    """Return whether an open connection broke, so that another one may work."""
    return is_disconnection(failure) and not isinstance(failure, RequestError)


def cause_of(failure: BaseException | None) -> BaseException | None:
    """Return the driver's failure under SQLAlchemy's."""
    original = failure.orig if isinstance(failure, DBAPIError) and failure.orig else failure
    return original.orig or original.__cause__ or original if isinstance(original, EmulatedDBAPIException) else original
