"""The subscriptions of a process: each reads the current state, and reads it again after each event that it follows."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from random import uniform
from typing import Protocol, cast
from uuid import UUID

import orjson
from graphql import GraphQLError

from app.db.engine import is_disconnection
from app.db.notifications import Events, Subscription, Topic
from app.errors import EXPIRED, RequestError, Restarting, TooManySubscriptions, Unauthenticated
from app.graphql.errors import presentable
from app.graphql.operations.documents import OperationRequest
from app.graphql.operations.responses import Response, encoded, given_up, refused
from app.security.tokens import Login
from app.security.viewer import Viewer
from app.settings import Settings

_CLOSE_SECONDS = 1.0
_ATTEMPTS = 20

Read = Callable[[], Awaitable[Response]]
"""Reads the current state of what a subscription follows."""


class NothingToSend(Exception):
    """There was no event yet, or what it was about is gone."""


class Unreachable(Exception):
    """The database does not answer; it will be asked again."""


class Subscriber(Protocol):
    """What is needed of a subscription's context."""

    login: Login
    request: OperationRequest
    following: "Following | None"


class SubscriptionManager:
    """The subscriptions of this process: how many there are, and when each reads."""

    def __init__(self, events: Events, settings: Settings) -> None:
        self.events = events
        self.is_ending = False
        self._per_user = settings.subscriptions_per_user
        self._of_user: Counter[UUID] = Counter()
        # The other half of the pool is for requests, however many subscribers an event wakes.
        self._turns = asyncio.Semaphore(max(1, settings.database_pool_size // 2))
        self._reads: dict[Hashable, asyncio.Task[Response | None]] = {}
        self._at_end: set[Callable[[], Awaitable[None]]] = set()

    @contextmanager
    def counted(self, viewer: Viewer | None) -> Iterator[None]:
        """Count a subscription of the viewer; TooManySubscriptions where that is one too many."""
        if viewer is None:
            yield
            return
        if self._of_user[viewer.id] >= self._per_user:
            raise TooManySubscriptions("A user", self._per_user)
        self._of_user[viewer.id] += 1
        try:
            yield
        finally:
            self._of_user[viewer.id] -= 1
            if not self._of_user[viewer.id]:
                del self._of_user[viewer.id]

    @contextmanager
    def on_end(self, close: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """Call this when the process ends, to close a connection."""
        self._at_end.add(close)
        try:
            yield
        finally:
            self._at_end.discard(close)

    async def end(self) -> None:
        """End everything, so that clients connect to another process."""
        self.is_ending = True
        closing = [close() for close in self._at_end]
        self.events.end(Restarting())
        with suppress(TimeoutError):  # a client that reads nothing must not hold up the process
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*closing, return_exceptions=True)

    async def read(self, read: Read) -> Response | None:
        """Read in turn; while the database cannot be reached, again and again. None if there is nothing to send."""
        failures = 0
        while not self.is_ending:
            try:
                async with self._turns:
                    return await read()
            except NothingToSend:
                return None
            except Unreachable:
                failures += 1
                if failures == _ATTEMPTS:  # although events were heard each time
                    raise
                await asyncio.sleep(uniform(0.1, 0.5))  # noqa: S311  # subscribers must not all come at once
                await self.events.heard()
        raise Restarting

    async def read_together(self, key: Hashable, read: Read) -> Response | None:
        """Return what `read` returns, or what it is about to return for another subscriber with the same key.

        A read is joined only before it begins, so that it is no older than the event of the subscriber who joins."""

        async def begin() -> Response:
            self._reads.pop(key, None)
            return await read()

        if key not in self._reads:
            self._reads[key] = asyncio.create_task(self.read(begin))
            # Retrieve its exception even if nobody waits for it any more.
            self._reads[key].add_done_callback(lambda read: read.cancelled() or read.exception())
        return await asyncio.shield(self._reads[key])

    async def responses(self, context: Subscriber, operation: Hashable, read: Read) -> AsyncGenerator[Response]:
        """Yield the response of a subscription now, and after each event that it follows, until it fails.

        No connection to the database is held while the client takes its time, or nothing happens."""
        following = context.following = Following(self.events)
        begun = False
        try:
            with self.counted(context.login.viewer):
                # The first read is its own: it makes the operation follow its topic.
                response = await self.read(read)
                while True:
                    _require_fresh_token(context)
                    if response is not None:
                        if not response.has_data:
                            if not begun:
                                errors = orjson.dumps({"errors": response.errors})
                                response = response._replace(body=errors, is_executed=False)
                            yield response
                            return
                        yield response
                        begun = True
                    await following.proceed(context.login.expires_at)
                    key = (operation, context.login.viewer, context.login.session_id, following.subject)
                    response = await self.read_together(key, read)
        except Restarting:
            raise
        except Unreachable as failure:
            error = GraphQLError("The database is not responding.", original_error=cast(Exception, failure.__cause__))
            yield encoded(None, [presentable(error, context.request.id)])
        except RequestError as refusal:
            yield given_up(refusal) if begun else refused(refusal)
        finally:
            following.end()


class Following:
    """What a subscription follows, and the event for which it is executed."""

    def __init__(self, events: Events) -> None:
        self.subject: UUID | None = None
        """What the current event is about; None before the first."""
        self.subscription: Subscription | None = None
        """Receives the events of the topic, once the field follows one."""
        self._events = events

    def follow(self, topic: Topic, *, has_state: bool) -> UUID | None:
        """Follow the topic from now on, and return the subject of the current event."""
        if self.subscription is None:
            self.subscription = self._events.follow(topic, has_state=has_state)
        return self.subject

    async def proceed(self, expires_at: float | None) -> None:
        """Wait for the next event; Unauthenticated if the token expires before."""
        assert self.subscription is not None, "the field follows a topic"
        left = None if expires_at is None else expires_at - time.time()
        try:
            async with asyncio.timeout(left):
                self.subject = await self.subscription.next()
        except TimeoutError:
            raise Unauthenticated(EXPIRED) from None

    @staticmethod
    def raise_not_now(failure: BaseException | None) -> None:
        """Raise NothingToSend or Unreachable where a field has failed but the subscription continues."""
        if isinstance(failure, NothingToSend):
            raise failure
        if is_disconnection(failure):
            raise Unreachable from failure

    def end(self) -> None:
        """Stop following."""
        if self.subscription is not None:
            self._events.leave(self.subscription)


def _require_fresh_token(context: Subscriber) -> None:
    """Raise Unauthenticated if the token has expired, maybe while the database or the client took its time."""
    expires_at = context.login.expires_at
    if expires_at is not None and expires_at <= time.time():
        raise Unauthenticated(EXPIRED)
