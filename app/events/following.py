"""What one subscriber waits for."""

import asyncio
from contextlib import suppress
from uuid import UUID

from app.errors import EventsMissed, RequestError
from app.events.catalog import Topic
from app.wake import Wake

MAX_WAITING = 100


class Subscription:
    """The pending events of one subscriber. A subject is queued once, however often it changes meanwhile.

    If events may have been missed, or too many are pending, a topic with a state of its own is reported again;
    otherwise, the subscription ends with EventsMissed."""

    def __init__(self, topic: Topic, *, has_state: bool) -> None:
        self.topic = topic
        self._has_state = has_state
        self._waiting: dict[UUID, None] = {}
        self._end: RequestError | None = None
        self._wake = Wake()

    def notify(self, subject: UUID) -> None:
        """Queue an event."""
        if len(self._waiting) < MAX_WAITING or subject in self._waiting:
            self._waiting[subject] = None
            self._wake.call()
        else:
            self.miss()

    def miss(self) -> None:
        """Handle events that may have been missed."""
        if self._has_state:
            self.notify(self.topic.key)
        else:
            self.end(EventsMissed())

    def end(self, reason: RequestError) -> None:
        """End the subscription with this error."""
        self._end = reason
        self._wake.call()

    async def wait(self) -> None:
        """Wait until an event is pending; raise the reason if the subscription has ended."""
        await self._wake.until(lambda: self._waiting or self._end)
        self._require_going_on()

    async def pause(self, seconds: float) -> None:
        """Wait for so long; raise the reason if the subscription ends meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.until(lambda: self._end)
        self._require_going_on()

    def next(self) -> UUID:
        """Return the subject of the event that has been pending longest."""
        subject = next(iter(self._waiting))
        del self._waiting[subject]
        return subject

    def _require_going_on(self) -> None:
        if self._end is not None:
            raise self._end
