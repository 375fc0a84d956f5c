"""Poolers, such as PgBouncer: whether one is between the API and Postgres, and what it does."""

import asyncio
from enum import Enum
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.engine import connect
from app.db.server_settings import role_settings, startup_parameters
from app.settings import Settings

_PATIENCE_SECONDS = 5.0
_KEPT_SECONDS = 60.0
"""How long a verdict holds: a pooler may be configured anew without closing any connection."""
_ROUNDS = 8
"""How often two clients must find their own servers again. Among the servers of a busy pool, each does so by chance at
most every other time."""
_QUEUE_SECONDS = 1.0
"""How long a client waits for a server before the other one is asked whether it has to wait, too."""
_SERVER = "SELECT pg_backend_pid()"
_STATEMENTS = "SELECT name FROM pg_prepared_statements"
_VALUES = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)"


class UnsupportedParameters(Exception):
    """The pooler refuses a startup parameter."""


class Pooling(Enum):
    """What is between a client and its server."""

    NONE = "no pooler"
    SESSION = "a pooler that pools sessions"
    TRACKED = "a pooler that pools transactions and tracks prepared statements"
    MIXED = "a pooler that pools transactions and doesn't track prepared statements"
    STATEMENT = "a pooler that pools statements"

    @property
    def has_sessions(self) -> bool:
        """Whether a connection stays with one server, so that it can listen for events and migrate."""
        return self in (Pooling.NONE, Pooling.SESSION)

    @property
    def is_safe(self) -> bool:
        """Whether transactions work and clients receive their own answers. Drivers number their prepared statements, so
        where nobody keeps them apart, a client executes the statement of another one."""
        return self not in (Pooling.MIXED, Pooling.STATEMENT)


class Verdict:
    """What is between the connections of a pool and their servers. If that is safe, it is looked at again only when it
    may have changed: a pooler that was restarted has closed all connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._url = engine.url
        self._pooling: Pooling | None = None
        self._ends_at = 0.0
        event.listen(engine.sync_engine, "connect", self._forget)

    def _forget(self, *_: Any) -> None:
        self._pooling = None

    async def over(self, connection: "asyncpg.Connection[Any]") -> Pooling:
        """Return it; look at this connection, if it isn't known to be safe."""
        now = asyncio.get_running_loop().time()
        if self._pooling is None or not self._pooling.is_safe or now >= self._ends_at:
            self._pooling, self._ends_at = await pooling_of(connection, self._url), now + _KEPT_SECONDS
        return self._pooling


async def pooling_between(url: URL) -> Pooling:
    """Return what is between clients with this URL and their servers."""
    connection = await _connect(url)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await pooling_of(connection, url)
    finally:
        connection.terminate()


async def pooling_of(connection: "asyncpg.Connection[Any]", url: URL) -> Pooling:
    """Return what is between a connection, which names no statements by itself, and its server."""
    try:
        async with connection.transaction():
            server: int = await connection.fetchval(_SERVER)
            if server == connection.get_server_pid():
                return Pooling.NONE
            if not await _keeps_names(connection):
                return Pooling.TRACKED
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        if "statement pooling" in str(failure):
            return Pooling.STATEMENT
        raise
    return Pooling.SESSION if await _has_session(connection, url, server) else Pooling.MIXED


async def _keeps_names(connection: "asyncpg.Connection[Any]") -> bool:
    """Return whether the server knows a prepared statement by the name that the client gave it, within a transaction. A
    pooler that tracks statements gives them names of its own."""
    name = f"orders_api_{uuid4().hex}"
    statement = await connection.prepare("SELECT 1", name=name)
    is_kept = name in [row["name"] for row in await connection.fetch(_STATEMENTS)]
    if is_kept:  # or else, it would stay with the server
        await connection.execute(f"DEALLOCATE {name}")
    del statement
    return is_kept


async def _has_session(connection: "asyncpg.Connection[Any]", url: URL, server: int) -> bool:
    """Return whether a connection keeps its server while another one, which is open too, uses the pool in between. If
    the pool has but one server, the other one waits until the session is over."""
    other = None
    try:
        async with asyncio.timeout(_QUEUE_SECONDS):
            other = await _connect(url)
            others = await _server(other)
        seen = {(await _server(connection), await _server(other)) for _ in range(_ROUNDS)}
    except TimeoutError:
        return await _server(connection) == server
    finally:
        if other is not None:
            other.terminate()
    return others != server and seen == {(server, others)}


async def _connect(url: URL, **parameters: str) -> "asyncpg.Connection[Any]":
    connection: asyncpg.Connection[Any] = await connect(
        url, "pooler check", _PATIENCE_SECONDS, names_statements=False, **parameters
    )
    return connection


async def _server(connection: "asyncpg.Connection[Any]") -> int:
    async with connection.transaction():
        server: int = await connection.fetchval(_SERVER)
        return server


async def settings_missing(url: URL, settings: Settings) -> dict[str, tuple[str, str]]:
    """Return the settings of Postgres that connections of the pool don't have: the value that they have, and that which
    they should have. UnsupportedParameters if the pooler refuses the parameters that they send."""
    try:
        connection = await _connect(url, **startup_parameters(settings))
    except asyncpg.ProtocolViolationError as failure:
        if "startup parameter" not in str(failure):
            raise
        raise UnsupportedParameters(str(failure)) from failure
    try:
        wanted = role_settings(settings)
        async with connection.transaction():
            found = dict(await connection.fetch(_VALUES, [*wanted]))
        return {name: (found[name], value) for name, value in wanted.items() if found[name] != value}
    finally:
        connection.terminate()
