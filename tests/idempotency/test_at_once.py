"""Requests under one key that arrive at once, each in a transaction that commits."""

from asyncio import create_task, gather

from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Order
from tests.api import Api
from tests.databases import committed
from tests.idempotency.requests import assert_refused, is_replay, kept, order
from tests.locks import held
from tests.market import Market
from tests.orders.operations import number_of, stock_of


async def number_of_orders(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return await number_of(connection, Order)


async def test_fifty_identical_orders_at_once_are_one(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=1_000)

    responses = await gather(*(order(committed_api, customer, product, 3) for _ in range(50)))

    assert responses[0].json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert len({response.content for response in responses}) == 1
    assert sum(is_replay(response) for response in responses) == 49
    assert await number_of_orders(committed_engine) == 1
    assert await stock_of(committed_market, product) == 997


async def test_fifty_orders_at_once_under_keys_of_their_own_are_fifty(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=1_000)

    responses = await gather(*(order(committed_api, customer, product, key=f"order-{n:03}") for n in range(50)))

    assert len({response.json()["data"]["placeOrder"]["order"]["id"] for response in responses}) == 50
    assert not any(is_replay(response) for response in responses)
    assert await number_of_orders(committed_engine) == 50
    assert await stock_of(committed_market, product) == 950


async def test_the_same_key_of_two_users_at_once_is_one_order_of_each(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    product = await committed_market.product(stock=100)
    ada, bob = await committed_market.user(), await committed_market.user()

    responses = await gather(*(order(committed_api, user, product) for user in (ada, bob) * 10))

    assert len({response.content for response in responses[::2]}) == 1
    assert len({response.content for response in responses[1::2]}) == 1
    assert responses[0].content != responses[1].content
    assert await number_of_orders(committed_engine) == 2
    assert await stock_of(committed_market, product) == 98


async def test_of_different_requests_at_once_under_one_key_one_is_done(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=1_000)

    responses = await gather(*(order(committed_api, customer, product, quantity) for quantity in range(1, 11)))

    (done,) = (response.json()["data"] for response in responses if response.json()["data"])
    for response in responses:
        if response.json()["data"] is None:
            assert_refused(response)
    (item,) = done["placeOrder"]["order"]["items"]
    assert await stock_of(committed_market, product) == 1_000 - item["quantity"]
    assert await number_of_orders(committed_engine) == 1


async def test_whoever_waits_for_the_same_request_gets_its_response(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=5)

    async with held(committed_engine, product) as gate:
        first = create_task(order(committed_api, customer, product))
        await gate.until_waiting(1)
        second = create_task(order(committed_api, customer, product))
        await gate.until_waiting(2)

    assert (await second).content == (await first).content
    assert (is_replay(await first), is_replay(await second)) == (False, True)
    assert await stock_of(committed_market, product) == 4


async def test_whoever_waits_for_the_same_request_does_it_when_that_is_undone(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=5)
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async with held(committed_engine, product) as gate:
        first = create_task(order(committed_api, customer, product))
        await gate.until_waiting(1)
        second = create_task(order(committed_api, customer, product))
        await gate.until_waiting(2)
        longest = f"{waiting} ORDER BY query_start LIMIT 1"
        assert await committed(committed_engine, f"SELECT pg_terminate_backend(pid) {longest}") == [(True,)]

    assert (await first).json()["errors"][0]["extensions"]["code"] == "OUTCOME_UNKNOWN"
    assert (await second).json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert not is_replay(await second)
    assert await stock_of(committed_market, product) == 4
    async with committed_engine.connect() as connection:
        assert len(await kept(connection)) == 1
