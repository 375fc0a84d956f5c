"""What the doctor looks at in the database."""

import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import make_url

from app.cli.findings import Finding, fine, mend, mind, skipped
from app.cli.troubles import NEWER_DATABASE, USE_THAT_VERSION, place_of, trouble_of, trouble_with
from app.db import migrations
from app.db.engine import OLDEST_POSTGRES, Server, driver_arguments
from app.db.models import Base
from app.settings import EMBEDDED_POSTGRES, Settings

_PATIENCE_SECONDS = 5.0
_VERSION_TABLE = "alembic_version"
_SKEW = timedelta(seconds=5)
_BESIDE_THE_POOL = 2
"""Connections of a process that are not of its pool: one hears of events, one tells whether it is ready."""
_FACTS = """
SELECT current_setting('server_version') AS version,
    current_setting('server_version_num')::int / 10000 AS major,
    current_setting('server_encoding') AS encoding,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS connections,
    current_user AS name,
    current_schema() AS schema,
    has_schema_privilege(current_schema(), 'CREATE') AS may_create,
    pg_is_in_recovery() AS is_standby,
    clock_timestamp() AS now,
    to_regclass('alembic_version') IS NOT NULL AS is_migrated,
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1::text[]) AND NOT (
            has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
            AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
        )
        ORDER BY relname
    ) AS forbidden,
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1::text[]) ORDER BY relname
    ) AS tables
"""


class Facts(NamedTuple):
    """What the database tells of itself."""

    version: str
    major: int
    encoding: str
    connections: int
    """How many it has for others than superusers."""
    name: str
    """Who we are there."""
    schema: str | None
    may_create: bool | None
    is_standby: bool
    now: datetime
    asked: datetime
    """When it was asked, by the clock of this machine."""
    is_migrated: bool
    tables: list[str]
    """Those of this API's tables that are there, or whose names others have taken."""
    forbidden: list[str]
    """The tables that may not be read and written."""
    revision: str | None = None


async def database(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the database, if one runs."""
    url = settings.database_url
    if url is None:
        from tools import postgres  # for development; an image for production lacks it

        url = postgres.running_url(EMBEDDED_POSTGRES)
        if url is None:
            yield _embedded(postgres.version_to_start(), postgres.home_of(EMBEDDED_POSTGRES))
            yield skipped("the database itself: it starts with the server, as an embedded one")
            return
    try:
        facts = await _facts(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as failure:
        trouble = trouble_of(failure, url)
        yield mend(f"database: {trouble.what}", trouble.remedy) if trouble else mend(f"database: {failure}", "")
        return
    yield fine(f"database: Postgres {facts.version} answers at {place_of(make_url(url))}")
    for check in _OF_DATABASE:
        yield check(facts, settings)


def _embedded(major: int, home: Path) -> Finding:
    """Look whether an embedded Postgres could be started."""
    if not major:
        return mend(
            "database: there is no Postgres to start",
            "make install brings one; or let DATABASE_URL name one that runs.",
        )
    place = next(path for path in (home, *home.parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        return mend(f"database: {place} cannot be written by this user", "Change its owner, or set DATABASE_URL.")
    return fine(f"database: an embedded Postgres {major} can be started in {home}")


async def _facts(url: str) -> Facts:
    """Ask the database of itself, in a transaction that can change nothing."""
    connection: Any = await asyncpg.connect(**driver_arguments(make_url(url), "doctor"), timeout=_PATIENCE_SECONDS)
    try:
        async with connection.transaction(readonly=True):
            asked = datetime.now(UTC)
            row = await connection.fetchrow(_FACTS, [*Base.metadata.tables, _VERSION_TABLE], timeout=_PATIENCE_SECONDS)
            facts = Facts(**row, asked=asked)
            if facts.is_migrated and _VERSION_TABLE not in facts.forbidden:
                revision = await connection.fetchval("SELECT version_num FROM alembic_version")
                facts = facts._replace(revision=revision)
        return facts
    finally:
        connection.terminate()


def postgres_version(facts: Facts, _: Settings) -> Finding:
    """Look whether Postgres is new enough, and has all letters."""
    if trouble := trouble_with(Server(facts.version, facts.major, facts.encoding)):
        return mend(*trouble)
    return fine(f"Postgres is {OLDEST_POSTGRES} or newer, in UTF8")


def privileges(facts: Facts, _: Settings) -> Finding:
    """Look whether we may do there what we must."""
    if facts.is_standby:
        return mend("the database is a standby, which can only be read", "Let DATABASE_URL name the primary.")
    if facts.schema is None:
        return mend(f"{facts.name} has no schema", f'GRANT CREATE, USAGE ON SCHEMA public TO "{facts.name}"')
    if facts.forbidden:
        return mend(
            f"{facts.name} may not read and write {', '.join(facts.forbidden)}",
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{facts.schema}" TO "{facts.name}"',
        )
    if not facts.may_create:
        remedy = f'Migrate as another user, or: GRANT CREATE ON SCHEMA "{facts.schema}" TO "{facts.name}"'
        make = mind if facts.is_migrated else mend
        return make(f"{facts.name} may not make tables, which migrations do", remedy)
    return fine(f"{facts.name} may read, write and migrate")


def migrated(facts: Facts, _: Settings) -> Finding:
    """Look whether the database has the schema that this version expects."""
    if _VERSION_TABLE in facts.forbidden:
        return skipped("migrations cannot be looked at without that right")
    if facts.revision is None and facts.tables not in ([], [_VERSION_TABLE]):
        return mend(
            f"the database has tables that no migration of this API made: {', '.join(facts.tables)}",
            "Let DATABASE_URL name an empty one; createdb makes it.",
        )
    if migrations.is_behind(facts.revision):
        return mend("the database lacks migrations", "python -m app migrate (make run does it by itself)")
    if not migrations.is_known(facts.revision):
        return mind(NEWER_DATABASE, f"It works during an upgrade. Else: {USE_THAT_VERSION}")
    return fine("migrations are up to date")


def connections(facts: Facts, settings: Settings) -> Finding:
    """Look whether there are as many connections as there may be wanted."""
    wanted = settings.workers * (settings.database_pool_size + _BESIDE_THE_POOL)
    told = f"WORKERS * (DATABASE_POOL_SIZE + {_BESIDE_THE_POOL}) is {wanted}, of {facts.connections} connections"
    if wanted > facts.connections:
        return mend(told, "Lower WORKERS or DATABASE_POOL_SIZE, or raise max_connections of Postgres.")
    return fine(f"connections: {told}")


def clocks(facts: Facts, _: Settings) -> Finding:
    """Look whether the database's clock and this machine's agree: logins end by both."""
    skew = abs(facts.now - facts.asked)
    if skew > _SKEW:
        return mend(
            f"the clocks of this machine and the database are {skew.total_seconds():.0f} s apart",
            "Let both be set by NTP: logins end too early or too late.",
        )
    return fine("clocks agree")


_OF_DATABASE: tuple[Callable[[Facts, Settings], Finding], ...] = (
    postgres_version,
    privileges,
    migrated,
    connections,
    clocks,
)
