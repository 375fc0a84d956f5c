"""Triggers with which Postgres itself fails, waits or counts in the middle of an operation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


async def create_trigger(connection: AsyncConnection, event: str, do: str) -> None:
    """Have Postgres run PL/pgSQL for each row of an event such as `INSERT ON orders`."""
    body = f"BEGIN {do}; RETURN NULL; END"
    await connection.exec_driver_sql(f"CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    await connection.exec_driver_sql(
        f"CREATE CONSTRAINT TRIGGER meet AFTER {event} FOR EACH ROW EXECUTE FUNCTION meet()"
    )


@asynccontextmanager
async def triggered(engine: AsyncEngine, event: str, do: str) -> AsyncIterator[None]:
    """Commit such a trigger, and drop it after the block."""
    async with engine.begin() as connection:
        await create_trigger(connection, event, do)
    try:
        yield
    finally:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("DROP FUNCTION meet CASCADE")


@asynccontextmanager
async def renamed(engine: AsyncEngine, table: str) -> AsyncIterator[None]:
    """Rename a table until the end of the block, so that statements that use it fail."""
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO renamed")
    try:
        yield
    finally:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"ALTER TABLE renamed RENAME TO {table}")
