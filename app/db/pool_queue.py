"""A fair queue in front of the connection pool: first come, first served, but for those whose share is used up."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.pool import QueuePool

from app.errors import Overloaded

_HOLDING = "holding"


@dataclass(eq=False)
class Share:
    """The connections of a pool that some callers may hold together, so that the others find one."""

    most: int


SHARES: ContextVar[Sequence[Share]] = ContextVar("shares of the current caller", default=())
"""The shares that the connections of the current task count in."""


class _Waiter(NamedTuple):
    promise: "asyncio.Future[None]"
    shares: Sequence[Share]


class PoolQueue:
    """Promises each returned connection to the caller that has waited longest, so that no later caller takes it.

    SQLAlchemy's pool isn't fair, and waiting in it costs a greenlet and 0.06 ms."""

    def __init__(self, pool: QueuePool, seconds: float, longest: int) -> None:
        """Let at most `longest` callers wait, each for at most `seconds`."""
        self._pool = pool
        self._seconds = seconds
        self._longest = longest
        self._waiting: deque[_Waiter] = deque()
        self._promised = 0
        self._held: dict[Share, int] = {}
        """How many connections of this pool the callers of each share hold, if any."""

    def __len__(self) -> int:
        return len(self._waiting)

    def held(self, share: Share) -> int:
        """Return how many connections of this pool the callers of a share hold."""
        return self._held.get(share, 0)

    def _is_used_up(self) -> bool:
        """Return whether every connection is in use or promised to a waiting caller."""
        return self._pool.checkedout() + self._promised >= self._pool.size()

    def _must_wait(self, shares: Sequence[Share]) -> bool:
        if self._is_used_up() or self._are_used_up(shares):
            return True
        return any(not self._are_used_up(waiter.shares) for waiter in self._waiting)

    async def wait(self) -> Sequence[Share]:
        """Return when the caller may take a connection, which it must do at once, and the shares that it counts in.
        Overloaded if the queue is full or the wait takes too long."""
        shares = SHARES.get()
        if self._must_wait(shares):
            await self._join(shares)
        else:
            self._hold(shares)
        return shares

    async def _join(self, shares: Sequence[Share]) -> None:
        if len(self._waiting) >= self._longest:
            raise Overloaded
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), shares)
        self._waiting.append(waiter)
        expiry = loop.call_later(self._seconds, _expire, waiter.promise)
        try:
            await waiter.promise
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            expiry.cancel()
        self._promised -= 1

    def taken(self, info: dict[str, Any], shares: Sequence[Share]) -> None:
        """Note in a connection's `info` which shares it counts in, of the connections that this queue has promised."""
        info[_HOLDING] = self, shares

    def not_taken(self, shares: Sequence[Share]) -> None:
        """Pass on the turn of a caller that got no connection."""
        self.release(shares)
        self._proceed()

    def returned(self, _: Any, record: Any) -> None:
        """Let the next caller have what was returned, in a moment: the pool reports a connection just before it is
        available."""
        queue, shares = record.info.pop(_HOLDING, (self, ()))
        queue.release(shares)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._proceed)

    def _proceed(self) -> None:
        """Promise the free connections to waiting callers whose shares are not used up."""
        kept: list[_Waiter] = []
        while self._waiting and not self._is_used_up():
            waiter = self._waiting.popleft()
            if waiter.promise.done():
                continue
            if self._are_used_up(waiter.shares):
                kept.append(waiter)
                continue
            self._promised += 1
            self._hold(waiter.shares)
            waiter.promise.set_result(None)
        self._waiting.extendleft(reversed(kept))

    def _leave(self, waiter: _Waiter) -> None:
        """Leave the queue; pass on a connection that was already promised."""
        with suppress(ValueError):
            self._waiting.remove(waiter)
        promise = waiter.promise
        if not promise.cancelled() and promise.done() and promise.exception() is None:
            self._promised -= 1
            self.not_taken(waiter.shares)

    def _are_used_up(self, shares: Sequence[Share]) -> bool:
        return any(self.held(share) >= share.most for share in shares)

    def _hold(self, shares: Sequence[Share]) -> None:
        for share in shares:
            self._held[share] = self.held(share) + 1

    def release(self, shares: Sequence[Share]) -> None:
        """Count a returned connection no more in the shares that it counted in."""
        for share in shares:
            self._held[share] -= 1
            if not self._held[share]:
                del self._held[share]


def _expire(promise: "asyncio.Future[None]") -> None:
    if not promise.done():
        promise.set_exception(Overloaded())
