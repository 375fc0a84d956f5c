"""Deleting what is old."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from app.pruning.partitions import Driver, first_key
from app.pruning.pruner import Result, prune
from app.pruning.schedule import Pruning
from app.settings import Settings

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
EVENT = "INSERT INTO events (id, type, entity_id, payload) VALUES ($1, 'product.updated', $1, '{}')"
ENTRY = "INSERT INTO audit_entries (id, operation, fields, request_id) VALUES ($1, 'placeOrder', '{}', 'request')"


async def pruned(driver: Driver, settings: Settings | None = None, now: datetime | None = None) -> Mapping[str, Result]:
    """Prune, as if it were now; return what was done, by the names of the kinds."""
    return {result.kind.name: result async for result in prune(driver, settings or Settings(), now=now)}


def ago(age: timedelta) -> datetime:
    """Return the moment."""
    return datetime.now(UTC) - age


async def insert(driver: Driver, statement: str, moment: datetime) -> None:
    """Insert a row whose key was made at this moment; it is the first with one of that millisecond."""
    await driver.execute(statement, first_key(moment))


def pruning_of(engine: AsyncEngine) -> Pruning:
    """Return the pruning of a process, which has not begun."""
    return Pruning(engine.url, Settings())
