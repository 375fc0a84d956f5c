"""Partitions of a table by the time of its keys, which are UUIDv7: which there are, and how one is added or dropped
while others read and write.

A partition is made before its time begins, or not at all: until then, nobody writes the rows that it is for. What no
partition is for, the default one has."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from app.db.migration_locks import LOCK_POLL_SECONDS, LOCK_WAIT_MILLISECONDS, MIGRATION_LOCK, Patience

Driver: TypeAlias = "asyncpg.Connection[Any]"

AHEAD = timedelta(days=28)
"""How far ahead there are partitions, at least, once they have been added."""
TOO_SHORT = timedelta(days=14)
"""How far ahead there must be some, or else somebody has to see to it."""
_MARGIN = timedelta(hours=1)
"""How far the clocks of who makes keys may be apart."""
_FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_STATEMENT_SECONDS = 600.0
_BOUNDS = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'(.+)')\) TO \((?:MAXVALUE|'(.+)')\)")
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)
_PARTITIONS = """
    SELECT inhrelid::regclass::text AS name, pg_get_expr(relpartbound, inhrelid) AS bounds
    FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass($1)
"""
_RIGHTS = """
    SELECT quote_ident(pg_get_userbyid(relowner)) AS owner,
        pg_has_role(relowner, 'MEMBER') AND has_schema_privilege(relowner, relnamespace, 'CREATE') AS may_change
    FROM pg_class WHERE oid = to_regclass($1)
"""
_HAS_CHECK = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2)"
_CHECK = "ck_before_partition"
_LIMITS = f"SET lock_timeout = {LOCK_WAIT_MILLISECONDS}; SET statement_timeout = 0"
_WITHOUT_LIMIT = "SELECT set_config('lock_timeout', '0', true)"


class Span(NamedTuple):
    """A partition, and the keys that it is for: from the first one, and before the second."""

    name: str
    start: UUID
    end: UUID


class Layout(NamedTuple):
    """The partitions of a table, in their order."""

    spans: Sequence[Span]
    default: str | None
    """The one for what no other is for; None if the table isn't partitioned."""

    @property
    def is_migrated(self) -> bool:
        """Whether there is a first partition, which the migrations make; none must be in its way."""
        return self.default is not None and bool(self.spans)

    @property
    def end(self) -> datetime:
        """Until when there are partitions."""
        return moment_of(self.spans[-1].end)

    def ahead(self, now: datetime) -> timedelta:
        """Return for how long there are partitions."""
        return max(self.end - now, timedelta(0))


class Rights(NamedTuple):
    """Who owns a table, as SQL names them, and whether this role may add and drop partitions."""

    owner: str
    may_change: bool


def first_key(moment: datetime) -> UUID:
    """Return what is less than every UUIDv7 from this moment on, and more than all from before."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def moment_of(key: UUID) -> datetime:
    """Return when a UUIDv7 was made; the last moment that there is, if that is later."""
    try:
        return datetime.fromtimestamp((key.int >> 80) / 1000, UTC)
    except (OverflowError, ValueError):
        return datetime.max.replace(tzinfo=UTC)


def begin_of(moment: datetime, period: timedelta) -> datetime:
    """Return when the period began that the moment belongs to."""
    return moment - (moment - _FIRST_MONDAY) % period


async def limit_waits(driver: Driver) -> None:
    """Limit how long each statement of the connection waits for a lock, and not how long it takes."""
    await driver.execute(_LIMITS)


async def patiently(driver: Driver, statement: str, *values: object) -> str:
    """Execute a statement, and again if a lock was waited for too long; return its status."""
    patience = Patience()
    while True:
        try:
            return await driver.execute(statement, *values, timeout=_STATEMENT_SECONDS)
        except asyncpg.LockNotAvailableError:
            if (seconds := patience.seconds()) is None:
                raise
            await asyncio.sleep(seconds)


async def layout_of(driver: Driver, table: str) -> Layout:
    """Return the partitions of a table."""
    rows = await driver.fetch(_PARTITIONS, table)
    bounds = [(row["name"], _BOUNDS.fullmatch(row["bounds"])) for row in rows]
    spans = [Span(name, *_keys(*found.groups())) for name, found in bounds if found is not None]
    default = next((name for name, found in bounds if found is None), None)
    return Layout(sorted(spans, key=lambda span: span.start), default)


def _keys(start: str | None, end: str | None) -> tuple[UUID, UUID]:
    return UUID(start) if start else _FIRST, UUID(end) if end else _LAST


async def rights_on(driver: Driver, table: str) -> Rights | None:
    """Return what this role may do with a table; None if there is none."""
    row = await driver.fetchrow(_RIGHTS, table)
    return None if row is None else Rights(*row.values())


@asynccontextmanager
async def changing(driver: Driver, rights: Rights, *, waits: bool) -> AsyncIterator[bool]:
    """Yield whether partitions can be changed within, as the owner of the table, while nobody else changes tables. With
    `waits`, wait until that is the case."""
    if not await _is_alone(driver, waits=waits):
        yield False
        return
    try:
        await driver.execute(f"SET ROLE {rights.owner}")
        yield True
    finally:
        if not driver.is_closed():
            await driver.execute(f"RESET ROLE; SELECT pg_advisory_unlock({MIGRATION_LOCK})")


async def _is_alone(driver: Driver, *, waits: bool) -> bool:
    """Return whether nobody else changes tables now. Wait without a transaction, for which others might wait."""
    while not await driver.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK):
        if not waits:
            return False
        await asyncio.sleep(LOCK_POLL_SECONDS)
    return True


async def add_missing(driver: Driver, table: str, period: timedelta, now: datetime) -> int:
    """Add partitions up to AHEAD; return how many."""
    layout = await layout_of(driver, table)
    if layout.default is None or not layout.spans:
        return 0
    if await driver.fetchval(_HAS_CHECK, layout.default, _CHECK):  # of a process that was killed
        await patiently(driver, f"ALTER TABLE {layout.default} DROP CONSTRAINT {_CHECK}")
    added = 0
    for start, end in _missing(layout, period, now):
        with suppress(asyncpg.CheckViolationError):  # rows from the future are where they are
            await _add(driver, table, layout.default, start, end)
            added += 1
    return added


def _missing(layout: Layout, period: timedelta, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    start = max(layout.end, begin_of(now + _MARGIN, period) + period)
    while start < now + AHEAD:
        end = begin_of(start, period) + period
        yield start, end
        start = end


async def _add(driver: Driver, table: str, default: str, begin: datetime, finish: datetime) -> None:
    """Add a partition. To attach one, Postgres reads the default partition while nobody else may, unless a check says
    that no row belongs elsewhere; to validate that takes as long, and keeps nobody waiting."""
    name, start, end = f"{table}_p{begin:%Y%m%d}", first_key(begin), first_key(finish)
    await patiently(
        driver, f"ALTER TABLE {default} ADD CONSTRAINT {_CHECK} CHECK (id < '{start}' OR id >= '{end}') NOT VALID"
    )
    try:
        # Nobody waits for who waits for this lock.
        await patiently(driver, f"{_WITHOUT_LIMIT}; ALTER TABLE {default} VALIDATE CONSTRAINT {_CHECK}")
        # Together, so that they are one transaction.
        await patiently(
            driver,
            f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
            f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')",
        )
    finally:
        await patiently(driver, f"ALTER TABLE {default} DROP CONSTRAINT {_CHECK}")


async def drop_before(driver: Driver, table: str, key: UUID) -> int:
    """Drop the partitions that have no keys from this one on; return how many. Postgres can't detach them concurrently,
    as there is a default partition. The last one stays, and the next follows it."""
    old = [span.name for span in (await layout_of(driver, table)).spans[:-1] if span.end <= key]
    for name in old:
        await patiently(driver, f"DROP TABLE {name}")
    return len(old)
