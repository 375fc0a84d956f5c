"""The SQL of the audit trail."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, bindparam, false, func, insert, select, true
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.models import AuditEntry
from app.db.notifications import CHANNEL, Event, packed
from app.db.pagination import Listing, Ordering, chooser
from app.db.statements import Prepared, select_all, table_of, with_key_in_array
from app.db.unit_of_work import UnitOfWork
from app.security.viewer import Viewer

entries = table_of(AuditEntry).c

_WRITTEN = ("id", "actor_id", "operation", "entity_type", "entity_id", "fields", "request_id")
_TOLD = func.unnest(bindparam("events", type_=ARRAY(Text))).column_valued("event")
# Every mutation writes here, so that its events need no round trip of their own.
INSERT = (
    insert(AuditEntry)
    .values({name: bindparam(f"entry_{name}", type_=entries[name].type) for name in _WRITTEN})
    .returning(select(func.count(func.pg_notify(CHANNEL, _TOLD))).scalar_subquery().label("told"))
)
_INSERT = Prepared(INSERT)

_LATEST_FIRST = Ordering(name="ID", descending=True, column=entries.id, key=entries.id)


@dataclass(frozen=True)
class AuditCriteria:
    """Which entries of the audit trail."""

    actor_id: UUID | None = None
    entity_type: str | None = None
    entity_id: UUID | None = None
    operation: str | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """Return the criteria as SQL."""
        conditions: list[ColumnElement[bool]] = []
        if self.actor_id is not None:
            conditions.append(entries.actor_id == self.actor_id)
        if self.entity_type is not None:
            conditions.append(entries.entity_type == self.entity_type)
        if self.entity_id is not None:
            conditions.append(entries.entity_id == self.entity_id)
        if self.operation is not None:
            conditions.append(entries.operation == self.operation)
        return conditions


def listing(criteria: AuditCriteria) -> Listing:
    """Return the entries that meet the criteria."""
    return Listing(select_all(AuditEntry), criteria.conditions())


choose = chooser(AuditCriteria(), lambda _: _LATEST_FIRST)


def visible_by_key(viewer: Viewer | None) -> Select[Any]:
    """Return the statement for the entries with `:keys`, of which only a superuser sees any."""
    is_superuser = viewer is not None and viewer.is_superuser
    return select_all(AuditEntry).where(with_key_in_array(entries.id), true() if is_superuser else false())


def parameters_of(row: Mapping[str, Any], events: Iterable[Event] = ()) -> Mapping[str, Any]:
    """Return the parameters with which INSERT writes an entry, and tells of events."""
    return {**{f"entry_{name}": row[name] for name in _WRITTEN}, "events": packed(events)}


async def insert_all(work: UnitOfWork, rows: Sequence[Mapping[str, Any]], events: Iterable[Event]) -> None:
    """Insert entries, one or more, and tell of events: to whoever listens, once the transaction is committed."""
    first, *others = rows
    await work.execute_each(_INSERT, [parameters_of(first, events), *map(parameters_of, others)])
