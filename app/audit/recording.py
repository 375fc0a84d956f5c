"""Records what a mutation changes, and writes the audit trail and its notifications in the same transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


@dataclass(frozen=True)
class _Flushed:
    """Fields that a flush writes; what is new has its key only afterwards."""

    entity: Audited
    fields: tuple[str, ...]
    is_new: bool

    def change(self) -> Change:
        name, key, fields = self.entity.audited_as(self.fields)
        return Change(name, key, tuple(fields), self.is_new and name == type(self.entity).__name__)


@dataclass
class Recording:
    """What a root field of a mutation changes, by whom and in which request."""

    operation: str
    request_id: str
    actor_id: UUID | None
    changes: list[Change | _Flushed] = field(default_factory=list)
    is_written: bool = False

    def entry(self, change: Change | None) -> Mapping[str, Any]:
        """Return the entry of a change, or of an operation that changed nothing."""
        return {
            "id": uuid7(),
            "actor_id": self.actor_id,
            "operation": self.operation,
            "entity_type": change and change.entity_type,
            "entity_id": change and change.entity_id,
            "fields": list(change.fields) if change else [],
            "request_id": self.request_id,
        }


def begin(work: UnitOfWork, operation: str, request_id: str, actor_id: UUID | None) -> None:
    """Record whatever is flushed from now on, and discard what was recorded before."""
    work.info[_RECORDING] = Recording(operation, request_id, actor_id)
    events.begin(work)


def act_as(work: UnitOfWork, actor_id: UUID | None) -> None:
    """Set the actor, where it is known only now."""
    work.info[_RECORDING].actor_id = actor_id


def note(session: AsyncSession, *changes: Change) -> None:
    """Record changes that no flush shows: those that go past the session, or concern a user's sessions."""
    recording: Recording | None = session.info.get(_RECORDING)
    if recording is not None:
        recording.changes.extend(changes)


def written_within(work: UnitOfWork, change: Change) -> Mapping[str, Any]:
    """Return the parameters of the entry that a statement writes together with its one change and the noted events."""
    recording: Recording = work.info[_RECORDING]
    recording.is_written = True
    return repository.parameters_of(recording.entry(change), events.noted(work))


async def write(work: UnitOfWork, *, failed: bool = False) -> None:
    """Write what was recorded: an entry for each entity, or one where nothing was changed, unless the operation failed.
    Notify the followers of changed entities."""
    await work.flush()
    recording: Recording = work.info.pop(_RECORDING)
    changes: Sequence[Change] = _merged(recording.changes)
    if not changes and (failed or recording.is_written):
        return
    entries: Sequence[Change | None] = changes or [None]
    rows = [recording.entry(change) for change in entries]
    await repository.insert_all(work, rows, [*_updates(changes), *events.noted(work)])


def _updates(changes: Iterable[Change]) -> Iterator[events.Event]:
    """Return the events of changed entities that can be followed; nobody follows a new one yet."""
    for change in changes:
        if change.entity_type in _FOLLOWED and not change.is_new:
            yield from events.updated(change.entity_type, [change.entity_id])


@event.listens_for(SyncSession, "before_flush")
def _record(session: SyncSession, *_: Any) -> None:
    recording: Recording | None = session.info.get(_RECORDING)
    if recording is None:
        return
    for entity in (*session.new, *session.dirty):
        if isinstance(entity, Audited) and (fields := _changed_fields(entity)):
            recording.changes.append(_Flushed(entity, fields, is_new=entity in session.new))


def _changed_fields(entity: Any) -> tuple[str, ...]:
    changed = (attribute.key for attribute in inspect(entity).attrs if attribute.history.has_changes())
    return tuple(to_camel(key) for key in changed if key not in _NOT_RECORDED)


def _merged(recorded: Sequence[Change | _Flushed]) -> list[Change]:
    """Return one change for each entity, with all its fields, in the order of the first."""
    fields: dict[tuple[str, UUID], dict[str, None]] = {}
    new: set[tuple[str, UUID]] = set()
    for change in (part.change() if isinstance(part, _Flushed) else part for part in recorded):
        entity = (change.entity_type, change.entity_id)
        fields.setdefault(entity, {}).update(dict.fromkeys(change.fields))
        if change.is_new:
            new.add(entity)
    return [Change(*entity, tuple(names), entity in new) for entity, names in fields.items()]
