"""A fair queue in front of the connection pool: first come, first served."""

import asyncio
from collections import deque
from contextlib import suppress

from sqlalchemy.pool import QueuePool

from app.errors import Overloaded


class PoolQueue:
    """Promises each returned connection to the caller that has waited longest, so that no later caller takes it.

    SQLAlchemy's pool isn't fair, and waiting in it costs a greenlet and 0.06 ms."""

    def __init__(self, pool: QueuePool, seconds: float, longest: int) -> None:
        """Let at most `longest` callers wait, each for at most `seconds`."""
        self._pool = pool
        self._seconds = seconds
        self._longest = longest
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._promised = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def must_wait(self) -> bool:
        """Whether a new caller has to wait."""
        return bool(self._waiting) or self._is_used_up()

    def _is_used_up(self) -> bool:
        """Return whether every connection is in use or promised to a waiting caller."""
        return self._pool.checkedout() + self._promised >= self._pool.size()

    async def wait(self) -> None:
        """Return when the caller may take a connection, which it must do at once. Overloaded if the queue is full or
        the wait takes too long."""
        if len(self._waiting) >= self._longest:
            raise Overloaded
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        expiry = loop.call_later(self._seconds, _expire, waiter)
        try:
            await waiter
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            expiry.cancel()
        self._promised -= 1

    def proceed(self) -> None:
        """Promise the free connections to waiting callers."""
        while self._waiting and not self._is_used_up():
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._promised += 1
                waiter.set_result(None)

    def proceed_soon(self, *_: object) -> None:
        """Do so in a moment: the pool reports a returned connection just before it is available."""
        if self._waiting:
            asyncio.get_running_loop().call_soon(self.proceed)

    def _leave(self, waiter: "asyncio.Future[None]") -> None:
        """Leave the queue; pass on a connection that was already promised."""
        with suppress(ValueError):
            self._waiting.remove(waiter)
        if not waiter.cancelled() and waiter.done() and waiter.exception() is None:
            self._promised -= 1
            self.proceed()


def _expire(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(Overloaded())
