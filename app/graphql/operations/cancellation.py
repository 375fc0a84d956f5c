"""Gives up operations that take too long, or whose client has hung up: their statements end in Postgres, too."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from starlette.types import Receive

from app.errors import TimedOut

_LOOK_EVERY_SECONDS = 0.05

T = TypeVar("T")

_undisturbed: set[asyncio.Task[Any]] = set()  # the event loop alone would let them be collected


class HungUp(Exception):
    """The client has gone; nobody waits for an answer."""


Reason = TimedOut | HungUp


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Wait for this, and return what it does; it goes on where whoever waits is cancelled."""
    task = asyncio.create_task(work)
    _undisturbed.add(task)
    task.add_done_callback(_forget)
    return await asyncio.shield(task)


def _forget(task: asyncio.Task[Any]) -> None:
    _undisturbed.discard(task)
    if not task.cancelled():
        task.exception()  # which nobody may wait for any more


class Watch:
    """Watches over what runs in this process. What is quick costs it an entry in a set: it looks every 50 ms, and only
    what was there the last time is timed, and its client listened to."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def over(self, receive: Receive | None = None, may_give_up: Callable[[Reason], bool] = lambda _: True) -> "Watched":
        """Return a context that raises TimedOut, or HungUp where `receive` tells so, and cancels what runs in it."""
        return Watched(self, receive, may_give_up)

    def begin(self, watched: "Watched") -> None:
        """Watch over this."""
        self._running.add(watched)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_SECONDS, self._look)

    def end(self, watched: "Watched") -> None:
        """Watch over this no more."""
        self._running.discard(watched)

    async def drained(self) -> None:
        """Return once nothing runs any more."""
        while self._running:  # noqa: ASYNC110  # asked once, at the end of the process
            await asyncio.sleep(0.01)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for watched in tuple(self._running):
            watched.look(loop.time(), self._seconds)
        self._timer = loop.call_later(_LOOK_EVERY_SECONDS, self._look) if self._running else None


class Watched:
    """One thing that is watched over, in the task that entered it."""

    _begun: float | None = None
    _listening: asyncio.Task[None] | None = None
    _reason: Reason | None = None

    def __init__(self, watch: Watch, receive: Receive | None, may_give_up: Callable[[Reason], bool]) -> None:
        self._watch = watch
        self._receive = receive
        self._may_give_up = may_give_up
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._watch.begin(self)
        return self

    def __exit__(self, _: Any, failure: BaseException | None, __: Any) -> None:
        self._watch.end(self)
        if self._listening is not None:
            self._listening.cancel()
        if self._reason is not None:
            assert self._task is not None, "it was entered"
            if self._task.uncancel() == 0 and isinstance(failure, asyncio.CancelledError):
                raise self._reason from failure

    def look(self, now: float, seconds: float) -> None:
        """Give it up if its time is over; listen to its client from the second look on."""
        if self._begun is None:
            self._begun = now
        elif now - self._begun >= seconds:
            self._give_up(TimedOut())
        elif self._receive is not None and self._listening is None:
            self._listening = asyncio.create_task(self._listen(self._receive))

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._give_up(HungUp())

    def _give_up(self, reason: Reason) -> None:
        if self._reason is None and self._may_give_up(reason):
            assert self._task is not None, "it was entered"
            self._reason = reason
            self._task.cancel()
