"""Cancels operations that take too long, or whose client has disconnected, and their statements in Postgres."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from app.errors import TimedOut

_LOOK_EVERY_SECONDS = 0.05

T = TypeVar("T")

_undisturbed: set[asyncio.Task[Any]] = set()  # the event loop alone would let them be collected


class Disconnected(Exception):
    """The client has disconnected; nobody waits for the response."""


Reason = TimedOut | Disconnected


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Await this and return its result; it continues where the waiting task is cancelled."""
    task = asyncio.create_task(work)
    _undisturbed.add(task)
    task.add_done_callback(_undisturbed.discard)
    # Retrieve its exception, or asyncio would report it where nobody waits any more.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)


class Watch:
    """Watches the operations of this process. A quick one costs an entry in a set: the watch looks every 50 ms,
    and only times an operation, or listens for its client to disconnect, if it has seen it before."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def over(self, receive: Receive | None = None, may_give_up: Callable[[Reason], bool] = lambda _: True) -> "Watched":
        """Return a context that cancels what runs in it, with TimedOut, or Disconnected if `receive` reports it."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_SECONDS, self._look)
        return Watched(self._running, receive, may_give_up)

    async def drained(self) -> None:
        """Return once nothing runs."""
        while self._running:  # noqa: ASYNC110  # asked once, at the end of the process
            await asyncio.sleep(0.01)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for watched in tuple(self._running):
            watched.look(loop.time(), self._seconds)
        self._timer = loop.call_later(_LOOK_EVERY_SECONDS, self._look) if self._running else None


class Watched:
    """What is watched, in the task that entered it."""

    _begun: float | None = None
    _listening: asyncio.Task[None] | None = None
    _reason: Reason | None = None

    def __init__(self, running: set["Watched"], receive: Receive | None, may_give_up: Callable[[Reason], bool]) -> None:
        self._running = running
        self._receive = receive
        self._may_give_up = may_give_up

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "operations run in tasks"
        self._task = task
        self._running.add(self)

    def __exit__(self, _: Any, failure: BaseException | None, __: Any) -> None:
        self._running.discard(self)
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None  # its traceback refers to this
        if self._reason is not None and self._task.uncancel() == 0 and isinstance(failure, asyncio.CancelledError):
            raise self._reason from failure

    def look(self, now: float, seconds: float) -> None:
        """Cancel it if its time is over; listen to its client from the second look on."""
        if self._begun is None:
            self._begun = now
        elif now - self._begun >= seconds:
            self._give_up(TimedOut())
        elif self._receive is not None and self._listening is None:
            self._listening = asyncio.create_task(self._listen(self._receive))

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._give_up(Disconnected())

    def _give_up(self, reason: Reason) -> None:
        if self._reason is None and self._may_give_up(reason):
            self._reason = reason
            self._task.cancel()
