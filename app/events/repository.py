"""The SQL of the event log.

A mutation inserts its events. After the commit, any process gives them positions, in a transaction of its own that only
inserts: what is new since the last time is exactly what that snapshot did not see. So nothing is marked or updated, a
transaction held open elsewhere leaves no dead rows to step over, and its own events follow once it commits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias
from uuid import UUID

import asyncpg
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from app.db.models import Event as EventRow
from app.errors import EventsExpired
from app.events import legacy
from app.events.catalog import Event

Driver: TypeAlias = "asyncpg.Connection[Any]"

CHANNEL = "orders_api_events"
PAGE = 500
COUNTED = 10_000
_LOCK = 7_034_513  # any constant: processes that give positions take turns
_WRITTEN: Mapping[str, Any] = {
    "id": sa.Uuid(),
    "type": sa.Text(),
    "entity_id": sa.Uuid(),
    "store_id": sa.Uuid(),
    "actor_id": sa.Uuid(),
    "payload": JSONB(),
}


class Cursor(NamedTuple):
    """A place in the log: the position of an event, and its id: another event has the position
    once a backup was restored, or a standby promoted that lacked the event."""

    position: int
    event_id: UUID | None

    def __str__(self) -> str:
        return f"{self.position} {'-' if self.event_id is None else self.event_id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a cursor; ValueError if it is none."""
        position, key = text.split()
        return cls(int(position), None if key == "-" else UUID(key))


class Positioned(NamedTuple):
    """An event in the log."""

    position: int
    id: UUID
    type: str
    entity_id: UUID
    store_id: UUID | None
    actor_id: UUID | None
    payload: Mapping[str, Any]

    @property
    def cursor(self) -> Cursor:
        """Its place in the log."""
        return Cursor(self.position, self.id)


class Backlog(NamedTuple):
    """The committed events that have no position yet, at most COUNTED of them, and the age of the oldest in seconds."""

    waiting: int
    oldest: float


def _inserted() -> sa.CTE:
    given = sa.func.jsonb_to_recordset(sa.cast(sa.bindparam("events", type_=sa.Text), JSONB))
    rows = given.table_valued(*(sa.column(name, type_) for name, type_ in _WRITTEN.items()))
    return inserted_from(sa.select(*rows.render_derived("given", with_types=True).c))


def inserted_from(rows: sa.Select[Any] | sa.CompoundSelect[Any]) -> sa.CTE:
    """Return a part of a statement that inserts events from rows, in their order, with the columns of an event."""
    return sa.insert(EventRow).from_select([*_WRITTEN], rows, include_defaults=False).cte("logged")


INSERTED = _inserted()
"""A part of a statement that inserts the events in `:events`."""


def parameter(events: Iterable[Event], actor_id: UUID | None) -> str:
    """Return events as INSERTED takes them."""
    return orjson.dumps(
        [{"id": uuid7(), "actor_id": actor_id, **event._asdict()} for event in events], default=str
    ).decode()


# What the last snapshot did not see: rows of the transactions that began after it, and of those that it saw running.
_NEW = """
    last AS MATERIALIZED (SELECT position, snapshot FROM event_positions ORDER BY position DESC LIMIT 1),
    new AS MATERIALIZED (
        SELECT {columns} FROM last JOIN events ON xid >= pg_snapshot_xmax(snapshot)
        UNION ALL
        SELECT found.* FROM last CROSS JOIN pg_snapshot_xip(snapshot) AS running
        CROSS JOIN LATERAL (SELECT {columns} FROM events WHERE xid = running OFFSET 0) AS found
    )"""
_SEQUENCE = f"""
    WITH {_NEW.format(columns="id, number, type, entity_id, store_id, payload")},
    sequenced AS (
        INSERT INTO event_positions (position, event_id, store_id, snapshot)
        SELECT position + row_number() OVER (ORDER BY number), id, store_id,
               CASE WHEN number = max(number) OVER () THEN pg_current_snapshot() END
        FROM new CROSS JOIN last
        RETURNING position, event_id, snapshot
    ),
    legacy AS ({legacy.SENT})
    SELECT pg_notify('{CHANNEL}', position || ' ' || replace(event_id::text, '-', '')), (SELECT sent FROM legacy)
    FROM sequenced WHERE snapshot IS NOT NULL
"""  # noqa: S608  # our names
_BACKLOG = f"""
    WITH {_NEW.format(columns="created_at")}
    SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
    FROM (SELECT created_at FROM new LIMIT {COUNTED}) AS waiting
"""  # noqa: S608  # our names
# The plan is made while the tables may be empty, and kept.
_LOCKED = f"""
    SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true), pg_advisory_xact_lock({_LOCK})
"""  # our number
_LATEST = "SELECT position, event_id FROM event_positions ORDER BY position DESC LIMIT 1"
_AT = "SELECT event_id FROM event_positions WHERE position = $1"
_AFTER = f"""
    SELECT position, id, type, entity_id, events.store_id, actor_id, payload
    FROM event_positions LEFT JOIN events ON id = event_id
    WHERE position > $1 ORDER BY position LIMIT {PAGE}
"""  # noqa: S608  # our number
_OF_STORES = "SELECT id FROM products WHERE store_id = ANY($1) AND id = ANY($2)"
# After a restore into a server that has given fewer transaction ids, its own would look as if they had been seen.
_IS_FOREIGN = """
    SELECT pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())
    FROM event_positions ORDER BY position DESC LIMIT 1
"""
_ADOPT = """
    UPDATE events SET xid = CASE WHEN EXISTS (SELECT FROM event_positions WHERE event_id = events.id)
                                 THEN '3'::xid8 ELSE pg_current_xact_id() END;
    UPDATE event_positions SET snapshot = pg_current_snapshot()
    WHERE position = (SELECT max(position) FROM event_positions)
"""
OLD_POSITIONS = """
    WITH old AS MATERIALIZED (SELECT position, event_id FROM event_positions ORDER BY position LIMIT $2)
    DELETE FROM event_positions USING old
    WHERE event_positions.position = old.position
      AND NOT EXISTS (SELECT FROM (SELECT min(position) AS first FROM old WHERE event_id >= $1) AS kept
                      WHERE first <= old.position)
      AND old.position < (SELECT max(position) FROM event_positions)
"""
"""A statement that deletes at most $2 of the oldest positions, up to the first event with a key from $1 on: who has
read up to one of those reads on, and who has read less has missed events. The last position stays: the next follows."""


class Sequencer:
    """Gives positions to new events, over one connection: a transaction of two statements in one round trip."""

    def __init__(self, driver: Driver, statement: Any) -> None:
        self._driver = driver
        self._statement = statement  # the driver forgets it otherwise
        # The second statement sees what the previous holder of the lock has written.
        self._sql = f"{_LOCKED}; EXECUTE {statement.get_name()}"

    @classmethod
    async def over(cls, driver: Driver) -> Self:
        """Prepare the statements, and adopt a log that was restored from another server."""
        if await driver.fetchval(_IS_FOREIGN):
            await _adopt(driver)
        return cls(driver, await driver.prepare(_SEQUENCE))

    async def sequence(self) -> None:
        """Give every committed event that has none a position, after all others, and announce them."""
        await self._driver.execute(self._sql)


async def _adopt(driver: Driver) -> None:
    async with driver.transaction():
        await driver.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        if await driver.fetchval(_IS_FOREIGN):
            await driver.execute(_ADOPT)


async def latest(driver: Driver) -> Cursor:
    """Return the end of the log."""
    row = await driver.fetchrow(_LATEST)
    assert row is not None, "the log has a first row"
    return Cursor(row["position"], row["event_id"])


async def require_known(driver: Driver, cursor: Cursor) -> None:
    """Raise EventsExpired unless the log has this event at this position, and so all that followed it."""
    row = await driver.fetchrow(_AT, cursor.position)
    if row is None or row["event_id"] != cursor.event_id:
        raise EventsExpired


async def after(driver: Driver, position: int) -> Sequence[Positioned]:
    """Return the next PAGE events after the position; those that are deleted already are left out."""
    return [
        Positioned(*row.values())._replace(payload=orjson.loads(row["payload"]))
        for row in await driver.fetch(_AFTER, position)
        if row["id"] is not None
    ]


async def backlog(driver: Driver) -> Backlog:
    """Return how many events wait for a position."""
    row = await driver.fetchrow(_BACKLOG)
    assert row is not None, "it counts"
    return Backlog(*row.values())


async def products_of(driver: Driver, stores: Sequence[UUID], keys: Sequence[UUID]) -> Sequence[UUID]:
    """Return those of the products that these stores sell."""
    return [row["id"] for row in await driver.fetch(_OF_STORES, stores, keys)]
