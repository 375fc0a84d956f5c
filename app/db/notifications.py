"""The events of the shop: told within the transaction that makes them, heard by every process once it commits.

An event carries keys only; whoever is told of it reads what is there then, as they may see it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from random import uniform
from typing import Any, NamedTuple, Self
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import driver_arguments
from app.db.unit_of_work import UnitOfWork
from app.errors import EventsMissed, RequestError

CHANNEL = "orders_api"
MAX_WAITING = 100
_NOTED = "events"
_EVENTS_PER_TEXT = 90  # Postgres takes texts of up to 8,000 bytes
_CHECK_SECONDS = 30.0
_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

log = structlog.get_logger(__name__)


class Topic(NamedTuple):
    """What can be followed: one order, one product, or the orders of one store."""

    kind: str
    key: UUID


class Event(NamedTuple):
    """Something that happened to the subject."""

    topic: Topic
    subject: UUID

    def __str__(self) -> str:
        return f"{self.topic.kind} {self.topic.key.hex} {self.subject.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the event that was told as this text."""
        kind, key, subject = text.split()
        return cls(Topic(kind, UUID(key)), UUID(subject))


def packed(events: Iterable[Event]) -> list[str]:
    """Return the texts that tell of events: as few as there can be, as each wakes every process up."""
    lines = [str(event) for event in events]
    return ["\n".join(lines[start : start + _EVENTS_PER_TEXT]) for start in range(0, len(lines), _EVENTS_PER_TEXT)]


def updated(kind: str, keys: Iterable[UUID]) -> Iterable[Event]:
    """Return the events of what changed."""
    return (Event(Topic(kind, key), key) for key in keys)


def begin(work: UnitOfWork) -> None:
    """Note events from now on; what was noted before is forgotten."""
    work.info[_NOTED] = {}


def note(within: AsyncSession | UnitOfWork, events: Iterable[Event]) -> None:
    """Note events of what goes past the session."""
    within.info.setdefault(_NOTED, {}).update(dict.fromkeys(events))


def noted(work: UnitOfWork) -> list[Event]:
    """Return what was noted."""
    return list(work.info.pop(_NOTED, {}))


class Subscription:
    """What one subscriber has yet to be told. A subject waits once, whatever happens to it meanwhile.

    Where events may have been missed, or too many wait, the topic's own state is told again if it has one; else the
    subscription ends, and says so."""

    def __init__(self, topic: Topic, *, has_state: bool) -> None:
        self.topic = topic
        self._has_state = has_state
        self._waiting: dict[UUID, None] = {}
        self._wake = asyncio.Event()
        self._end: RequestError | None = None

    def tell(self, subject: UUID) -> None:
        """Let the subscriber know, once they come to ask."""
        if len(self._waiting) < MAX_WAITING or subject in self._waiting:
            self._waiting[subject] = None
            self._wake.set()
        else:
            self.miss()

    def miss(self) -> None:
        """Make up for events that may have been missed."""
        if self._has_state:
            self.tell(self.topic.key)
        else:
            self.end(EventsMissed())

    def end(self, reason: RequestError) -> None:
        """Tell the subscriber nothing more but this."""
        self._end = reason
        self._wake.set()

    async def next(self) -> UUID:
        """Return the subject of the next event, when there is one; raise the reason where there will be none."""
        await self._wake.wait()
        if self._end is not None:
            raise self._end
        subject = next(iter(self._waiting))
        del self._waiting[subject]
        if not self._waiting:
            self._wake.clear()
        return subject


class Events:
    """What this process hears, on a connection of its own, and who follows what."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._followers: dict[Topic, set[Subscription]] = defaultdict(set)
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._followers.values()))

    def start(self) -> None:
        """Listen from now on."""
        self._task = asyncio.create_task(self._listen(), name="events")

    async def stop(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def is_heard(self) -> bool:
        """Whether events are heard now."""
        return self._listening.is_set()

    async def heard(self) -> None:
        """Return once events are heard, and so the database answers."""
        await self._listening.wait()

    def follow(self, topic: Topic, *, has_state: bool) -> Subscription:
        """Follow the topic from now on; `leave` ends it."""
        subscription = Subscription(topic, has_state=has_state)
        self._followers[topic].add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Follow no more."""
        followers = self._followers.get(subscription.topic, set())
        followers.discard(subscription)
        if not followers:
            self._followers.pop(subscription.topic, None)

    def end(self, reason: RequestError) -> None:
        """End every subscription."""
        for subscription in self._all():
            subscription.end(reason)

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._listen_once()
            except Exception as failure:  # whatever it is, events must be heard again
                log.warning("events are not heard", reason=str(failure) or type(failure).__name__)
            pause = _FIRST_PAUSE if self.is_heard else min(2 * pause, _LONGEST_PAUSE)
            self._listening.clear()
            await asyncio.sleep(uniform(0.5, 1) * pause)  # noqa: S311  # processes must not all come at once

    async def _listen_once(self) -> None:
        """Listen until the connection breaks."""
        broken = asyncio.Event()
        connection = await asyncpg.connect(**driver_arguments(self._url, "events"), timeout=_PATIENCE_SECONDS)
        try:
            connection.add_termination_listener(lambda _: broken.set())
            await connection.add_listener(CHANNEL, self._hear)
            self._listening.set()
            for subscription in self._all():
                subscription.miss()
            await _until_broken(connection, broken)
        finally:
            connection.terminate()

    def _hear(self, _: Any, __: int, ___: str, text: object) -> None:
        if not self._followers:
            return
        try:
            events = [Event.parse(line) for line in str(text).splitlines()]
        except ValueError:
            log.warning("an event is not understood", text=text)  # of another version, or of somebody else
            return
        for event in events:
            for subscription in self._followers.get(event.topic, ()):
                subscription.tell(event.subject)

    def _all(self) -> list[Subscription]:
        return [subscription for followers in self._followers.values() for subscription in followers]


async def _until_broken(connection: "asyncpg.Connection[Any]", broken: asyncio.Event) -> None:
    """Return once the connection has broken; raise where it no longer answers, which nobody else would notice."""
    while True:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await broken.wait()
        except TimeoutError:
            await connection.execute("SELECT", timeout=_PATIENCE_SECONDS)
        else:
            raise ConnectionError("the connection was closed")
