"""Records what a mutation changes, and writes the audit trail and its notifications in the same transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session as SyncSession
from uuid_utils.compat import uuid7

from app.audit import repository
from app.db import notifications as events
from app.db.models import Audited
from app.db.unit_of_work import UnitOfWork

_RECORDING = "audit"
_FOLLOWED = {model.__name__ for model in Audited.__subclasses__() if model.is_followed}
# A password may be rehashed without a change; where it changes, the service notes that.
_NOT_RECORDED = {"id", "version", "created_at", "updated_at", "password_hash"}


@dataclass(frozen=True)
class Change:
    """An entity that was changed, and the fields that were, in camelCase; never their values."""

    entity_type: str
    entity_id: UUID
    fields: tuple[str, ...]
    is_new: bool = False


@dataclass
class Recording:
    """What a root field of a mutation changes, by whom and in which request: one change for each entity."""

    operation: str
    request_id: str
    actor_id: UUID | None
    changes: dict[tuple[str, UUID], Change] = field(default_factory=dict)

    def add(self, change: Change) -> None:
        """Record a change, together with earlier ones of the same entity."""
        entity = (change.entity_type, change.entity_id)
        earlier = self.changes.get(entity, change)
        fields = tuple(dict.fromkeys((*earlier.fields, *change.fields)))
        self.changes[entity] = Change(*entity, fields, earlier.is_new or change.is_new)

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
    """Record whatever is flushed from now on, and discard what was recorded before."""
    work.info[_RECORDING] = Recording(operation, request_id, actor_id)
    events.begin(work)


def act_as(work: UnitOfWork, actor_id: UUID | None) -> None:
    """Set the actor, where it is known only now."""
    work.info[_RECORDING].actor_id = actor_id


def note(session: AsyncSession, change: Change) -> None:
    """Record a change that no flush shows: one that bypasses the session, or concerns a user's sessions."""
    recording: Recording | None = session.info.get(_RECORDING)
    if recording is not None:
        recording.add(change)


def written_within(work: UnitOfWork, change: Change) -> Mapping[str, Any]:
    """Return the parameters of the entry that a statement writes together with its one change."""
    recording: Recording = work.info[_RECORDING]
    return repository.parameters_of(recording.entry(change))


async def write(work: UnitOfWork) -> None:
    """Write what was recorded: an entry for each changed entity, and none if nothing changed. Notify the followers of
    changed entities."""
    await work.flush()
    recording: Recording = work.info.pop(_RECORDING)
    changes = list(recording.changes.values())
    if not changes:
        return
    rows = [recording.entry(change) for change in changes]
    # Nobody follows a new entity yet.
    followed = [change for change in changes if change.entity_type in _FOLLOWED and not change.is_new]
    updates = [event for change in followed for event in events.updated(change.entity_type, [change.entity_id])]
    await repository.insert_all(work, rows, dict.fromkeys((*updates, *events.noted(work))))  # each of them once


@event.listens_for(SyncSession, "before_flush")
def _record(session: SyncSession, *_: Any) -> None:
    """Record what will be flushed; what is new is given its key now, to be recorded by it."""
    recording: Recording | None = session.info.get(_RECORDING)
    if recording is None:
        return
    for entity in (*session.new, *session.dirty):
        if isinstance(entity, Audited) and (changed := _changed_fields(entity)):
            entity.id = entity.id or uuid7()
            name, key, fields = entity.audited_as(changed)
            is_new = entity in session.new and name == type(entity).__name__
            recording.add(Change(name, key, tuple(fields), is_new))


def _changed_fields(entity: Any) -> tuple[str, ...]:
    changed = (attribute.key for attribute in inspect(entity).attrs if attribute.history.has_changes())
    return tuple(to_camel(key) for key in changed if key not in _NOT_RECORDED)
