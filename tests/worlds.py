"""A world of rows that the tests of a module share, and only read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection, rolled_back
from tests.market import Market


@dataclass(frozen=True)
class World:
    """A transaction, what puts rows into it, and the application that works in it."""

    connection: AsyncConnection
    market: Market
    api: Api


@asynccontextmanager
async def shared_world(engine: AsyncEngine, settings: Settings) -> AsyncIterator[World]:
    """Open a world, and undo everything in it at the end; even the space of its rows is given back."""
    async with (
        rolled_back(engine) as connection,
        AsyncSession(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session,
    ):
        app = create_app(settings, SingleConnection(connection))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield World(connection, Market(session), Api(client, settings))
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM ANALYZE"))
