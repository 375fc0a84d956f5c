"""The SQL of the audit trail."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Insert,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    false,
    func,
    insert,
    select,
    true,
)

from app.audit.inputs import AuditFilter
from app.db.models import AuditEntry
from app.db.pagination import Collection, Ordering
from app.db.statements import Prepared, select_all, table_of, with_key_in_array, within
from app.db.unit_of_work import UnitOfWork
from app.events import repository as log
from app.events.catalog import Event
from app.inputs import Sort
from app.security.viewer import Viewer

entries = table_of(AuditEntry).c

_WRITTEN = ("id", "actor_id", "operation", "entity_type", "entity_id", "fields", "request_id")
_GIVEN = {name: bindparam(f"entry_{name}", type_=entries[name].type) for name in _WRITTEN}
# Every mutation writes here, so that its events need no round trip of their own.
_INSERT = Prepared(insert(AuditEntry).values(_GIVEN).add_cte(log.INSERTED))

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


def inserted_with(changed: FromClause) -> Insert:
    """Return a part of a statement that inserts an entry for each row that is changed."""
    given = select(*(value.label(name) for name, value in _GIVEN.items())).select_from(changed)
    return insert(AuditEntry).from_select([*_GIVEN], given)


def parameters_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters with which INSERT writes an entry."""
    return {f"entry_{name}": value for name, value in entry.items()}


async def insert_all(work: UnitOfWork, rows: Sequence[Mapping[str, Any]], events: Sequence[Event]) -> None:
    """Insert entries, one or more, and the events of the mutation."""
    first, *others = map(parameters_of, rows)
    logged = log.parameter(events, rows[0]["actor_id"])
    work.writes_events = work.writes_events or bool(events)
    await work.execute_each(_INSERT, [{**first, "events": logged}, *({**other, "events": "[]"} for other in others)])
