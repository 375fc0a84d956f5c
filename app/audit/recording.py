"""Records what a mutation changes, while it does, and writes it down in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session as SyncSession

from app.audit import repository
from app.models import Order, Product, Store, User

_RECORDING = "audit"
_ENTITIES = (User, Store, Product, Order)
_PUBLIC_NAMES = {"password_hash": "password"}
_NOT_TOLD = {"id", "version", "created_at", "updated_at"}


@dataclass(frozen=True)
class Change:
    """An entity that was changed, and the fields that were, in camelCase; never their values."""

    entity_type: str
    entity_id: UUID
    fields: tuple[str, ...]


def begin(session: AsyncSession) -> None:
    """Record from now on what is flushed; what was recorded before is forgotten."""
    session.sync_session.info[_RECORDING] = []


def note(session: AsyncSession, *changes: Change) -> None:
    """Record changes that no flush shows: those that go past the unit of work, or concern a user's sessions."""
    session.sync_session.info.get(_RECORDING, []).extend(changes)


async def write(session: AsyncSession, actor_id: UUID | None, operation: str, request_id: str) -> None:
    """Write what was recorded, a line for each entity, or one line where nothing was changed."""
    await session.flush()
    changes: Sequence[Change | None] = _merged(session.sync_session.info.pop(_RECORDING)) or [None]
    await repository.insert_all(
        session,
        [
            {
                "actor_id": actor_id,
                "operation": operation,
                "entity_type": change and change.entity_type,
                "entity_id": change and change.entity_id,
                "fields": list(change.fields) if change else [],
                "request_id": request_id,
            }
            for change in changes
        ],
    )


@event.listens_for(SyncSession, "before_flush")
def _record(session: SyncSession, *_: Any) -> None:
    recorded = session.info.get(_RECORDING)
    if recorded is None:
        return
    for entity in (*session.new, *session.dirty):
        if isinstance(entity, _ENTITIES) and (fields := _changed_fields(entity)):
            recorded.append(Change(type(entity).__name__, entity.id, fields))


def _changed_fields(entity: Any) -> tuple[str, ...]:
    changed = (attribute.key for attribute in inspect(entity).attrs if attribute.history.has_changes())
    return tuple(to_camel(_PUBLIC_NAMES.get(key, key)) for key in changed if key not in _NOT_TOLD)


def _merged(changes: Sequence[Change]) -> list[Change]:
    """Return one change for each entity, with all its fields, in the order of the first."""
    fields: dict[tuple[str, UUID], dict[str, None]] = {}
    for change in changes:
        fields.setdefault((change.entity_type, change.entity_id), {}).update(dict.fromkeys(change.fields))
    return [Change(entity_type, entity_id, tuple(names)) for (entity_type, entity_id), names in fields.items()]
