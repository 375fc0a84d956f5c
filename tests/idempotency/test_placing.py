"""An order claims its key in its own statement, and its response is stored afterwards."""

from asyncio import gather
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db.models import AuditEntry, IdempotencyKey, Order, Session, User
from app.global_ids import global_id
from app.graphql import context
from tests.api import Api
from tests.idempotency.requests import KEY, assert_refused, is_replay, kept, keyed, order, send
from tests.market import Market, gid
from tests.orders.operations import PLACE, number_of


@pytest.fixture
async def customer(market: Market) -> User:
    return await market.user()


async def forget_response(connection: AsyncConnection) -> None:
    """Leave what a server leaves that is killed once the order is placed."""
    await connection.execute(update(IdempotencyKey).values(response=None))


async def order_of_key(connection: AsyncConnection) -> Any:
    return await connection.scalar(select(IdempotencyKey.order_id))


async def test_a_request_whose_response_was_not_stored_shows_the_order_of_the_first(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    product = await market.product(stock=5)
    first = await order(api, customer, product)
    await forget_response(connection)

    completed, again = [await order(api, customer, product) for _ in range(2)]

    assert completed.content == first.content == again.content
    assert (is_replay(first), is_replay(completed), is_replay(again)) == (False, True, True)
    assert global_id("Order", await order_of_key(connection)) in first.text
    assert await number_of(connection, Order) == 1
    assert await number_of(connection, AuditEntry) == 1
    await market.reload(product)
    assert product.stock == 4


async def test_an_explained_repeat_is_marked_as_one_and_kept_as_any_other(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    items = {"items": [{"productId": gid(await market.product()), "quantity": 1}]}
    first = await send(api, PLACE, items, user=customer)
    await forget_response(connection)

    explained, again = [
        await api.send(PLACE, items, user=customer, headers={**keyed(), **asked})
        for asked in ({"X-Explain": "true"}, {})
    ]

    assert (is_replay(explained), is_replay(again)) == (True, True)
    assert explained.content == again.content == first.content


async def test_another_request_does_not_complete_it(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    product = await market.product(stock=5)
    await order(api, customer, product, 1)
    await forget_response(connection)

    assert_refused(await order(api, customer, product, 2))
    assert_refused(await order(api, customer, product, 0))  # which no order has
    assert await connection.scalar(select(IdempotencyKey.response)) is None


async def test_an_order_is_shown_again_though_its_products_are_sold_out_and_deleted(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    product = await market.product(stock=1)
    first = await order(api, customer, product)
    product.deleted_at = func.now()
    await market.session.commit()

    again = await order(api, customer, product)
    await forget_response(connection)
    completed = await order(api, customer, product)

    assert first.content == again.content == completed.content


async def test_a_customer_whose_session_has_ended_is_shown_a_stored_response_and_nothing_else(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    product = await market.product(stock=5)
    first = await order(api, customer, product)
    await connection.execute(update(Session).values(ended_at=func.now()))

    assert (await order(api, customer, product)).content == first.content
    await forget_response(connection)
    refused = await order(api, customer, product)

    assert refused.json()["data"] == {"placeOrder": None}
    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_what_is_refused_is_kept_and_shown_though_it_could_be_done_now(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    product = await market.product(stock=1)
    short = await order(api, customer, product, 2)
    product.stock = 5
    await market.session.commit()

    again = await order(api, customer, product, 2)

    assert short.json()["data"]["placeOrder"]["__typename"] == "InsufficientStock"
    assert (again.content, is_replay(again)) == (short.content, True)
    assert await number_of(connection, Order) == 0


async def test_a_malformed_key_is_refused_whatever_else_is_wrong(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    product = await market.product()

    refused = await order(api, customer, product, 0, key="short")

    assert refused.json()["data"] is None
    assert refused.json()["errors"][0]["extensions"]["argumentPath"] == ["Idempotency-Key"]
    assert await kept(connection) == []


async def test_the_last_unit_goes_to_one_order_of_identical_requests_which_all_show_it(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=1)

    responses = await gather(*(order(committed_api, customer, product) for _ in range(12)))

    assert len({response.content for response in responses}) == 1
    assert [is_replay(response) for response in responses].count(False) == 1
    assert responses[0].json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    async with committed_engine.connect() as connection:
        assert await number_of(connection, Order) == 1
        assert await kept(connection) == [KEY]


async def test_what_may_be_too_large_to_be_kept_is_placed_in_a_transaction(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    product = await market.product()
    selection = "order { items { product { store { products(first: 40) { nodes { name } } } } } }"
    large = PLACE.replace("__typename", f"__typename ... on PlaceOrderSuccess {{ large: {selection} }}", 1)

    placed = await send(api, large, {"items": [{"productId": gid(product), "quantity": 1}]}, user=customer)

    assert placed.json()["data"]["placeOrder"]["large"]
    assert await order_of_key(connection) is None


async def test_nothing_is_placed_again_where_less_may_be_kept_than_when_it_was(
    api: Api, market: Market, customer: User, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = await market.product(stock=5)
    await order(api, customer, product)
    await forget_response(connection)

    monkeypatch.setattr(context, "_BYTES_AROUND", 1024 * 1024)
    unknown = await order(api, customer, product)

    assert unknown.json()["errors"][0]["extensions"]["code"] == "OUTCOME_UNKNOWN"
    assert await number_of(connection, Order) == 1


async def test_what_is_placed_in_its_own_statement_has_no_more_bytes_than_were_foreseen(
    api: Api, market: Market, customer: User, connection: AsyncConnection
) -> None:
    """A hundred items, of which each has long names: fewer points than they have bytes."""
    store = await market.store()
    products = [await market.product(store) for _ in range(100)]
    items = [{"productId": gid(product), "quantity": 1} for product in products]
    long = " ".join(f"{'x' * 600}{number}: id" for number in range(20))
    large = f"""
    mutation ($items: [OrderItemInput!]!) {{
      placeOrder(input: {{ items: $items }}) {{ ... on PlaceOrderSuccess {{ order {{ items {{ {long} }} }} }} }}
    }}
    """

    refused = await send(api, large, {"items": items}, user=customer)

    assert refused.json()["errors"][0]["extensions"]["code"] == "RESPONSE_TOO_LARGE"
    assert await number_of(connection, Order) == 0
