"""Proves that a connection receives notifications."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import structlog

from app.db.engine import Database

_PATIENCE_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Heartbeat:
    """Notifications to a connection of our own. Those to one that goes past a pooler are sent through the pooler: a
    connection to another database would only hear what it sends itself."""

    def __init__(self, connection: "asyncpg.Connection[Any]", database: Database | None) -> None:
        """Send them through this database, or else on the connection itself."""
        self._connection = connection
        self._database = database
        self._channel = f"orders_api_{uuid4().hex}"
        self._heard = asyncio.Event()

    async def start(self) -> None:
        """Listen for heartbeats, and hear the first one; TimeoutError if it doesn't arrive."""
        await self._connection.add_listener(self._channel, lambda *_: self._heard.set())
        await self._send()
        await self._hear()

    async def beat(self) -> None:
        """Send another one, and hear it; TimeoutError if it doesn't arrive."""
        try:
            await self._send()
        except Exception as failure:  # of a busy pool, for example: it says nothing about this connection
            log.warning("cannot send a heartbeat", reason=str(failure) or type(failure).__name__)
        else:
            await self._hear()

    async def _send(self) -> None:
        self._heard.clear()
        if self._database is None:
            await self._connection.execute(f"NOTIFY {self._channel}")
        else:
            await self._database.driver_row("SELECT pg_notify($1, '')", [self._channel])

    async def _hear(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._heard.wait()
        except TimeoutError:
            raise TimeoutError("no notification arrives: DATABASE_DIRECT_URL must lead past the pooler") from None
