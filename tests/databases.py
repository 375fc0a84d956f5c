"""Databases for tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, PoolProxiedConnection, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.db.engine import Database, driver_of
from app.db.models import Base
from app.db.server_settings import role_settings
from app.monitoring.operation_log import timed_statement
from app.settings import Settings, asyncpg_url

T = TypeVar("T")
POOLED, DIRECT = (os.environ.get(name, "") for name in ("DATABASE_URL", "DATABASE_DIRECT_URL"))
"""The server of the tests through a pooler, and past it."""


@asynccontextmanager
async def rolled_back(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yield a connection in a transaction that is rolled back."""
    async with engine.connect() as connection:
        transaction = await connection.begin()
        await connection.execute(text("SELECT"))  # SQLAlchemy puts off BEGIN to the first statement
        yield connection
        await transaction.rollback()


class SingleConnection(Database):
    """A database whose operations all run on one connection, in the transaction that it is in."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection.engine)
        self._connection = connection

    async def take(self) -> PoolProxiedConnection:
        raw = await self._connection.get_raw_connection()
        return cast(PoolProxiedConnection, _Borrowed(driver_of(raw)))

    def over(self, pooled: PoolProxiedConnection) -> AsyncConnection:
        return cast(AsyncConnection, _KeptOpen(self._connection))

    async def driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        driver = driver_of(await self._connection.get_raw_connection())
        with timed_statement(sql):
            return await driver.fetchrow(sql, *parameters)


def committing(engine: AsyncEngine) -> Database:
    """Return the database of an engine, as the application has it."""
    return Database(engine.execution_options(isolation_level="AUTOCOMMIT"))


class _Borrowed:
    """The test's pooled connection, which an operation must not return."""

    def __init__(self, driver: Any) -> None:
        self.driver_connection = driver

    def invalidate(self) -> None:
        pass

    def close(self) -> None:
        pass


class _KeptOpen:
    """The test's connection, which an operation must not close."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, *arguments: Any) -> Any:
        return await self._connection.execute(*arguments)

    @property
    def sync_connection(self) -> Any:
        return self._connection.sync_connection

    async def get_raw_connection(self) -> Any:
        return await self._connection.get_raw_connection()

    async def invalidate(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def empty(engine: AsyncEngine) -> None:
    """Delete all rows once nobody uses the tables any more. TRUNCATE takes a hundred times as long for so few."""
    # Positions are never given again.
    tables = [table.name for table in reversed(Base.metadata.sorted_tables) if table.name != "event_batches"]
    async with engine.begin() as connection:
        await connection.execute(text(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE"))
        for table in tables:
            await connection.execute(text(f"DELETE FROM {table}"))


def through_pooler(url: str) -> str:
    """Return the URL of a database through the pooler, if the tests use one. The database gets the settings that the
    API otherwise sends when it connects."""
    if not DIRECT:
        return url
    given = make_url(url)
    changes = (f"SET {name} = '{value}'" for name, value in role_settings(Settings()).items())
    _administer(url, *(f'ALTER DATABASE "{given.database}" {change}' for change in changes))
    return asyncpg_url(make_url(POOLED).set(database=given.database).render_as_string(hide_password=False))


def environment_of(url: str) -> dict[str, str]:
    """Return the environment variables for the database at `url`."""
    given = make_url(asyncpg_url(url))
    if not DIRECT or (given.host, given.port) != (make_url(POOLED).host, make_url(POOLED).port):
        return {"DATABASE_URL": url, "DATABASE_DIRECT_URL": ""}
    direct = make_url(DIRECT).set(database=given.database).render_as_string(hide_password=False)
    return {"DATABASE_URL": url, "DATABASE_DIRECT_URL": direct}


def create_database(server_url: str, name: str, template: str = "template1") -> str:
    """Create a database on the server, empty or as another one that nobody uses is, and return its URL."""
    create = f'CREATE DATABASE "{name}" TEMPLATE "{template}"'
    _administer(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', create)
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Drop the database, even if clients are connected."""
    _administer(url, f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')


def run_on(url: str, work: Callable[[Connection], T]) -> T:
    """Run a function on a connection to the database at `url`."""

    async def run() -> T:
        engine = create_async_engine(url)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def committed(engine: AsyncEngine, statement: str, **parameters: Any) -> Any:
    """Run a statement and commit it; return its rows, if it has any."""
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), parameters)
        return result.all() if result.returns_rows else None


def _administer(url: str, *commands: str) -> None:
    async def run() -> None:
        engine = create_async_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for command in commands:
                await connection.execute(text(command))
        await engine.dispose()

    asyncio.run(run())
