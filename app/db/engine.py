"""The engine and its pool: how connections are made and handed out, and how their failures are told apart."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

import structlog
from asyncpg import (
    AdminShutdownError,
    CannotConnectNowError,
    ConnectionDoesNotExistError,
    CrashShutdownError,
    DataError,
    DeadlockDetectedError,
    IdleInTransactionSessionTimeoutError,
    InterfaceError,
    InternalClientError,
    LockNotAvailableError,
    PostgresConnectionError,
    QueryCanceledError,
    SerializationError,
    TooManyConnectionsError,
)
from asyncpg import Connection as DriverConnection
from sqlalchemy import URL, Connection, PoolProxiedConnection, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, EmulatedDBAPIException, MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.concurrency import in_greenlet

from app.db.pool_queue import Line
from app.errors import DatabaseUnavailable, Overloaded, RequestError, TimedOut, TransactionConflict
from app.monitoring.operation_log import noted
from app.settings import Settings

T = TypeVar("T")

log = structlog.get_logger(__name__)

_DISCONNECTIONS = (
    DatabaseUnavailable,
    Overloaded,
    OSError,
    InterfaceError,
    InternalClientError,  # of the driver's state, where the connection breaks at that moment
    PostgresConnectionError,
    AdminShutdownError,
    CrashShutdownError,
    CannotConnectNowError,
    TooManyConnectionsError,
    PoolTimeoutError,
)
_OUT_OF_TIME = (QueryCanceledError, LockNotAvailableError, IdleInTransactionSessionTimeoutError)
_TOO_MANY = (TooManyConnectionsError, PoolTimeoutError)
_CLOSE_SECONDS = 3.0
OLDEST_POSTGRES = 15
PAUSE_AFTER_BREAK = 0.02
"""Seconds in which the driver hears of the other connections that broke with one, so that none of them is taken."""


class Database:
    """The pool of one process. Hands out connections, on which SQLAlchemy begins no transactions."""

    def __init__(self, engine: AsyncEngine, wait_seconds: float = 10, queue: int = 1_000) -> None:
        """Take an engine whose isolation level is AUTOCOMMIT: reads need no BEGIN and ROLLBACK, two round trips saved
        on every query, and UnitOfWork begins what mutations need. So many may wait so long for a connection."""
        self.engine = engine
        self._line = Line(cast(QueuePool, engine.pool), wait_seconds, queue)
        event.listen(engine.sync_engine, "checkin", self._line.proceed_soon)
        event.listen(engine.sync_engine, "checkout", _require_open)
        event.listen(engine.sync_engine, "do_connect", _require_greenlet)

    @property
    def waiting(self) -> int:
        """How many wait for a connection now."""
        return len(self._line)

    def over(self, pooled: PoolProxiedConnection) -> AsyncConnection:
        """Return SQLAlchemy's connection over one of the pool; to close it gives that back."""
        return AsyncConnection(self.engine, Connection(self.engine.sync_engine, connection=pooled))

    def session(self, connection: AsyncConnection, info: dict[str, Any]) -> AsyncSession:
        """Return a session within the transaction that the connection is in."""
        return AsyncSession(connection, expire_on_commit=False, info=info)

    async def driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Run a statement that changes nothing and return its first row, without the 0.04 ms that SQLAlchemy adds to
        each. Where its connection breaks it is run once more, on another one."""
        try:
            return await self._driver_row(sql, parameters)
        except Exception as failure:
            if not is_broken(failure):
                raise
        await asyncio.sleep(PAUSE_AFTER_BREAK)
        return await self._driver_row(sql, parameters)

    async def _driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        connection = await self.take()
        try:
            with noted(sql):
                return await driver_of(connection).fetchrow(sql, *parameters)
        except BaseException as failure:
            if driver_of(connection).is_closed():
                connection.invalidate(failure)
            raise
        finally:
            connection.close()

    async def take(self) -> PoolProxiedConnection:
        """Return a connection of the pool in one's turn, without the greenlet that it only needs to connect.
        Overloaded where too many want one, DatabaseUnavailable where there is none to be had."""
        if self._line.must_wait:
            await self._line.wait()
        if cast(QueuePool, self.engine.pool).checkedin():
            with suppress(MissingGreenlet):  # what was idle is broken, and must be connected anew
                return self.engine.pool.connect()
        try:
            return await self.engine.raw_connection()
        except (OSError, DBAPIError, EmulatedDBAPIException, PoolTimeoutError) as failure:
            self._line.proceed()  # as nothing is given back
            # whatever it is: Postgres that refuses the password is no better than none
            log.warning("no connection to the database", reason=str(failure) or type(failure).__name__)
            raise (Overloaded if isinstance(_cause(failure), _TOO_MANY) else DatabaseUnavailable) from failure

    async def close(self) -> None:
        """Close every connection of the pool, though the database may not say goodbye."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.engine.dispose()


def _require_open(connection: Any, _: Any, __: Any) -> None:
    """Let the pool connect anew what broke while it was idle."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _require_greenlet(*_: Any) -> None:
    """Raise MissingGreenlet before there is a coroutine that nobody would await."""
    if not in_greenlet():
        raise MissingGreenlet


def driver_of(connection: PoolProxiedConnection) -> "DriverConnection[Any]":
    """Return asyncpg's own connection."""
    return cast("DriverConnection[Any]", connection.driver_connection)


def open_database(url: str, settings: Settings) -> Database:
    """Return the database at `url`; nothing connects until the first statement."""
    wait = settings.database_pool_wait_seconds
    engine = create_async_engine(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        pool_timeout=wait,
        hide_parameters=True,  # of an error, which is logged: they hold password hashes
        connect_args={"server_settings": _server_settings(settings), "timeout": wait},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def notice_a_silent_host(connection: Any, _: Any) -> None:
        _keep_alive(connection.driver_connection, settings.operation_timeout_seconds)

    return Database(engine, wait, settings.database_pool_queue)


def _server_settings(settings: Settings) -> dict[str, str]:
    operation = settings.operation_timeout_seconds
    statement = min(settings.statement_timeout_seconds, operation)
    return {
        "application_name": "orders-api",
        "timezone": "UTC",
        "jit": "off",
        "statement_timeout": _milliseconds(statement),
        # Of a process that is stopped or cut off: what it had locked must not wait for it longer than it would.
        "idle_in_transaction_session_timeout": _milliseconds(2 * operation),
        "tcp_user_timeout": _milliseconds(2 * operation),
    }


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _keep_alive(driver: Any, seconds: float) -> None:
    """Have the kernel close a connection whose other end says nothing any more, as of a host that lost its power."""
    connected: socket.socket = driver._transport.get_extra_info("socket")
    if connected.family == socket.AF_UNIX:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", round(seconds * 1000)),
    ):
        if hasattr(socket, option):  # as on Linux
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def driver_arguments(url: URL, purpose: str) -> dict[str, Any]:
    """Return what the driver needs to connect by itself, outside the pool; Postgres shows the purpose."""
    _, arguments = url.get_dialect()().create_connect_args(url)
    own = {name: value for name, value in arguments.items() if not name.startswith("prepared_statement_")}
    return {**own, "server_settings": {"application_name": f"orders-api {purpose}"}}


class Server(NamedTuple):
    """What Postgres tells of itself to whoever connects."""

    version: str
    major: int
    encoding: str


class UnsuitableDatabase(Exception):
    """The database answers, and this API cannot work with it: its server is too old, or it has not all letters."""

    def __init__(self, server: Server) -> None:
        super().__init__(f"Postgres {server.version} in {server.encoding}")
        self.server = server


async def wait_for_database(url: str, seconds: float, announce: Callable[[str], None]) -> None:
    """Return once the database answers; say what is waited for, and raise its last error after `seconds`.
    UnsuitableDatabase where it answers in vain."""
    engine = create_async_engine(url)
    deadline = asyncio.get_running_loop().time() + seconds
    announced = False
    try:
        while True:
            try:
                async with engine.connect() as connection:
                    _require_suitable(await _server(connection))
                    return
            except (OSError, DBAPIError) as error:
                if not _may_pass(error) or asyncio.get_running_loop().time() >= deadline:
                    raise
                if not announced:
                    where = make_url(url).render_as_string(hide_password=True)
                    announce(f"waiting up to {seconds:.0f} s for the database at {where}: {error}")
                    announced = True
            await asyncio.sleep(0.2)
    finally:
        await engine.dispose()


async def _server(connection: AsyncConnection) -> Server:
    """Return what the driver was told when it connected."""
    driver = driver_of(await connection.get_raw_connection())
    settings, version = driver.get_settings(), driver.get_server_version()
    return Server(settings.server_version, version.major, settings.server_encoding)


def _require_suitable(server: Server) -> None:
    if server.major < OLDEST_POSTGRES or server.encoding != "UTF8":
        raise UnsuitableDatabase(server)


def is_about_tls(failure: BaseException) -> bool:
    """Tell whether two who reached each other could not agree on TLS, which no waiting changes."""
    return isinstance(failure, ssl.SSLError) or "rejected SSL upgrade" in str(failure)


def _may_pass(error: OSError | DBAPIError) -> bool:
    """Tell a database that is coming up from one that will never let us in."""
    if isinstance(error, OSError):
        return not is_about_tls(error)
    return isinstance(error.orig and error.orig.__cause__, (CannotConnectNowError, ConnectionDoesNotExistError))


def raise_fault(failure: BaseException | None) -> None:
    """Raise what clients are told where it is the database that failed, whatever was asked of it: TransactionConflict
    where it asks to try again, TimedOut, Overloaded or DatabaseUnavailable."""
    if isinstance(failure, (TimedOut, Overloaded, DatabaseUnavailable)):
        raise failure
    cause = _cause(failure)
    if isinstance(cause, (DeadlockDetectedError, SerializationError)):
        raise TransactionConflict from failure
    if isinstance(cause, _OUT_OF_TIME):
        raise TimedOut from failure
    if is_disconnection(failure):
        log.warning("the database went away", reason=str(failure) or type(failure).__name__)
        raise DatabaseUnavailable from failure


def is_disconnection(failure: BaseException | None) -> bool:
    """Tell whether the database could not be reached, whatever was asked of it."""
    cause = _cause(failure)
    if isinstance(cause, DataError):  # an InterfaceError of the driver, too
        return False
    return isinstance(cause, _DISCONNECTIONS) or (isinstance(failure, DBAPIError) and failure.connection_invalidated)


def is_broken(failure: BaseException) -> bool:
    """Tell whether a connection that was there broke, so that another one may do."""
    return is_disconnection(failure) and not isinstance(failure, RequestError)


def _cause(failure: BaseException | None) -> BaseException | None:
    """Return the driver's failure under SQLAlchemy's."""
    original = failure.orig if isinstance(failure, DBAPIError) and failure.orig else failure
    return original.orig or original if isinstance(original, EmulatedDBAPIException) else original
