"""What the doctor checks of replicas."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
from sqlalchemy import make_url

from app.cli.output import Finding, ok, problem, warning
from app.cli.pooler_check import KEEP_APART
from app.cli.troubles import place_of, trouble_of
from app.db import migrations
from app.db.engine import connect
from app.db.poolers import pooling_of
from app.settings import Settings

_PATIENCE_SECONDS = 5.0
_STATE = """
SELECT pg_is_in_recovery(), (SELECT version_num FROM alembic_version),
    EXISTS (SELECT FROM pg_stat_wal_receiver)
"""


async def replicas(settings: Settings) -> AsyncIterator[Finding]:
    """Check that each replica can answer queries."""
    for url in settings.replica_urls:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                yield await _replica(url)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as failure:
            trouble = trouble_of(failure, url, name="DATABASE_REPLICA_URLS")
            what = trouble.what if trouble else f"the replica at {place_of(make_url(url))}: {failure or 'no answer'}"
            yield warning(f"{what}; the primary answers its queries", trouble.remedy if trouble else "")


async def _replica(url: str) -> Finding:
    place = place_of(make_url(url))
    connection = await connect(make_url(url), "doctor", _PATIENCE_SECONDS, names_statements=False)
    try:
        if not (pooling := await pooling_of(connection, make_url(url))).is_safe:
            return problem(f"the replica at {place} is behind {pooling.value}", KEEP_APART)
        async with connection.transaction():
            is_standby, revision, receives = (await connection.fetch(_STATE))[0]
    finally:
        connection.terminate()
    if not is_standby:
        what = f"the server at {place} in DATABASE_REPLICA_URLS takes writes, so it answers no queries"
        return warning(what, "Expected after a failover, if each server is listed. Otherwise, name a standby.")
    if migrations.is_behind(revision):
        return warning(f"the replica at {place} lacks migrations", "It follows once it has replayed them.")
    if not receives:
        return warning(f"the replica at {place} receives nothing", "See its log for why it can't reach the primary.")
    return ok(f"the replica at {place} follows")
