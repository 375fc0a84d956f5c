"""Deletes what is old, in small steps: `python -m app prune`, and the server now and then."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from app.pruning import partitions
from app.pruning.catalog import KINDS, Kind
from app.pruning.partitions import Driver, begin_of, first_key
from app.settings import Settings

ROWS_AT_ONCE = 1_000


@dataclass
class Result:
    """What was done about a kind of rows."""

    kind: Kind
    rows: int = 0
    """Deleted one by one."""
    dropped: int = 0
    added: int = 0
    """Partitions."""
    owner: str = ""
    """Who may add and drop partitions, where this role may not."""

    def __str__(self) -> str:
        partitions = f"; partitions: {self.dropped} dropped, {self.added} added" if self.kind.period else ""
        return f"{self.kind.name}: {self.rows:,} deleted{partitions}"


async def prune(
    driver: Driver, settings: Settings, *, now: datetime | None = None, waits: bool = False
) -> AsyncIterator[Result]:
    """Delete what is old, and yield what was done about each kind. While somebody else changes tables, partitions stay
    as they are, or with `waits`, wait. The connection is not used for anything else."""
    now = now or datetime.now(UTC)
    await partitions.limit_waits(driver)
    for kind in KINDS:
        result = Result(kind)
        if kind.period is None:
            result.rows = await _delete(driver, kind.statement, _oldest_kept(kind, settings, now))
        else:
            await _prune_log(driver, settings, result, now, waits=waits)
        yield result


def _oldest_kept(kind: Kind, settings: Settings, now: datetime) -> UUID | None:
    """Return the first key that is kept; None for all. Of partitions, all of one is kept, or nothing."""
    age = kind.age(settings)
    if age is None:
        return None
    return first_key(now - age if kind.period is None else begin_of(now - age, kind.period))


async def _prune_log(driver: Driver, settings: Settings, result: Result, now: datetime, *, waits: bool) -> None:
    kind, rights = result.kind, await partitions.rights_on(driver, result.kind.table)
    if rights is None or kind.period is None:
        return
    if not rights.may_change:
        # Time for the owner to drop partitions: rows are deleted one by one, which takes far longer, only after it.
        result.owner, now = rights.owner, now - kind.period
    oldest = _oldest_kept(kind, settings, now)
    if kind.before:
        await _delete(driver, kind.before, oldest)
    if rights.may_change:
        async with partitions.changing(driver, rights, waits=waits) as may_change:
            if not may_change:
                return
            result.added = await partitions.add_missing(driver, kind.table, kind.period, now)
            result.dropped = 0 if oldest is None else await partitions.drop_before(driver, kind.table, oldest)
    result.rows = await _delete(driver, kind.statement, oldest)


async def _delete(driver: Driver, statement: str, key: UUID | None) -> int:
    """Delete rows before the key until none is left; return how many. Half of the time, others have the server."""
    total, loop = 0, asyncio.get_running_loop()
    while key is not None:
        begun = loop.time()
        deleted = int((await partitions.patiently(driver, statement, key, ROWS_AT_ONCE)).rpartition(" ")[2])
        total += deleted
        if deleted < ROWS_AT_ONCE:
            break
        await asyncio.sleep(loop.time() - begun)
    return total
