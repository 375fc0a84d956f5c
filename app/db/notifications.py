"""Events of the shop: sent within the transaction that causes them, received by every process once it commits.

An event carries keys only; a subscriber then reads the current state, as far as it may see it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from random import uniform
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid4

import asyncpg
import structlog
from sqlalchemy import CTE, URL, ColumnElement, CompoundSelect, Select, Text, cast, func, select

from app.db.engine import Database, driver_arguments
from app.db.unit_of_work import UnitOfWork
from app.errors import EventsMissed, RequestError
from app.wake import Wake

CHANNEL = "orders_api"
MAX_WAITING = 100
_NOTED = "events"
EVENTS_PER_TEXT = 90  # Postgres takes texts of up to 8,000 bytes
_CHECK_SECONDS = 30.0
_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

log = structlog.get_logger(__name__)


class Topic(NamedTuple):
    """What a subscription follows: one order, one product, or the orders of one store."""

    kind: str
    key: UUID


class Event(NamedTuple):
    """A change of the subject."""

    topic: Topic
    subject: UUID

    def __str__(self) -> str:
        return f"{self.topic.kind} {self.topic.key.hex} {self.subject.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of an event."""
        kind, key, subject = text.split()
        return cls(Topic(kind, UUID(key)), UUID(subject))


def packed(events: Iterable[Event]) -> list[str]:
    """Serialize events into as few notifications as possible, as each one wakes every process."""
    lines = [str(event) for event in events]
    return ["\n".join(lines[start : start + EVENTS_PER_TEXT]) for start in range(0, len(lines), EVENTS_PER_TEXT)]


def updated(kind: str, keys: Iterable[UUID]) -> Iterable[Event]:
    """Return an event for each changed key."""
    return (Event(Topic(kind, key), key) for key in keys)


def notifying(kind: str, changed: CTE) -> Select[tuple[int]]:
    """Return a statement that runs `changed`, which returns the ids of changed rows, and sends an event for each of
    them: within Postgres, as there may be a hundred thousand."""
    return sending(select(line_of(kind, changed.c.id, changed.c.id)))


def line_of(kind: str, key: ColumnElement[UUID], subject: ColumnElement[UUID]) -> ColumnElement[str]:
    """Return the text of an event, within Postgres."""
    texts = (func.replace(cast(each, Text), "-", "") for each in (key, subject))
    return func.concat_ws(" ", kind, *texts).label("line")


def sending(lines: Select[tuple[str]] | CompoundSelect[tuple[str]]) -> Select[tuple[int]]:
    """Return a statement that sends the events with these texts."""
    each = lines.subquery()
    place = (func.row_number().over() - 1) // EVENTS_PER_TEXT
    placed = select(each.c.line, place.label("place")).subquery()
    texts = select(func.string_agg(placed.c.line, "\n").label("packed")).group_by(placed.c.place).subquery()
    return select(func.count(func.pg_notify(CHANNEL, texts.c.packed)))


def begin(work: UnitOfWork) -> None:
    """Start recording events, discarding earlier ones."""
    work.info[_NOTED] = {}


def note(work: UnitOfWork, events: Iterable[Event]) -> None:
    """Record events that the audit trail doesn't lead to."""
    work.info.setdefault(_NOTED, {}).update(dict.fromkeys(events))


def noted(work: UnitOfWork) -> list[Event]:
    """Return the recorded events."""
    return list(work.info.pop(_NOTED, {}))


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


class Events:
    """Listens for events on a connection of its own, and notifies the subscriptions of this process."""

    def __init__(self, database: Database, direct: URL | None = None) -> None:
        """Listen at `direct`, if clients of the database share their connections with others."""
        self._database = database
        self._url = direct or database.engine.url
        self._followers: dict[Topic, set[Subscription]] = defaultdict(set)
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._followers.values()))

    def start(self) -> None:
        """Start listening."""
        self._task = asyncio.create_task(self._listen(), name="events")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def is_heard(self) -> bool:
        """Whether events are being received."""
        return self._listening.is_set()

    async def heard(self) -> None:
        """Return once events are being received, which means that the database answers."""
        await self._listening.wait()

    def follow(self, topic: Topic, *, has_state: bool) -> Subscription:
        """Subscribe to a topic; end it with `leave`."""
        subscription = Subscription(topic, has_state=has_state)
        self._followers[topic].add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Unsubscribe."""
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
            except Exception as failure:  # whatever it is, listen again
                log.warning("stopped receiving events", reason=str(failure) or type(failure).__name__)
            pause = _FIRST_PAUSE if self.is_heard else min(2 * pause, _LONGEST_PAUSE)
            self._listening.clear()
            await asyncio.sleep(uniform(0.5, 1) * pause)  # noqa: S311  # spread the processes out

    async def _listen_once(self) -> None:
        """Listen until the connection breaks, or hears nothing any more."""
        connection = await asyncpg.connect(**driver_arguments(self._url, "events"), timeout=_PATIENCE_SECONDS)
        try:
            await connection.add_listener(CHANNEL, self._hear)
            heartbeat = Heartbeat(connection, self._database)
            await heartbeat.start()
            self._listening.set()
            for subscription in self._all():
                subscription.miss()
            await heartbeat.until_broken()
        finally:
            connection.terminate()

    def _hear(self, _: Any, __: int, ___: str, text: object) -> None:
        if not self._followers:
            return
        try:
            events = [Event.parse(line) for line in str(text).splitlines()]
        except ValueError:
            log.warning("received an unknown event", text=text)  # from another version or another program
            return
        for event in events:
            for subscription in self._followers.get(event.topic, ()):
                subscription.notify(event.subject)

    def _all(self) -> list[Subscription]:
        return [subscription for followers in self._followers.values() for subscription in followers]


class Heartbeat:
    """Proves that a connection receives notifications. It sends them as mutations do, through the pool: a connection
    that shares its server with others may only hear its own, and one to another database hears none."""

    def __init__(self, connection: "asyncpg.Connection[Any]", database: Database) -> None:
        self._connection = connection
        self._database = database
        self._channel = f"{CHANNEL}_{uuid4().hex}"
        self._heard, self._broken = asyncio.Event(), asyncio.Event()

    async def start(self) -> None:
        """Listen for heartbeats, and hear the first one; TimeoutError if it doesn't arrive."""
        self._connection.add_termination_listener(lambda _: self._broken.set())
        await self._connection.add_listener(self._channel, lambda *_: self._heard.set())
        await self._send()
        await self._hear()

    async def until_broken(self) -> None:
        """Raise once the connection has broken, or doesn't hear, which nothing else would notice."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._broken.wait(), _CHECK_SECONDS)
                raise ConnectionError("the connection was closed")
            await self._connection.execute("SELECT", timeout=_PATIENCE_SECONDS)
            try:
                await self._send()
            except Exception as failure:  # of a busy pool, for example: it says nothing about this connection
                log.warning("cannot send a heartbeat", reason=str(failure) or type(failure).__name__)
            else:
                await self._hear()

    async def _send(self) -> None:
        self._heard.clear()
        await self._database.driver_row("SELECT pg_notify($1, '')", [self._channel])

    async def _hear(self) -> None:
        try:
            await asyncio.wait_for(self._heard.wait(), _PATIENCE_SECONDS)
        except TimeoutError:
            raise TimeoutError("no notification arrives: DATABASE_DIRECT_URL must lead past the pooler") from None
