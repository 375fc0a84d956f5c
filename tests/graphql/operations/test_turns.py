"""Whose turn it is to read."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

import pytest

from app.clients import Client
from app.graphql.operations.turns import Turn, Turns

ADA, BOB = Client("user ada", False), Client("user bob", False)
SOMEONE, ANYONE, NOBODY = (Client(f"address {number}", True) for number in range(3))


def granted(turns: list[Turn]) -> list[bool]:
    return [turn.granted.done() for turn in turns]


async def test_one_client_leaves_turns_to_others() -> None:
    turns = Turns(5)
    many = [turns.request(ADA) for _ in range(30)]
    assert granted(many).count(True) == 2
    assert len(turns) == 28
    assert granted([turns.request(BOB)]) == [True]


async def test_anonymous_clients_together_leave_turns_to_users() -> None:
    turns = Turns(5)
    anonymous = [turns.request(client) for client in (SOMEONE, ANYONE, NOBODY) for _ in range(9)]
    assert granted(anonymous).count(True) == 3
    assert granted([turns.request(ADA), turns.request(ADA), turns.request(ADA)]) == [True, True, False]


@pytest.mark.parametrize("clients", [(ADA, BOB), (SOMEONE, ANYONE), (SOMEONE, ADA)])
async def test_clients_take_turns_however_many_they_wait_for(clients: tuple[Client, Client]) -> None:
    turns, order = Turns(1), list[str]()
    greedy, modest = clients

    async def read(client: Client) -> None:
        async with turns.taken(turns.request(client)):
            await asyncio.sleep(0)
            order.append(client.name)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for client in (*[greedy] * 5, *[modest] * 2):
            group.create_task(read(client))

    expected = [greedy, greedy, modest, greedy, modest, greedy, greedy]
    assert sorted(order) == sorted(client.name for client in expected)
    assert max(place for place, name in enumerate(order) if name == modest.name) <= 4
    assert len(turns) == 0
    assert not turns._held


async def test_what_is_shared_is_read_when_any_of_them_is_next() -> None:
    turns = Turns(5)
    many = [turns.request(SOMEONE) for _ in range(9)]
    turns.join(many[-1], ANYONE)
    assert granted(many) == [True, True, False, False, False, False, False, False, True]
    assert [*many[-1].clients] == [ANYONE]


async def test_who_no_longer_waits_holds_nobody_up() -> None:
    turns = Turns(1)
    first = turns.request(ADA)

    async def wait(client: Client) -> None:
        async with turns.taken(turns.request(client)):
            pass

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(turns.taken(first))
        leaving = [asyncio.create_task(wait(client)) for client in (ADA, BOB, SOMEONE)]
        await asyncio.sleep(0)
        assert len(turns) == 3
        for task in leaving[:2]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert len(turns) == 1
    await leaving[2]
    assert granted([turns.request(BOB)]) == [True]


async def test_a_turn_is_not_granted_to_who_is_about_to_leave() -> None:
    turns = Turns(1)

    async def wait() -> None:
        async with turns.taken(turns.request(BOB)):
            pass

    async with turns.taken(turns.request(ADA)):
        leaving = asyncio.create_task(wait())
        await asyncio.sleep(0)
        leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    assert granted([turns.request(SOMEONE)]) == [True]


async def test_a_turn_that_is_granted_to_who_leaves_passes_on() -> None:
    turns = Turns(1)
    first = turns.request(ADA)

    async def wait() -> None:
        async with turns.taken(turns.request(BOB)):
            await asyncio.sleep(3600)

    leaving = asyncio.create_task(wait())
    await asyncio.sleep(0)
    async with turns.taken(first):
        pass
    leaving.cancel()  # granted, but not resumed yet
    with suppress(asyncio.CancelledError):
        await leaving
    assert granted([turns.request(SOMEONE)]) == [True]


async def test_after_a_turn_nobody_has_it_for_a_part_of_the_time_that_it_took() -> None:
    """Meanwhile the event loop has many turns of its own, in each of which it accepts a connection."""
    turns, loop_turns = Turns(1, rest=2), 0
    async with turns.taken(turns.request(ADA)):
        time.sleep(0.02)  # noqa: ASYNC251  # as parsing a document does, it keeps everyone waiting
    following = turns.request(BOB)
    while not following.granted.done():
        loop_turns += 1
        await asyncio.sleep(0)
    assert loop_turns > 100


async def test_a_turn_that_nobody_waits_for_any_more_is_forgotten() -> None:
    turns = Turns(1, rest=1_000)
    async with turns.taken(turns.request(ADA)):
        waiting = asyncio.create_task(_take(turns, BOB))
        await asyncio.sleep(0)
        assert len(turns) == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert len(turns) == 0


async def _take(turns: Turns, client: Client) -> None:
    async with turns.taken(turns.request(client)):
        pass
