"""What operations wait for in the database, so that a test decides which of them goes first."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import patch

from asyncpg import DeadlockDetectedError, PostgresError
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db.models import Base

SECONDS = 10
WAITING = text(
    """
    SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN (
      SELECT pid FROM pg_locks JOIN pg_database ON oid = database WHERE datname = current_database()
    )
    """
)


class Gate:
    """Rows that a test's own transaction holds."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def until_waiting(self, number: int) -> None:
        """Return once so many transactions wait: for these rows, or for who waits for them."""
        async with asyncio.timeout(SECONDS):
            while await self.connection.scalar(WAITING) != number:
                pass


@asynccontextmanager
async def held(engine: AsyncEngine, *rows: Base) -> AsyncIterator[Gate]:
    """Lock rows until the end of the block; who then waits for them goes on, in the order in which they came."""
    async with engine.connect() as connection:
        for row in rows:
            model = type(row)
            await connection.execute(select(model.id).where(model.id == row.id).with_for_update(key_share=True))
        yield Gate(connection)


@contextmanager
def deadlocks() -> Iterator[list[DeadlockDetectedError]]:
    """Record each time that Postgres ends a transaction because it and others wait for each other."""
    found: list[DeadlockDetectedError] = []

    def record(self: DeadlockDetectedError, *given: object) -> None:
        PostgresError.__init__(self, *given)
        found.append(self)

    with patch.object(DeadlockDetectedError, "__init__", record):
        yield found
