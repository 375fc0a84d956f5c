"""Events that a mutation records for the log, besides those that follow from its audit trail."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from app.db.unit_of_work import UnitOfWork
from app.events.catalog import Event

_NOTED = "events"


def begin(work: UnitOfWork) -> None:
    """Start recording events, discarding earlier ones."""
    work.info[_NOTED] = []


def note(work: UnitOfWork, events: Iterable[Event]) -> None:
    """Record events that the audit trail doesn't lead to."""
    work.info.setdefault(_NOTED, []).extend(events)


def noted(work: UnitOfWork) -> list[Event]:
    """Return the recorded events."""
    events: list[Event] = work.info.pop(_NOTED, [])
    return events


def distinct(events: Iterable[Event]) -> list[Event]:
    """Return one event for each type and entity: the last, which has the latest facts."""
    latest: dict[tuple[Any, UUID], Event] = {(event.type, event.entity_id): event for event in events}
    return [*latest.values()]
