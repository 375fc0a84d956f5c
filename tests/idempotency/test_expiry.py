"""A key is kept for 24 hours. What is deleted then is in tests/pruning."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import IdempotencyKey, Order
from tests.api import Api
from tests.idempotency.requests import KEY, is_replay, kept, order
from tests.market import Market
from tests.orders.operations import number_of

A_DAY = timedelta(hours=24)
A_MINUTE = timedelta(minutes=1)


async def let_pass(connection: AsyncConnection, time: timedelta) -> None:
    """Make every key as old as it will be after this time."""
    await connection.execute(update(IdempotencyKey).values(created_at=datetime.now(UTC) - time))


async def test_a_request_is_answered_again_until_a_day_has_passed(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()
    first = await order(api, customer, product)

    await let_pass(connection, A_DAY - A_MINUTE)
    again = await order(api, customer, product)

    assert (again.content, is_replay(again)) == (first.content, True)
    assert await number_of(connection, Order) == 1


async def test_a_request_is_done_anew_after_a_day(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product()
    first = await order(api, customer, product)

    await let_pass(connection, A_DAY + A_MINUTE)
    anew = await order(api, customer, product)
    again = await order(api, customer, product)

    assert not is_replay(anew)
    assert anew.json()["data"]["placeOrder"]["order"]["id"] != first.json()["data"]["placeOrder"]["order"]["id"]
    assert (again.content, is_replay(again)) == (anew.content, True)
    assert await number_of(connection, Order) == 2
    assert await kept(connection) == [KEY]


async def test_a_replay_does_not_make_the_day_longer(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product()
    await order(api, customer, product)
    await let_pass(connection, A_DAY - A_MINUTE)
    made = select(IdempotencyKey.created_at)
    before = await connection.scalar(made)

    await order(api, customer, product)

    assert await connection.scalar(made) == before


async def test_another_request_may_have_the_key_after_a_day(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()
    await order(api, customer, product, 1)

    await let_pass(connection, A_DAY + A_MINUTE)
    other = await order(api, customer, product, 2)

    assert other.json()["data"]["placeOrder"]["order"]["items"][0]["quantity"] == 2
