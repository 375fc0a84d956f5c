"""The SQL of the audit trail."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Text, Uuid, bindparam, cast, false, func, insert, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningInsert

from app.audit.inputs import AuditFilter
from app.db.models import AuditEntry
from app.db.notifications import CHANNEL, Event, packed
from app.db.pagination import Collection, Ordering
from app.db.statements import Prepared, select_all, table_of, with_key_in_array, within
from app.db.unit_of_work import UnitOfWork
from app.inputs import Sort
from app.security.viewer import Viewer

entries = table_of(AuditEntry).c

_WRITTEN = ("id", "actor_id", "operation", "entity_type", "entity_id", "fields", "request_id")
_GIVEN = {name: bindparam(f"entry_{name}", type_=entries[name].type) for name in _WRITTEN}
_NOTIFIED = func.unnest(bindparam("events", type_=ARRAY(Text))).column_valued("event")
# Every mutation writes here, so that its events need no round trip of their own.
_INSERT = Prepared(
    insert(AuditEntry)
    .values(_GIVEN)
    .returning(select(func.count(func.pg_notify(CHANNEL, _NOTIFIED))).scalar_subquery())
)

_LATEST_FIRST = Ordering(name="ID", descending=True, column=entries.id, key=entries.id)


def conditions(_: Viewer | None, filter: AuditFilter) -> Sequence[ColumnElement[bool]]:
    """Return the conditions that a filter puts on entries."""
    found: list[ColumnElement[bool]] = []
    if filter.actor_id is not None:
        found.append(entries.actor_id == filter.actor_id)
    if filter.entity_id is not None:  # taken apart, as the index is on the key
        type_name, key = (func.split_part(filter.entity_id, "_", part) for part in (1, 2))
        found += [entries.entity_type == type_name, entries.entity_id == cast(key, Uuid)]
    found += within(entries.created_at, filter.created_at)
    if filter.operation is not None:
        found.append(entries.operation == filter.operation)
    return found


def entity_global_id(entry: Any) -> ColumnElement[str]:
    """Return the global id of what an entry is about, over the columns of entries; null where it is about nothing."""
    key: ColumnElement[str] = entry.entity_type.concat("_").concat(cast(entry.entity_id, Text))
    return key


trail: Collection[AuditFilter, Sort] = Collection(
    AuditEntry,
    AuditFilter,
    conditions,
    lambda _, __: _LATEST_FIRST,
    filter_points=dict.fromkeys(("actor_id", "entity_id", "operation"), 0),
)


def visible_by_key(viewer: Viewer | None) -> Select[Any]:
    """Return the statement for the entries with `:keys`, of which only a superuser sees any."""
    is_superuser = viewer is not None and viewer.is_superuser
    return select_all(AuditEntry).where(with_key_in_array(entries.id), true() if is_superuser else false())


def inserted_with(changed: FromClause, notified: Select[tuple[int]]) -> ReturningInsert[tuple[int]]:
    """Return a part of a statement that inserts an entry for each row that is changed, and notifies."""
    given = select(*(value.label(name) for name, value in _GIVEN.items())).select_from(changed)
    return insert(AuditEntry).from_select([*_GIVEN], given).returning(notified.scalar_subquery())


def parameters_of(entry: Mapping[str, Any], events: Iterable[Event] = ()) -> Mapping[str, Any]:
    """Return the parameters with which INSERT writes an entry and notifies of events."""
    return {**{f"entry_{name}": value for name, value in entry.items()}, "events": packed(events)}


async def insert_all(work: UnitOfWork, rows: Sequence[Mapping[str, Any]], events: Iterable[Event]) -> None:
    """Insert entries, one or more, and notify of events, which are delivered once the transaction commits."""
    first, *others = rows
    await work.execute_each(_INSERT, [parameters_of(first, events), *map(parameters_of, others)])
