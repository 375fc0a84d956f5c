"""Records what a mutation changes, and writes the audit trail and its events in the same transaction.

Audited rows are inserted and updated here, so that no change goes unrecorded. A statement that changes them otherwise
needs a `note` of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from uuid_utils.compat import uuid7

from app.audit import repository
from app.db import rows
from app.db.models import Audited, Store
from app.db.statements import Record, table_of
from app.db.unit_of_work import UnitOfWork
from app.events import recording as events
from app.events.catalog import Event, type_of

_RECORDING = "audit"
_UNREAD = object()
# A password may be rehashed without a change; where it changes, the service notes that.
_NOT_RECORDED = {"id", "version", "created_at", "updated_at", "password_hash"}


@dataclass(frozen=True)
class Change:
    """An entity that was changed, and the fields that were, in camelCase; never their values."""

    entity_type: str
    entity_id: UUID
    fields: tuple[str, ...]
    is_new: bool = False
    is_deleted: bool = False
    store_id: UUID | None = None
    """The store that the entity is, or belongs to; None where there is none, or it is not known."""

    @property
    def event(self) -> Event | None:
        """The event that the log has of it, if any."""
        name = type_of(self.entity_type, self.fields, is_new=self.is_new, is_deleted=self.is_deleted)
        return None if name is None else Event(name, self.entity_id, self.store_id)


@dataclass
class Recording:
    """What a root field of a mutation changes, by whom and in which request: one change for each entity."""

    operation: str
    request_id: str
    actor_id: UUID | None
    changes: dict[tuple[str, UUID], Change] = field(default_factory=dict)

    def add(self, change: Change) -> None:
        """Record a change that has fields, together with earlier ones of the same entity."""
        if not change.fields:
            return
        entity = (change.entity_type, change.entity_id)
        earlier = self.changes.get(entity, change)
        fields = tuple(dict.fromkeys((*earlier.fields, *change.fields)))
        self.changes[entity] = replace(change, fields=fields, is_new=earlier.is_new or change.is_new)

    def entry(self, change: Change) -> Mapping[str, Any]:
        """Return the entry of a change."""
        return {
            "id": uuid7(),
            "actor_id": self.actor_id,
            "operation": self.operation,
            "entity_type": change.entity_type,
            "entity_id": change.entity_id,
            "fields": list(change.fields),
            "request_id": self.request_id,
        }


def begin(work: UnitOfWork, operation: str, request_id: str, actor_id: UUID | None) -> None:
    """Record whatever is changed from now on, and discard what was recorded before."""
    work.info[_RECORDING] = Recording(operation, request_id, actor_id)
    events.begin(work)


def act_as(work: UnitOfWork, actor_id: UUID | None) -> None:
    """Set the actor, where it is known only now."""
    work.info[_RECORDING].actor_id = actor_id


async def insert(work: UnitOfWork, model: type[Audited], values: Mapping[str, Any]) -> Record:
    """Insert a row with these attributes; return it as it is stored."""
    row = await rows.insert(work, model, values)
    note(work, change_of(model, row, values, is_new=True))
    return row


async def update(work: UnitOfWork, model: type[Audited], row: Record, changes: Mapping[str, Any]) -> Record:
    """Update a locked row if any value differs. Return the row as it is now."""
    return await touch(work, model, row, different) if (different := changed(row, changes)) else row


async def touch(work: UnitOfWork, model: type[Audited], row: Record, changes: Mapping[str, Any]) -> Record:
    """Update a locked row and its `updated_at`, even if no value differs. Return the row as it is now."""
    updated = await rows.update(work, model, row.id, changes)
    note(work, change_of(model, updated, changed(row, changes)))
    return updated


async def update_all(
    work: UnitOfWork, model: type[Audited], keys: Sequence[UUID], changes: Mapping[str, Any]
) -> Sequence[Record]:
    """Update the locked rows with these keys, whose values all differ. Return them as they are now."""
    updated = {row.id: row for row in await rows.update_all(work, model, keys, changes)}
    for key in keys:  # in this order
        note(work, change_of(model, updated[key], changes))
    return [updated[key] for key in keys]


def change_of(model: type[Audited], row: Record, attributes: Iterable[str], *, is_new: bool = False) -> Change:
    """Return the change of these attributes of a row, which is given as it is now."""
    store_id = row.id if model is Store else row.get("store_id")
    is_deleted = row.get("deleted_at") is not None
    return Change(model.__name__, row.id, shown(model, attributes), is_new, is_deleted, store_id)


def changed(row: Record, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the changes whose values differ from the row's. A column that reads leave out, such as that of a password,
    counts as different."""
    return {name: value for name, value in changes.items() if row.get(name, _UNREAD) != value}


def shown(model: type[Audited], attributes: Iterable[str]) -> tuple[str, ...]:
    """Return the fields under which changes of these attributes are recorded, in the order of the columns."""
    changed = set(attributes) - _NOT_RECORDED
    return tuple(to_camel(str(column.key)) for column in table_of(model).c if column.key in changed)


def note(work: UnitOfWork, change: Change) -> None:
    """Record a change that was made otherwise: of many rows at once, or of a user's sessions."""
    recording: Recording | None = work.info.get(_RECORDING)
    if recording is not None:
        recording.add(change)


def written_within(work: UnitOfWork, change: Change) -> Mapping[str, Any]:
    """Return the parameters of the entry that a statement writes together with its one change, of a new entity. Its id
    is the entity's, which a repeated request finds again."""
    recording: Recording = work.info[_RECORDING]
    work.name_written(change.entity_id)
    return repository.parameters_of({**recording.entry(change), "id": change.entity_id})


async def write(work: UnitOfWork) -> None:
    """Write what was recorded: an entry for each changed entity, and none if nothing changed. Write the events of the
    changes to the log."""
    recording: Recording = work.info.pop(_RECORDING)
    changes = list(recording.changes.values())
    if not changes:
        return
    entries = [recording.entry(change) for change in changes]
    work.name_written(entries[0]["id"])
    logged = [event for change in changes if (event := change.event) is not None]
    await repository.insert_all(work, entries, events.distinct([*logged, *events.noted(work)]))
