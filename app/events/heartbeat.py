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
    """Notifications to a connection of our own, through the pool: a connection that shares its server with others may
    only hear what it sends itself, and one to another database hears nothing."""

    def __init__(self, connection: "asyncpg.Connection[Any]", database: Database) -> None:
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
        await self._database.driver_row("SELECT pg_notify($1, '')", [self._channel])

    async def _hear(self) -> None:
        try:
            await asyncio.wait_for(self._heard.wait(), _PATIENCE_SECONDS)
        except TimeoutError:
            raise TimeoutError("no notification arrives: DATABASE_DIRECT_URL must lead past the pooler") from None
