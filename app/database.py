"""The engine and its pool, and the one connection that an operation works on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from asyncpg import (
    CannotConnectNowError,
    ConnectionDoesNotExistError,
    DeadlockDetectedError,
    SerializationError,
)
from asyncpg import Connection as DriverConnection
from sqlalchemy import Executable, PoolProxiedConnection, Row, make_url
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool

from app.errors import TransactionConflict
from app.settings import Settings


class Database:
    """The pool of one process. Hands out connections for reading and sessions for one transaction each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        # Reads need no BEGIN and ROLLBACK: two round trips saved on every query.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def connect(self) -> AsyncConnection:
        """Return a connection on which every statement stands for itself."""
        return await self._reading.connect()

    def session(self) -> AsyncSession:
        """Return a session whose first statement begins a transaction."""
        return AsyncSession(self.engine, expire_on_commit=False)

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
        pool_timeout=settings.database_pool_wait_seconds,
        hide_parameters=True,  # of an error, which is logged: they hold password hashes
        connect_args={"server_settings": {"application_name": "orders-api", "timezone": "UTC", "jit": "off"}},
    )
    return Database(engine)


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
    cause = failure.orig.__cause__ if isinstance(failure, DBAPIError) and failure.orig else None
    if isinstance(cause, (DeadlockDetectedError, SerializationError)):
        raise TransactionConflict from failure


class UnitOfWork:
    """The connection of one operation, taken at its first statement: plain reads for a query, one transaction
    for a mutation. Statements run one after the other, whichever dataloaders send them at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None
        self._session: AsyncSession | None = None
        self._one_at_a_time = asyncio.Lock()
        self._over = False

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Run one statement and return all its rows."""
        async with self._one_at_a_time:
            if self._over:
                raise RuntimeError("the operation is over; what it still loaded is wanted no more")
            connection = await self._connected()
            return (await connection.execute(statement, parameters)).all()

    async def row(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """Run one statement and return its first row, if any."""
        rows = await self.rows(statement, parameters)
        return rows[0] if rows else None

    @property
    def writes(self) -> bool:
        """Whether this is the transaction of a mutation."""
        return self._session is not None

    @property
    def session(self) -> AsyncSession:
        """The session of the one transaction, which its first statement begins."""
        if self._session is None:
            self._session = self._database.session()
        return self._session

    async def finish(self, *, commit: bool) -> None:
        """Commit or undo the transaction, if one was begun, and give the connection back.

        A field that failed leaves those beside it loading: the statement being sent is waited for, and no other
        is sent, so that nothing takes a connection which nobody would give back."""
        self._over = True
        async with self._one_at_a_time:
            session, self._session = self._session, None
            connection, self._connection = self._connection, None
            try:
                if session is not None and commit:
                    await session.commit()
            finally:
                if session is not None:
                    await session.close()
                if connection is not None:
                    await connection.close()

    async def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        await self.finish(commit=False)

    async def _connected(self) -> AsyncConnection:
        if self._session is not None:
            return await self._session.connection()
        if self._connection is None:
            self._connection = await self._database.connect()
        return self._connection
