"""What the doctor checks in the database."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import make_url

from app.cli.output import Finding, ok, problem, skipped, warning
from app.cli.pooler_check import pooler_finding
from app.cli.replica_checks import replicas
from app.cli.serving import PUBLIC_PASSWORD
from app.cli.troubles import NEWER_DATABASE, USE_THAT_VERSION, place_of, trouble_of, trouble_with
from app.db import migrations
from app.db.engine import connect
from app.db.migration_locks import INVALID_INDEXES
from app.db.models import Base
from app.db.startup import OLDEST_POSTGRES, PostgresInfo
from app.pruning.catalog import LOGS
from app.pruning.partitions import TOO_SHORT, layout_of, rights_on
from app.settings import EMBEDDED_POSTGRES, Settings
from app.users.demo import demo_accounts_in

_PATIENCE_SECONDS = 5.0
_VERSION_TABLE = "alembic_version"
_SKEW = timedelta(seconds=5)
BESIDE_THE_POOL = 3
"""Connections of a process outside its pool: one listens for events, one checks readiness, one prunes."""
_FACTS = f"""
SELECT current_setting('server_version') AS version,
    current_setting('server_version_num')::int / 10000 AS major,
    current_setting('server_encoding') AS encoding,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS connections,
    current_user AS name,
    current_schema() AS schema,
    has_schema_privilege(current_schema(), 'CREATE') AS may_create,
    pg_is_in_recovery() AS is_standby,
    clock_timestamp() AS now,
    coalesce(array_agg(relname::text ORDER BY relname), '{{}}') AS tables,
    coalesce(array_agg(relname::text ORDER BY relname) FILTER (WHERE NOT (
        has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
    )), '{{}}') AS forbidden,
    ARRAY({INVALID_INDEXES}) AS invalid_indexes
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1::text[])
"""  # noqa: S608  # a constant


class Facts(NamedTuple):
    """What the database reports about itself."""

    version: str
    major: int
    encoding: str
    connections: int
    """How many it allows, apart from those reserved for superusers."""
    name: str
    """The user that this API connects as."""
    schema: str | None
    may_create: bool | None
    is_standby: bool
    now: datetime
    asked: datetime
    """When the query was sent, by the clock of this machine."""
    tables: list[str]
    """The tables that have a name of one of this API's tables, whatever created them."""
    forbidden: list[str]
    """The tables that this user may not read and write."""
    invalid_indexes: Sequence[str] = ()
    """The indexes that were left unfinished."""
    revision: str | None = None
    ahead: Mapping[str, timedelta] = MappingProxyType({})
    """For how long there are partitions of each partitioned table."""
    pruner: str = ""
    """Who may add and drop partitions, where this user may not."""


async def database(settings: Settings) -> AsyncIterator[Finding]:
    """Check the database if it is running."""
    url = settings.database_url
    if url is None:
        try:
            from tools import postgres  # not part of the production image
        except ModuleNotFoundError:
            yield problem("database: the embedded Postgres is not part of this image", "Set DATABASE_URL.")
            return
        if (url := postgres.running_url(EMBEDDED_POSTGRES)) is None:
            yield _embedded(postgres.version_to_start(), postgres.home_of(EMBEDDED_POSTGRES))
            yield skipped("checks of the database itself: the embedded one starts with the server")
            return
    try:
        facts = await _facts(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as failure:
        trouble = trouble_of(failure, url)
        yield problem(f"database: {trouble.what}", trouble.remedy) if trouble else problem(f"database: {failure}")
        return
    yield ok(f"database: Postgres {facts.version} answers at {place_of(make_url(url))}")
    if settings.database_url is None:
        yield ok(f"the data of the embedded Postgres is in {postgres.home_of(EMBEDDED_POSTGRES)}")
    yield await pooler_finding(settings, url)
    for check in (postgres_version, privileges, migrated, indexes, partitions, connections, clocks):
        yield check(facts, settings)
    async for finding in replicas(settings):
        yield finding
    if (reason := settings.why_public()) is not None and "users" not in facts.forbidden:
        yield demo_accounts(reason, await demo_accounts_in(url))


def demo_accounts(reason: str, found: Sequence[str]) -> Finding:
    """Check that the database has no accounts with a public password, as others than this machine reach it."""
    if found:
        what = f"{reason}, and {PUBLIC_PASSWORD}: {', '.join(found)} can log in"
        return problem(what, "Change their passwords, or delete them.")
    return ok("the database has no demo accounts")


def _embedded(major: int, home: Path) -> Finding:
    """Check that an embedded Postgres could start."""
    if not major:
        remedy = "make install installs one; or point DATABASE_URL at a running one."
        return problem("database: no Postgres is installed", remedy)
    place = next(path for path in (home, *home.parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        return problem(f"database: this user cannot write {place}", "Change its owner, or set DATABASE_URL.")
    return ok(f"database: an embedded Postgres {major} can start in {home}")


async def _facts(url: str) -> Facts:
    """Query the facts in a read-only transaction."""
    connection: Any = await connect(make_url(url), "doctor", _PATIENCE_SECONDS, names_statements=False)
    try:
        async with connection.transaction(readonly=True):
            asked = datetime.now(UTC)
            row = await connection.fetchrow(_FACTS, [*Base.metadata.tables, _VERSION_TABLE], timeout=_PATIENCE_SECONDS)
            facts = Facts(**row, asked=asked)
            if _VERSION_TABLE not in facts.tables or _VERSION_TABLE in facts.forbidden:
                return facts
            facts = facts._replace(revision=await connection.fetchval("SELECT version_num FROM alembic_version"))
            return await _with_partitions(facts, connection)
    finally:
        connection.terminate()


async def _with_partitions(facts: Facts, connection: Any) -> Facts:
    """Return the facts with those of the partitioned tables."""
    ahead: dict[str, timedelta] = {}
    pruner = ""
    for table in LOGS:
        layout, rights = await layout_of(connection, table), await rights_on(connection, table)
        if layout.is_migrated and rights is not None:
            ahead[table] = layout.ahead(facts.now)
            pruner = pruner if rights.may_change else rights.owner
    return facts._replace(ahead=ahead, pruner=pruner)


def postgres_version(facts: Facts, _: Settings) -> Finding:
    """Check the version of Postgres and the encoding."""
    server = PostgresInfo(facts.version, facts.major, facts.encoding)
    return trouble_with(server) or ok(f"Postgres is {OLDEST_POSTGRES} or newer, in UTF8")


def privileges(facts: Facts, _: Settings) -> Finding:
    """Check what this user may do in the database."""
    if facts.is_standby:
        return problem("the database is a read-only standby", "Point DATABASE_URL at the primary.")
    if facts.schema is None:
        return problem(f"{facts.name} has no schema", f'GRANT CREATE, USAGE ON SCHEMA public TO "{facts.name}"')
    if facts.forbidden:
        return problem(
            f"{facts.name} may not read and write {', '.join(facts.forbidden)}",
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{facts.schema}" TO "{facts.name}"',
        )
    if not facts.may_create:
        remedy = f'Run migrations as another user, or: GRANT CREATE ON SCHEMA "{facts.schema}" TO "{facts.name}"'
        finding = warning if _VERSION_TABLE in facts.tables else problem
        return finding(f"{facts.name} may not create tables, which migrations need", remedy)
    return ok(f"{facts.name} may read, write and migrate")


def migrated(facts: Facts, _: Settings) -> Finding:
    """Check that the database has the schema of this version."""
    if _VERSION_TABLE in facts.forbidden:
        return skipped("migrations: checking them needs the privileges above")
    if facts.revision is None and facts.tables not in ([], [_VERSION_TABLE]):
        return problem(
            f"the database has tables that no migration of this API made: {', '.join(facts.tables)}",
            "Point DATABASE_URL at an empty database; createdb creates one.",
        )
    if migrations.is_behind(facts.revision):
        return problem("migrations are missing", "python -m app migrate")
    if not migrations.is_known(facts.revision):
        return warning(NEWER_DATABASE, f"Expected during an upgrade. Otherwise: {USE_THAT_VERSION}")
    return ok("migrations are up to date")


def indexes(facts: Facts, _: Settings) -> Finding:
    """Check that every index is complete: queries don't use an unfinished one, and writes still maintain it."""
    if facts.invalid_indexes:
        return problem(f"indexes are unfinished: {', '.join(facts.invalid_indexes)}", "python -m app migrate")
    return ok("every index is complete")


def partitions(facts: Facts, _: Settings) -> Finding:
    """Check that there are partitions for what is about to be written, and say who adds and drops them."""
    if not facts.ahead:
        return skipped("partitions: the migrations add the first ones")
    ready = ", ".join(f"{table} for {span / timedelta(days=1):.0f} days" for table, span in facts.ahead.items())
    command = "python -m app prune"
    if facts.pruner:
        command = f"Run it as {facts.pruner} every day, as {facts.name} may not add and drop partitions: {command}"
    if min(facts.ahead.values()) < TOO_SHORT:
        return warning(f"partitions run out: {ready}", command)
    return ok(f"partitions are ready: {ready}", command if facts.pruner else "")


def connections(facts: Facts, settings: Settings) -> Finding:
    """Check that Postgres allows as many connections as all processes may open, but for those through a pooler."""
    is_pooled = settings.database_direct_url is not None
    each = BESIDE_THE_POOL + (0 if is_pooled else settings.database_pool_size)
    wanted = settings.max_instances * settings.workers * each
    made_of = f"{BESIDE_THE_POOL}" if is_pooled else f"(DATABASE_POOL_SIZE + {BESIDE_THE_POOL})"
    beside = ", beside those of the pooler" if is_pooled else ""
    usage = f"MAX_INSTANCES * WORKERS * {made_of} is {wanted} of {facts.connections} connections{beside}"
    if wanted > facts.connections:
        return problem(usage, "Lower one of them, or raise max_connections of Postgres.")
    return ok(f"connections: {usage}")


def clocks(facts: Facts, _: Settings) -> Finding:
    """Check that the clocks of the database and this machine agree: tokens expire by both."""
    skew = abs(facts.now - facts.asked)
    if skew <= _SKEW:
        return ok("clocks agree")
    what = f"the clocks of this machine and the database are {skew.total_seconds():.0f} s apart"
    return problem(what, "Synchronize both with NTP: tokens expire too early or too late.")
