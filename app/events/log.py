"""How a process announces its events and follows the log, on one connection of its own.

An announcement only wakes: each process reads on from its position, and looks by itself about once a second."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from math import inf
from random import uniform
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import URL

from app.db.engine import Database, connect
from app.errors import EventsExpired, RequestError
from app.events import legacy, repository
from app.events.catalog import TYPES, Follow, Topic, followed
from app.events.following import Subscription
from app.events.heartbeat import Heartbeat
from app.events.repository import Backlog, Cursor, Driver, Positioned

PAUSE_SECONDS = 0.02
"""How long after one announcement the next follows at the earliest, of whichever process: the first after a pause is
made at once. An announcement takes Postgres 0.14 ms of CPU, whatever number of events it has."""
_LOOK_SECONDS = 1.0
_BEAT_SECONDS = 30.0
_PATIENCE_SECONDS = 10.0
_LAST_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

log = structlog.get_logger(__name__)


class Events:
    """Announces what this process commits, and notifies its subscriptions of what all processes have announced."""

    def __init__(self, database: Database, direct: URL | None = None) -> None:
        """Work at `direct`, if clients of the database share their connections with others."""
        self._pooled = database if direct else None
        self._url = direct or database.engine.url
        self._followers: dict[Topic, set[Subscription]] = defaultdict(set)
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._has_committed = False
        """Whether a transaction of this process has committed since it last announced events."""
        self._is_ending = False
        self._announce_at = 0.0
        """When the next announcement may be made, by the clock of the event loop."""
        self._is_upgrading = False
        """Whether processes of 2.0.0 were running when this process last looked."""
        self.backlog = Backlog(0, 0.0)
        """What waited to be announced when this process last looked."""
        self._read: Cursor | None = None
        """Up to where the subscriptions of this process know the log; None before it was reached."""
        self.wrote: Callable[[UUID], None] | None = None
        """Called with the user who caused an event, on whichever machine, if that is of interest."""
        self._announced = Cursor(0, Decimal())
        """The last batch that is known to be in the log."""

    def __len__(self) -> int:
        return sum(map(len, self._followers.values()))

    def start(self) -> None:
        """Start announcing and listening."""
        self._task = asyncio.create_task(self._run(), name="events")

    async def stop(self) -> None:
        """Announce what is committed, and stop listening."""
        if self._task is None:
            return
        self._is_ending = True
        self._wake.set()
        if self.is_heard:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._task), _LAST_SECONDS)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @property
    def is_heard(self) -> bool:
        """Whether events are being received."""
        return self._listening.is_set()

    @property
    def position(self) -> int:
        """The position of the last batch of events that this process knows of."""
        return self._announced.position

    async def heard(self) -> None:
        """Return once events are being received, which means that the database answers."""
        await self._listening.wait()

    def announce(self) -> None:
        """Announce what was committed, soon."""
        if not self._has_committed:
            self._has_committed = True
            self._wake.set()

    def follow(self, topic: Topic, *, has_state: bool) -> Subscription:
        """Subscribe to a topic; end it with `leave`."""
        if not self._followers and self._read is not None:
            self._read = self._announced  # nobody needed what came before
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

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._is_ending:
            try:
                await self._run_once()
            except Exception as failure:  # whatever it is, connect again
                log.warning("stopped receiving events", reason=str(failure) or type(failure).__name__)
            pause = _FIRST_PAUSE if self.is_heard else min(2 * pause, _LONGEST_PAUSE)
            self._listening.clear()
            if not self._is_ending:
                await asyncio.sleep(uniform(0.5, 1) * pause)  # noqa: S311  # spread the processes out

    async def _run_once(self) -> None:
        """Announce and read until the connection breaks, or the process ends."""
        driver = await connect(self._url, "event log", _PATIENCE_SECONDS)
        try:
            driver.add_termination_listener(lambda _: self._wake.set())
            await driver.add_listener(legacy.CHANNEL, self._hear_legacy)
            await driver.add_listener(repository.CHANNEL, self._hear)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                heartbeat = Heartbeat(driver, self._pooled)
                await heartbeat.start()
                await repository.prepare(driver)
                await self._catch_up(driver)
            self._listening.set()
            await self._work(driver, heartbeat)
        finally:
            driver.terminate()

    async def _catch_up(self, driver: Driver) -> None:
        """Find the end of the log. Subscriptions have missed something only if it doesn't have what they read last."""
        end = await repository.latest(driver)
        try:
            if self._read is None or not self._followers:
                raise EventsExpired
            await repository.require_known(driver, self._read)
        except EventsExpired:
            self._read = end
            for subscription in self._all():
                subscription.miss()
        self._announced = end

    async def _work(self, driver: Driver, heartbeat: Heartbeat) -> None:
        loop = asyncio.get_running_loop()
        look = loop.time()
        beat = loop.time() + _BEAT_SECONDS
        while self._has_committed or not self._is_ending:
            await self._woken(min(look, self._announce_at if self._has_committed else inf))
            if driver.is_closed():
                raise ConnectionError("the connection was closed")
            async with asyncio.timeout(_PATIENCE_SECONDS):
                if loop.time() >= look:
                    await self._look(driver)
                    look = loop.time() + uniform(0.75, 1.25) * _LOOK_SECONDS  # noqa: S311
                if self._has_committed and loop.time() >= self._announce_at:
                    self._announce_at = loop.time() + PAUSE_SECONDS
                    await self._announce(driver)
                if loop.time() >= beat:
                    await heartbeat.beat()
                    beat = loop.time() + _BEAT_SECONDS
                await self._read_on(driver)

    async def _woken(self, deadline: float) -> None:
        """Return once something has happened, or at this time."""
        if not self._wake.is_set() and deadline > asyncio.get_running_loop().time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._wake.wait()
        self._wake.clear()

    async def _announce(self, driver: Driver) -> None:
        """Announce what is committed; again later if the batch of another process may lack some of it."""
        self._has_committed, position = False, None
        try:
            if self._is_upgrading:
                async with driver.transaction():
                    if position := await repository.announce(driver, PAUSE_SECONDS):
                        await legacy.send(driver, position)
            else:
                position = await repository.announce(driver, PAUSE_SECONDS)
        finally:
            self._has_committed = self._has_committed or position is None

    async def _look(self, driver: Driver) -> None:
        """Announce what nobody has, as a process may have been killed, and find what was announced unheard."""
        self._is_upgrading = await legacy.is_running(driver)
        self.backlog = await repository.backlog(driver)
        if self.backlog.waiting:
            self.announce()
        self._advance(await repository.latest(driver))

    async def _read_on(self, driver: Driver) -> None:
        """Notify the subscriptions of everything up to the last batch that is known."""
        while (
            (self._followers or self.wrote) and self._read is not None and self._read.first <= self._announced.position
        ):
            end = self._announced
            events = await repository.after(driver, self._read, end.position)
            await self._dispatch(driver, events)
            self._read = events[-1].cursor if len(events) == repository.PAGE else end

    async def _dispatch(self, driver: Driver, events: Iterable[Positioned]) -> None:
        closed = []
        for event in events:
            if self.wrote is not None and event.actor_id is not None:
                self.wrote(event.actor_id)
            found = followed(event.type, event.entity_id, event.store_id, event.payload)
            if found is not None:
                self._notify(*found)
            elif event.type in TYPES and TYPES[event.type].reaches_products:
                closed.append(event.entity_id)
        keys = [topic.key for topic in self._followers if topic.kind == Follow.PRODUCT] if closed else []
        for key in await repository.products_of(driver, closed, keys) if keys else ():
            self._notify(Topic(Follow.PRODUCT, key), key)

    def _notify(self, topic: Topic, subject: UUID) -> None:
        for subscription in self._followers.get(topic, ()):
            subscription.notify(subject)

    def _hear(self, _: Any, __: int, ___: str, text: object) -> None:
        with suppress(ValueError):  # from another program; the log is read anyway
            self._advance(Cursor.parse(str(text)))

    def _advance(self, end: Cursor) -> None:
        if end.position > self._announced.position:
            self._announced = end
            self._announce_at = asyncio.get_running_loop().time() + PAUSE_SECONDS
            self._wake.set()

    def _hear_legacy(self, _: Any, __: int, ___: str, text: object) -> None:
        if not self._followers:
            return
        try:
            heard = list(legacy.heard(str(text)))
        except ValueError:
            log.warning("received an unknown event", text=text)  # from another version or another program
            return
        for topic, subject in heard:
            self._notify(topic, subject)

    def _all(self) -> list[Subscription]:
        return [subscription for followers in self._followers.values() for subscription in followers]
