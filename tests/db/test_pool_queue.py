"""No waiting caller is overtaken or forgotten, and no connection is promised to a caller that left."""

import asyncio
from typing import Any

import pytest

from app.db.pool_queue import PoolQueue
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

    async def come(self, number: int) -> None:
        if self.queue.must_wait:
            await self.queue.wait()
        self.pool.out += 1
        self.served.append(number)

    async def comes(self, number: int) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.come(number))
        await asyncio.sleep(0)
        return task

    def give_back(self) -> None:
        self.queue.proceed_soon()
        self.pool.out -= 1


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

    assert (queue.served, len(queue.queue), queue.queue.must_wait) == ([0, 1, 2, 3], 0, True)


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
    assert not queue.queue.must_wait


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
