"""Whether a process can serve: its database answers and has the schema of this version."""

import asyncio
from typing import Any

import asyncpg
import structlog
from sqlalchemy import URL

from app.db.engine import Database, connect
from app.db.poolers import Pooling, Verdict
from app.replicas.reading import Replicas

_PATIENCE_SECONDS = 2.0
_STATE = "SELECT pg_is_in_recovery(), version_num FROM alembic_version"
_FULL = "the database has no connections left"
_SILENT = "the database does not answer"
_STANDBY = "the database is a read-only standby"
_AWAY = (_SILENT, _STANDBY)

log = structlog.get_logger(__name__)


class Readiness:
    """Whether a process should receive requests."""

    def __init__(self, database: Database, replicas: Replicas) -> None:
        self._replicas = replicas
        self.is_draining = False
        """Whether it will stop soon, and serves what it still receives."""
        self._database = database
        self._verdict = Verdict(database.engine)
        self._check: asyncio.Task[str | None] | None = None
        self._was_ready = False

    def drain(self) -> None:
        """Ask for no more requests."""
        self.is_draining = True

    async def why_not(self) -> str | None:
        """Return why it should receive none; None if it should."""
        if self.is_draining:
            return "the process is stopping"
        if self._check is None or self._check.done():  # one at a time, however many ask: each opens a connection
            self._check = asyncio.create_task(why_not_ready(self._database.engine.url, self._verdict))
        reason = await asyncio.shield(self._check)
        if reason == _FULL and self._was_ready and self._database.is_connected:
            return None  # otherwise no process would serve, though each has the connections of its pool
        if reason in _AWAY and self._was_ready and self._replicas.fit:
            return None  # it answers queries
        self._was_ready = reason is None
        return reason


async def why_not_ready(url: URL, verdict: Verdict | None = None) -> str | None:
    """Return why the process cannot serve; None if it can. Without a verdict, there is no pooler, or it is known.

    The check uses its own connection: a process with a busy pool isn't one without a database. Otherwise, an
    orchestrator would take every process out of service under load."""
    from app.db import migrations  # Alembic takes 0.1 s to load, a tenth of the time to start serving

    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            connection = await connect(url, "readiness", _PATIENCE_SECONDS, names_statements=False)
            try:
                pooling = Pooling.NONE if verdict is None else await verdict.over(connection)
                is_standby, revision = await _state(connection) if pooling.is_safe else (False, None)
            finally:
                connection.terminate()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        log.warning("not ready", reason=str(failure) or type(failure).__name__)
        return _FULL if isinstance(failure, asyncpg.TooManyConnectionsError) else _SILENT
    if not pooling.is_safe:
        return f"the database is behind {pooling.value}"
    if is_standby:
        return _STANDBY
    if await asyncio.to_thread(migrations.is_behind, revision):
        return "migrations are missing"
    return None


async def _state(connection: "asyncpg.Connection[Any]") -> tuple[bool, str | None]:
    """Return whether the database is a standby, and its revision; None before its first migration."""
    try:
        async with connection.transaction():
            ((is_standby, revision),) = await connection.fetch(_STATE)
            return is_standby, revision
    except asyncpg.UndefinedTableError:
        return False, None
