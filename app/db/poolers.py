"""Poolers, such as PgBouncer: whether one is between the API and Postgres, and what it does."""

import asyncio
from enum import Enum
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import URL

from app.db.engine import driver_arguments
from app.db.server_settings import role_settings, startup_parameters
from app.db.servers import Servers
from app.settings import Settings

PATIENCE_SECONDS = 5.0
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


async def connect_unprepared(url: URL, purpose: str, **parameters: str) -> "asyncpg.Connection[Any]":
    """Return a connection that names no prepared statements by itself, so within a transaction, it is safe behind any
    pooler. `parameters` are startup parameters."""
    arguments = driver_arguments(url, purpose)
    arguments["server_settings"] |= parameters
    return await Servers.of(url).connect(**arguments, statement_cache_size=0, timeout=PATIENCE_SECONDS)


async def pooling_between(url: URL) -> Pooling:
    """Return what is between clients with this URL and their servers."""
    connection = await connect_unprepared(url, "pooler check")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await pooling_of(connection, url)
    finally:
        connection.terminate()


async def pooling_of(connection: "asyncpg.Connection[Any]", url: URL) -> Pooling:
    """Return what is between a connection, made by `connect_unprepared`, and its server."""
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
            other = await connect_unprepared(url, "pooler check")
            others = await _server(other)
        seen = {(await _server(connection), await _server(other)) for _ in range(_ROUNDS)}
    except TimeoutError:
        return await _server(connection) == server
    finally:
        if other is not None:
            other.terminate()
    return others != server and seen == {(server, others)}


async def _server(connection: "asyncpg.Connection[Any]") -> int:
    async with connection.transaction():
        server: int = await connection.fetchval(_SERVER)
        return server


async def settings_missing(url: URL, settings: Settings) -> dict[str, tuple[str, str]]:
    """Return the settings of Postgres that connections of the pool don't have: the value that they have, and that which
    they should have. UnsupportedParameters if the pooler refuses the parameters that they send."""
    try:
        connection = await connect_unprepared(url, "pooler check", **startup_parameters(settings))
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
