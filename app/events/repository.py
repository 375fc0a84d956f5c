"""The SQL of the event log.

A mutation inserts its events. After the commit, any process announces them, in a transaction of its own that inserts
one row: a batch, with the snapshot that sees the events. So nothing is marked or updated, a transaction held open
elsewhere leaves no dead rows to step over, and its own events follow once it commits."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Self, TypeAlias
from uuid import UUID

import asyncpg
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from uuid_utils.compat import uuid7

from app.db.models import Event as EventRow
from app.db.models import EventBatch, Product, TransactionId
from app.db.statements import KEYS, Prepared, table_of
from app.errors import EventsExpired
from app.events.catalog import Event

Driver: TypeAlias = "asyncpg.Connection[Any]"

CHANNEL = "orders_api_events"
PAGE = 500
COUNTED = 10_000
_LOCK = 7_034_513  # any constant: one process adopts a log
_WRITTEN: Mapping[str, Any] = {
    "id": sa.Uuid(),
    "type": sa.Text(),
    "entity_id": sa.Uuid(),
    "store_id": sa.Uuid(),
    "actor_id": sa.Uuid(),
    "payload": JSONB(),
}


class Cursor(NamedTuple):
    """A place in the log: after the events of a batch up to this number, or after all of them. The moment proves that
    the batch is the same: another has its position once a backup was restored, or a standby promoted that lacked it."""

    position: int
    moment: Decimal
    """When the batch was made, in seconds since 1970."""
    number: int | None = None

    def __str__(self) -> str:
        return f"{self.position} {self.moment}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a cursor after a whole batch; ValueError if it is none."""
        position, _, moment = text.partition(" ")
        if not moment.replace(".", "", 1).isdecimal():
            raise ValueError(text)
        return cls(int(position), Decimal(moment))

    @property
    def first(self) -> int:
        """The position of the batch that comes next, or has been read in part."""
        return self.position + (self.number is None)


class Positioned(NamedTuple):
    """An event in the log, and the cursor after it."""

    cursor: Cursor
    id: UUID
    type: str
    entity_id: UUID
    store_id: UUID | None
    actor_id: UUID | None
    payload: Mapping[str, Any]


class Backlog(NamedTuple):
    """The committed events that have not been announced, at most COUNTED of them, and the age of the oldest in
    seconds."""

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


_events, _batches, _products = table_of(EventRow), table_of(EventBatch), table_of(Product)


def _xmax(batch: sa.FromClause) -> sa.ColumnElement[Any]:
    return sa.func.pg_snapshot_xmax(batch.c.snapshot)


def _sees(batch: sa.FromClause, xid: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.func.pg_visible_in_snapshot(xid, batch.c.snapshot)


def _moment(batch: sa.FromClause) -> sa.ColumnElement[Any]:
    return sa.extract("epoch", batch.c.made_at)


def _unseen_by(batch: sa.FromClause, *conditions: sa.ColumnElement[bool]) -> sa.FromClause:
    """Return the events that the snapshot of a batch did not see: of the transactions that began later, where they meet
    the conditions, and of those that it saw running. Each is found by an index on the transaction's id."""
    later = sa.select(_events).where(_events.c.xid >= _xmax(batch), *conditions).correlate(batch, _batch)
    ids = sa.func.pg_snapshot_xip(batch.c.snapshot).table_valued(sa.column("xid", TransactionId))
    running = ids.render_derived("running")
    # Otherwise, the plan could be to look through all events.
    found = sa.select(_events).where(_events.c.xid == running.c.xid).offset(sa.literal_column("0")).lateral("found")
    ended = sa.select(found).select_from(running.join(found, sa.true())).correlate(batch)
    return sa.union_all(later, ended).lateral("unseen")


_batch, _previous = _batches.alias("batch"), _batches.alias("previous")
_last = sa.select(_batches).order_by(_batches.c.position.desc()).limit(1).subquery("last")


def _announcing() -> Prepared:
    """Return the statement that makes a batch, unless the last one is younger than `:pause`, or another process is
    making one: its position is the same.

    The statement sees the last batch, whose transaction has ended, and so everything that its snapshot saw."""
    now = sa.func.clock_timestamp()
    # A batch of the future shows that the clock was set back.
    is_young = _last.c.made_at.between(now - sa.bindparam("pause", type_=sa.Interval), now)
    new = sa.select(_last.c.position + 1, sa.func.pg_current_snapshot()).where(~is_young)
    made = insert(EventBatch).from_select(["position", "snapshot"], new, include_defaults=False)
    text = sa.func.concat_ws(" ", _batches.c.position, _moment(_batches))
    return Prepared(
        made.on_conflict_do_nothing().returning(_batches.c.position, sa.func.pg_notify(CHANNEL, text).label("sent"))
    )


def _reading(page: int = PAGE) -> Prepared:
    """Return the statement for the next events after a cursor, up to a batch."""
    unseen = _unseen_by(_previous, _events.c.xid < _xmax(_batch))
    first, number = sa.bindparam("first", type_=sa.BigInteger), sa.bindparam("number", type_=sa.BigInteger)
    batches = _batch.join(_previous, _previous.c.position == _batch.c.position - 1)
    return Prepared(
        sa.select(
            _batch.c.position, _moment(_batch).label("moment"), *(unseen.c[name] for name in ("number", *_WRITTEN))
        )
        .select_from(batches.join(unseen, _sees(_batch, unseen.c.xid)))
        .where(
            _batch.c.position.between(first, sa.bindparam("last", type_=sa.BigInteger)),
            sa.or_(_batch.c.position > first, unseen.c.number > number),
        )
        .order_by(_batch.c.position, unseen.c.number)
        .limit(page)
    )


def _counting() -> Prepared:
    unseen = _unseen_by(_last)
    waiting = sa.select(unseen.c.created_at).select_from(_last.join(unseen, sa.true())).limit(COUNTED).subquery()
    age = sa.extract("epoch", sa.func.now() - sa.func.min(waiting.c.created_at))
    return Prepared(sa.select(sa.func.count(), sa.func.coalesce(sa.cast(age, sa.Double), 0)).select_from(waiting))


def _adopting() -> Prepared:
    """Return the statement that makes the log one of this server: what was not announced will be in the next batch. The
    snapshot is older than the transaction's own id, which the events get."""
    seen = sa.cast(sa.literal_column("'3'"), TransactionId)  # the first id that any server gives
    xid = sa.case((_sees(_last, _events.c.xid), seen), else_=sa.func.pg_current_xact_id())
    moved = sa.update(EventRow).where(_last.c.position.is_not(None)).values(xid=xid).cte("moved")
    gone = sa.delete(EventBatch).cte("gone")
    new = sa.select(_last.c.position + 1, sa.func.pg_current_snapshot())
    made = sa.insert(EventBatch).from_select(["position", "snapshot"], new, include_defaults=False)
    return Prepared(made.add_cte(moved, gone))


_ANNOUNCE = _announcing()
_READ = _reading()
_BACKLOG = _counting()
_LATEST = Prepared(sa.select(_last.c.position, _moment(_last)))
_AT = Prepared(
    sa.select(_batches.c.position, _moment(_batches)).where(
        _batches.c.position == sa.any_(sa.bindparam("positions", type_=ARRAY(sa.BigInteger)))
    )
)
_OF_STORES = Prepared(
    sa.select(_products.c.id).where(
        _products.c.store_id == sa.any_(sa.bindparam("stores", type_=ARRAY(sa.Uuid))), _products.c.id == sa.any_(KEYS)
    )
)
# After a restore into a server that has given fewer transaction ids, its own would look as if they had been seen.
_IS_FOREIGN = Prepared(
    sa.select(_xmax(_last) > sa.func.pg_snapshot_xmax(sa.func.pg_current_snapshot())).select_from(_last)
)
_ADOPT = _adopting()
_MADE = "to_timestamp(('x' || left(replace($1::uuid::text, '-', ''), 12))::bit(48)::bigint / 1000.0)"
OLD_BATCHES = f"""
    WITH old AS (
        SELECT position FROM event_batches
        WHERE made_at < {_MADE} + interval '1 hour' AND position < (SELECT max(position) FROM event_batches)
        ORDER BY position LIMIT $2 + 1
    )
    DELETE FROM event_batches WHERE position < (SELECT max(position) FROM old)
"""  # noqa: S608  # our own expression
"""A statement that deletes at most $2 of the oldest batches, from before the key $1 or within an hour after it, as
the clocks of processes that make keys may be behind. The last batch stays, as the next follows it; so does the last of
the old ones, as the next has what that did not see."""


async def _rows(driver: Driver, statement: Prepared, **values: Any) -> Sequence[Any]:
    rows: Sequence[Any] = await driver.fetch(statement.sql, *statement.arguments(values))
    return rows


async def prepare(driver: Driver) -> None:
    """Prepare a connection to announce and read events, and adopt a log that was restored from another server."""
    # Plans are made while the tables may be empty, and kept.
    await driver.execute("SET enable_seqscan = off; SET jit = off")
    if await _is_foreign(driver):
        async with driver.transaction():
            await driver.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            if await _is_foreign(driver):
                await _rows(driver, _ADOPT)


async def _is_foreign(driver: Driver) -> bool:
    ((is_foreign,),) = await _rows(driver, _IS_FOREIGN)
    return bool(is_foreign)


async def announce(driver: Driver, pause: float = 0.0) -> int | None:
    """Announce every committed event that was not: make a batch of them, and return its position. Return None if the
    last batch is younger than so many seconds, or another process is making one: it may lack some events."""
    made = await _rows(driver, _ANNOUNCE, pause=timedelta(seconds=pause))
    return made[0]["position"] if made else None


async def latest(driver: Driver) -> Cursor:
    """Return the end of the log."""
    (row,) = await _rows(driver, _LATEST)
    return Cursor(*row.values())


async def require_known(driver: Driver, cursor: Cursor) -> None:
    """Raise EventsExpired unless the log has the batch of the cursor, and so all that followed it."""
    needed = {cursor.position, cursor.first - 1}  # the first batch to read has what the one before did not
    found = dict(map(tuple, await _rows(driver, _AT, positions=[*needed])))
    if found.keys() != needed or found[cursor.position] != cursor.moment:
        raise EventsExpired


async def after(driver: Driver, cursor: Cursor, last: int) -> Sequence[Positioned]:
    """Return the next PAGE events after the cursor, up to the batch at this position: by batch, and within it in the
    order of their numbers."""
    rows = await _rows(driver, _READ, first=cursor.first, number=cursor.number or 0, last=last)
    return [
        Positioned(Cursor(position, moment, number), key, type_, entity_id, store_id, actor_id, orjson.loads(payload))
        for position, moment, number, key, type_, entity_id, store_id, actor_id, payload in map(tuple, rows)
    ]


async def backlog(driver: Driver) -> Backlog:
    """Return how many events wait to be announced."""
    (row,) = await _rows(driver, _BACKLOG)
    return Backlog(*row.values())


async def products_of(driver: Driver, stores: Sequence[UUID], keys: Sequence[UUID]) -> Sequence[UUID]:
    """Return those of the products that these stores sell."""
    return [row["id"] for row in await _rows(driver, _OF_STORES, stores=stores, keys=keys)]
