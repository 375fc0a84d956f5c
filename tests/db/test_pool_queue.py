"""No waiting caller is overtaken or forgotten, and no connection is promised to a caller that left."""

import asyncio
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from app.db.pool_queue import SHARES, PoolQueue, Share
from app.errors import Overloaded


class Pool:
    """A pool of two connections, `out` of which are in use."""

    def __init__(self) -> None:
        self.out = 2

    def checkedout(self) -> int:
        return self.out

    def size(self) -> int:
        return 2


class Queue:
    """A queue, and callers that take what they were promised."""

    def __init__(self, seconds: float = 10, longest: int = 10) -> None:
        self.pool = Pool()
        pool: Any = self.pool
        self.queue = PoolQueue(pool, seconds, longest)
        self.served: list[int] = []
        self.connections: dict[int, dict[str, Any]] = {}
        """What is noted of each caller's connection."""

    async def come(self, number: int) -> None:
        shares = await self.queue.wait()
        self.pool.out += 1
        self.queue.taken(self.connections.setdefault(number, {}), shares)
        self.served.append(number)

    async def comes(self, number: int, *shares: Share) -> "asyncio.Task[None]":
        context = copy_context()
        context.run(SHARES.set, shares)
        task = asyncio.create_task(self.come(number), context=context)
        await asyncio.sleep(0)
        return task

    def give_back(self, number: int = -1) -> None:
        self.queue.returned(None, SimpleNamespace(info=self.connections.get(number, {})))
        self.pool.out -= 1

    @property
    def must_wait(self) -> bool:
        """Whether a caller without shares has to wait."""
        return self.queue._must_wait(())


async def settled() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_each_is_served_in_their_turn() -> None:
    queue = Queue()
    for number in range(3):
        await queue.comes(number)

    queue.give_back()
    await queue.comes(3)
    await settled()
    assert queue.served == [0]
    for _ in range(3):
        queue.give_back()
        await settled()

    assert (queue.served, len(queue.queue), queue.must_wait) == ([0, 1, 2, 3], 0, True)


async def test_what_was_promised_to_who_left_is_there_for_the_next() -> None:
    queue = Queue()
    first, _ = await queue.comes(0), await queue.comes(1)

    queue.give_back()
    await asyncio.sleep(0)  # promised
    first.cancel()
    await settled()

    assert queue.served == [1]
    queue.give_back()
    await settled()
    assert not queue.must_wait


async def test_who_leaves_before_is_forgotten() -> None:
    queue = Queue()
    first, _ = await queue.comes(0), await queue.comes(1)
    first.cancel()
    await settled()
    assert len(queue.queue) == 1

    queue.give_back()
    await settled()

    assert queue.served == [1]


async def test_so_many_wait_and_no_more_and_not_for_ever() -> None:
    queue = Queue(seconds=0.01, longest=1)
    first = await queue.comes(0)

    with pytest.raises(Overloaded):
        await queue.come(1)
    with pytest.raises(Overloaded):
        await first

    assert (len(queue.queue), queue.served) == (0, [])
    queue.give_back()
    await queue.come(2)
    assert queue.served == [2]


async def test_a_connection_that_nobody_waits_for_is_taken_at_once() -> None:
    queue = Queue()
    queue.give_back()

    await queue.come(0)

    assert queue.served == [0]


async def test_those_who_hold_their_share_wait_while_others_pass() -> None:
    queue, share = Queue(), Share(1)
    queue.pool.out = 0

    for number in (0, 1):
        await queue.comes(number, share)
    await queue.comes(2)

    assert (queue.served, queue.queue.held(share), len(queue.queue)) == ([0, 2], 1, 1)


async def test_a_connection_of_the_share_goes_to_the_next_of_them() -> None:
    queue, share = Queue(), Share(1)
    queue.pool.out = 0
    for number in (0, 1, 2):
        await queue.comes(number, share)

    for number, served in ((0, [0, 1]), (1, [0, 1, 2]), (2, [0, 1, 2])):
        queue.give_back(number)
        await settled()
        assert queue.served == served

    assert (queue.queue.held(share), queue.pool.out) == (0, 0)


async def test_who_waits_for_a_share_keeps_the_place() -> None:
    queue, share = Queue(), Share(1)
    queue.pool.out = 1
    await queue.comes(0, share)
    await queue.comes(1, share)
    await queue.comes(2)

    queue.give_back(0)
    await settled()

    assert queue.served == [0, 1]


async def test_a_share_is_given_back_by_those_who_leave_with_a_promise() -> None:
    queue, share = Queue(), Share(1)
    first, _ = await queue.comes(0, share), await queue.comes(1, share)

    queue.give_back()
    await asyncio.sleep(0)  # promised
    first.cancel()
    await settled()

    assert (queue.served, queue.queue.held(share)) == ([1], 1)


async def test_who_gets_no_connection_passes_the_share_on() -> None:
    queue, share = Queue(), Share(1)
    queue.pool.out = 0
    SHARES.set((share,))
    shares = await queue.queue.wait()
    await queue.comes(1, share)

    queue.queue.not_taken(shares)
    await settled()

    assert (queue.served, queue.queue.held(share)) == ([1], 1)


async def test_a_share_is_of_each_pool() -> None:
    """Otherwise, what is returned to one pool would let somebody go on who waits for another, and nobody says so."""
    one, other, share = Queue(), Queue(), Share(1)
    one.pool.out = other.pool.out = 0
    await one.comes(0, share)

    await other.comes(1, share)

    assert (one.served, other.served) == ([0], [1])
