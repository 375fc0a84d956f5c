"""The engine and its pool: how connections are made and handed out, and how their failures are told apart."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from asyncpg import (
    AdminShutdownError,
    CannotConnectNowError,
    ConnectionDoesNotExistError,
    CrashShutdownError,
    DataError,
    DeadlockDetectedError,
    InterfaceError,
    InternalClientError,
    PostgresConnectionError,
    SerializationError,
    TooManyConnectionsError,
)
from asyncpg import Connection as DriverConnection
from sqlalchemy import URL, PoolProxiedConnection, make_url, text
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool

from app.errors import TransactionConflict
from app.settings import Settings

_DISCONNECTIONS = (
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


class Database:
    """The pool of one process. Hands out connections, on which SQLAlchemy begins no transactions."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Take an engine whose isolation level is AUTOCOMMIT: reads need no BEGIN and ROLLBACK, two round trips saved
        on every query, and UnitOfWork begins what mutations need."""
        self.engine = engine

    async def connect(self) -> AsyncConnection:
        """Return a connection on which every statement stands for itself."""
        return await self.engine.connect()

    async def ping(self) -> None:
        """Return if the database answers; DBAPIError or OSError where it does not."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    def session(self, connection: AsyncConnection, info: dict[str, Any]) -> AsyncSession:
        """Return a session within the transaction that the connection is in."""
        return AsyncSession(connection, expire_on_commit=False, info=info)

    async def driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Run one statement for itself and return its first row, without the 0.04 ms that SQLAlchemy adds to each."""
        connection = await self._pooled()
        try:
            return await driver_of(connection).fetchrow(sql, *parameters)
        except BaseException as failure:
            if driver_of(connection).is_closed():
                connection.invalidate(failure)
            raise
        finally:
            connection.close()

    async def _pooled(self) -> PoolProxiedConnection:
        """Return a connection of the pool, without the greenlet that it only needs to wait or to connect."""
        if cast(QueuePool, self.engine.pool).checkedin():
            with suppress(MissingGreenlet):  # what was idle is broken, and must be connected anew
                return self.engine.pool.connect()
        return await self.engine.raw_connection()

    async def close(self) -> None:
        """Close every connection of the pool."""
        await self.engine.dispose()


def driver_of(connection: PoolProxiedConnection) -> "DriverConnection[Any]":
    """Return asyncpg's own connection."""
    return cast("DriverConnection[Any]", connection.driver_connection)


def open_database(url: str, settings: Settings) -> Database:
    """Return the database at `url`; nothing connects until the first statement."""
    engine = create_async_engine(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        pool_timeout=settings.database_pool_wait_seconds,
        hide_parameters=True,  # of an error, which is logged: they hold password hashes
        connect_args={"server_settings": {"application_name": "orders-api", "timezone": "UTC", "jit": "off"}},
    )
    return Database(engine)


def driver_arguments(url: URL, purpose: str) -> dict[str, Any]:
    """Return what the driver needs to connect by itself, outside the pool; Postgres shows the purpose."""
    _, arguments = url.get_dialect()().create_connect_args(url)
    own = {name: value for name, value in arguments.items() if not name.startswith("prepared_statement_")}
    return {**own, "server_settings": {"application_name": f"orders-api {purpose}"}}


async def wait_for_database(url: str, seconds: float, announce: Callable[[str], None]) -> None:
    """Return once the database answers; say what is waited for, and raise its last error after `seconds`."""
    engine = create_async_engine(url)
    deadline = asyncio.get_running_loop().time() + seconds
    announced = False
    try:
        while True:
            try:
                async with engine.connect():
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


def _may_pass(error: OSError | DBAPIError) -> bool:
    """Tell a database that is coming up from one that will never let us in."""
    return isinstance(error, OSError) or isinstance(
        error.orig and error.orig.__cause__, (CannotConnectNowError, ConnectionDoesNotExistError)
    )


def raise_transaction_conflict(failure: BaseException | None) -> None:
    """Raise TransactionConflict where the failure is Postgres's way of asking to try again."""
    cause = failure.orig.__cause__ if isinstance(failure, DBAPIError) and failure.orig else failure
    if isinstance(cause, (DeadlockDetectedError, SerializationError)):
        raise TransactionConflict from failure


def is_disconnection(failure: BaseException | None) -> bool:
    """Tell whether the database could not be reached, whatever was asked of it."""
    cause = failure.orig.__cause__ if isinstance(failure, DBAPIError) and failure.orig else failure
    if isinstance(cause, DataError):  # an InterfaceError of the driver, too
        return False
    return isinstance(cause, _DISCONNECTIONS) or (isinstance(failure, DBAPIError) and failure.connection_invalidated)
