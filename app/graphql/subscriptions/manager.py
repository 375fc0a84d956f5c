"""The subscriptions of a process: each reads the current state, and reads it again after each event that it follows."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from random import uniform
from typing import NamedTuple, Protocol, cast
from uuid import UUID

import orjson
from graphql import GraphQLError

from app.clients import Client
from app.db.engine import is_disconnection
from app.errors import EXPIRED, RateLimited, RequestError, Restarting, TooManySubscriptions, Unauthenticated
from app.events.catalog import Topic
from app.events.following import Subscription
from app.events.log import Events
from app.graphql.errors import presentable
from app.graphql.operations.documents import OperationRequest
from app.graphql.operations.responses import Response, encoded, given_up, refused
from app.graphql.operations.turns import Turn, Turns
from app.security.tokens import Login
from app.settings import Settings

_CLOSE_SECONDS = 1.0
_ATTEMPTS = 20

Read = Callable[[], Awaitable[Response]]
"""Reads the current state of what a subscription follows."""
Pay = Callable[[], Awaitable[object]]
"""Takes the cost of an event from the rate limit, if there is one; RateLimited if too little is left."""


class NothingToSend(Exception):
    """There was no event yet, or what it was about is gone."""


class Unreachable(Exception):
    """The database does not answer; it will be asked again."""


class SharedRead(NamedTuple):
    """A read that several subscribers wait for."""

    turn: Turn
    task: asyncio.Task[Response | None]


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
        # The other half of the pool is for requests, however many subscribers an event wakes.
        self.turns = Turns(max(1, settings.database_pool_size // 2))
        self._settings = settings
        self._of_client: Counter[Client] = Counter()
        self._anonymous = 0
        self._reads: dict[Hashable, SharedRead] = {}
        self._at_end: set[Callable[[], Awaitable[None]]] = set()

    @contextmanager
    def counted(self, client: Client) -> Iterator[None]:
        """Count a subscription of the client; TooManySubscriptions where that is one too many."""
        self._require_few(client)
        self._of_client[client] += 1
        self._anonymous += client.is_anonymous
        try:
            yield
        finally:
            self._anonymous -= client.is_anonymous
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    def _require_few(self, client: Client) -> None:
        settings, number = self._settings, self._of_client[client]
        if not client.is_anonymous:
            if number >= settings.subscriptions_per_user:
                raise TooManySubscriptions("A user", settings.subscriptions_per_user)
        elif number >= settings.subscriptions_per_address:
            raise TooManySubscriptions("An address without a login", settings.subscriptions_per_address)
        elif self._anonymous >= settings.anonymous_subscriptions:
            raise TooManySubscriptions("All clients without a login together", settings.anonymous_subscriptions)

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

    async def read(self, client: Client, read: Read) -> Response | None:
        """Read in turn; while the database cannot be reached, again and again. None if there is nothing to send."""
        return await self._read(self.turns.request(client), client, read)

    async def read_together(self, key: Hashable, client: Client, read: Read) -> Response | None:
        """Return what `read` returns, or what it is about to return for another subscriber with the same key.

        A read is joined only before it begins, so that it is no older than the event of the subscriber who joins. It
        begins as soon as it is the turn of any of them."""

        async def begin() -> Response:
            self._reads.pop(key, None)
            return await read()

        shared = self._reads.get(key)
        if shared is None:
            turn = self.turns.request(client)
            shared = SharedRead(turn, asyncio.create_task(self._read(turn, client, begin)))
            self._reads[key] = shared
            # Retrieve its exception even if nobody waits for it any more.
            shared.task.add_done_callback(lambda read: read.cancelled() or read.exception())
        else:
            self.turns.join(shared.turn, client)
        return await asyncio.shield(shared.task)

    async def _read(self, turn: Turn, client: Client, read: Read) -> Response | None:
        failures = 0
        while not self.is_ending:
            try:
                async with self.turns.taken(turn):
                    return await read()
            except NothingToSend:
                return None
            except Unreachable:
                failures += 1
                if failures == _ATTEMPTS:  # although events were heard each time
                    raise
                await asyncio.sleep(uniform(0.1, 0.5))  # noqa: S311  # subscribers must not all come at once
                await self.events.heard()
                turn = self.turns.request(client)
        raise Restarting

    async def responses(
        self, context: Subscriber, operation: Hashable, read: Read, pay: Pay | None
    ) -> AsyncGenerator[Response]:
        """Yield the response of a subscription now, and after each event that it follows and can pay for, until it
        fails.

        No connection to the database is held while the client takes its time, or nothing happens."""
        following = context.following = Following(self.events)
        client = Client.of(context.login.viewer, context.request.address)
        begun = False
        try:
            with self.counted(client):
                # The first read is its own: it makes the operation follow its topic. It has been paid for.
                response = await self.read(client, read)
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
                    await following.proceed(context.login.expires_at, pay)
                    key = (operation, context.login.viewer, context.login.session_id, following.subject)
                    response = await self.read_together(key, client, read)
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

    async def proceed(self, expires_at: float | None, pay: Pay | None) -> None:
        """Wait for the next event, and until it is paid for; Unauthenticated if the token expires before."""
        assert self.subscription is not None, "the field follows a topic"
        if expires_at is None:
            await self._wait(self.subscription, pay)
        else:
            try:
                async with asyncio.timeout(expires_at - time.time()):
                    await self._wait(self.subscription, pay)
            except TimeoutError:
                raise Unauthenticated(EXPIRED) from None
        self.subject = self.subscription.next()

    @staticmethod
    async def _wait(subscription: Subscription, pay: Pay | None) -> None:
        """Wait for an event, and pay for it. A client that can't pay now receives it later, together with those that
        follow until then."""
        await subscription.wait()
        while pay is not None:
            try:
                await pay()
                return
            except RateLimited as limited:
                await subscription.pause(limited.reset)

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
