"""Whether a process can serve: its database answers, and has the schema that this version expects."""

import asyncio

import asyncpg
import structlog
from sqlalchemy import URL

from app.db.engine import driver_arguments

_PATIENCE_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Readiness:
    """Answers however many ask with one look at the database at a time: each takes a connection of its own."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._looking: asyncio.Task[str | None] | None = None

    async def why_not(self) -> str | None:
        """Return why the process cannot serve; None where it can."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(why_not_ready(self._url))
        return await asyncio.shield(self._looking)


async def why_not_ready(url: URL) -> str | None:
    """Return why the process cannot serve; None where it can. Asked on a connection of its own: a process whose pool
    is busy is not to be taken for one that has no database, or all would be given up when there is most to do."""
    from app.db import migrations  # Alembic takes a moment to load, which serving need not wait for

    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            revision = await _revision(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        log.warning("not ready", reason=str(failure) or type(failure).__name__)
        return "the database does not answer"
    if await asyncio.to_thread(migrations.is_behind, revision):
        return "migrations are missing"
    return None


async def _revision(url: URL) -> str | None:
    """Return which migration the database is at, None where there was none."""
    connection = await asyncpg.connect(**driver_arguments(url, "readiness"), timeout=_PATIENCE_SECONDS)
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    else:
        return revision
    finally:
        connection.terminate()
