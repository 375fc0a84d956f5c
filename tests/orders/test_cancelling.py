"""Cancelling gives stock back, once, while nothing has been fulfilled."""

import pytest
from sqlalchemy import select

from app.db.models import OrderItem, OrderStatus
from app.inputs import MAX_STOCK
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import CANCEL, NOBODY_ID, cancel, item, place, stock_of
from tests.orders.store_orders import fulfill
from tests.products.changes import set_stock


async def test_cancelling_gives_back_what_the_order_took(api: Api, market: Market) -> None:
    customer, bread, wine = await market.user(), await market.product(stock=10), await market.product(stock=3)
    order = (await place(api, customer, item(bread, 4), item(wine, 3)))["order"]

    cancelled = (await cancel(api, customer, order["id"]))["order"]

    parts = [{**part, "status": "CANCELLED"} for part in order["storeOrders"]]
    assert cancelled == {**order, "status": "CANCELLED", "storeOrders": parts}
    assert [await stock_of(market, product) for product in (bread, wine)] == [10, 3]


async def test_stock_is_given_back_only_once(api: Api, market: Market) -> None:
    customer, bread = await market.user(), await market.product(stock=10)
    order = (await place(api, customer, item(bread, 4)))["order"]
    await cancel(api, customer, order["id"])

    again = await cancel(api, customer, order["id"])

    assert again == {"__typename": "InvalidTransition", "status": "CANCELLED"}
    assert await stock_of(market, bread) == 10


async def test_only_the_stock_of_this_order_is_given_back(api: Api, market: Market) -> None:
    customer, bread = await market.user(), await market.product(stock=10)
    order = (await place(api, customer, item(bread, 4)))["order"]
    await place(api, customer, item(bread, 1))

    await cancel(api, customer, order["id"])

    assert await stock_of(market, bread) == 9


async def test_stock_that_is_not_tracked_stays_so(api: Api, market: Market) -> None:
    customer, bread = await market.user(), await market.product(stock=None)
    order = (await place(api, customer, item(bread, 4)))["order"]

    await cancel(api, customer, order["id"])

    assert await stock_of(market, bread) is None
    assert bread.version == 1


async def test_stock_that_was_not_tracked_when_it_was_ordered_gets_nothing_back(api: Api, market: Market) -> None:
    owner, customer = await market.user(), await market.user()
    bread = await market.product(await market.store(owner), stock=None)
    order = (await place(api, customer, item(bread, 4)))["order"]
    await set_stock(api, owner, productId=gid(bread), stock=10)

    await cancel(api, customer, order["id"])

    assert await stock_of(market, bread) == 10


async def test_stock_is_returned_up_to_its_maximum(api: Api, market: Market) -> None:
    owner, customer = await market.user(), await market.user()
    bread = await market.product(await market.store(owner), stock=10)
    order = (await place(api, customer, item(bread, 4)))["order"]
    await set_stock(api, owner, productId=gid(bread), stock=MAX_STOCK)

    cancelled = await cancel(api, customer, order["id"])

    assert cancelled["__typename"] == "CancelOrderSuccess"
    assert await stock_of(market, bread) == MAX_STOCK == 1_000_000_000


async def test_a_cancellation_is_no_new_version_of_the_product(api: Api, market: Market) -> None:
    customer, bread = await market.user(), await market.product(stock=10)
    order = (await place(api, customer, item(bread, 4)))["order"]

    await cancel(api, customer, order["id"])

    assert (await market.reload(bread)).version == 1


async def test_a_product_deleted_meanwhile_gets_its_stock_back(api: Api, market: Market) -> None:
    owner, customer = await market.user(), await market.user()
    bread = await market.product(await market.store(owner), stock=10)
    order = (await place(api, customer, item(bread, 4)))["order"]
    await api.data(f'mutation {{ deleteProduct(input: {{ id: "{gid(bread)}" }}) {{ __typename }} }}', user=owner)

    cancelled = (await cancel(api, customer, order["id"]))["order"]

    assert cancelled["status"] == "CANCELLED"
    assert await stock_of(market, bread) == 10


async def test_a_superuser_may_cancel_any_order(api: Api, market: Market) -> None:
    customer, bread = await market.user(), await market.product(stock=10)
    order = (await place(api, customer, item(bread, 4)))["order"]

    cancelled = (await cancel(api, await market.superuser(), order["id"]))["order"]

    assert (cancelled["status"], cancelled["customer"]) == ("CANCELLED", {"id": gid(customer)})
    assert await stock_of(market, bread) == 10


async def test_another_ones_order_is_answered_like_one_that_does_not_exist(api: Api, market: Market) -> None:
    bread, nothing = await market.product(stock=10), f"Order_{NOBODY_ID}"
    order = await market.order(await market.user(), bread)
    stranger = await market.user()

    foreign, absent = await cancel(api, stranger, order), await cancel(api, stranger, nothing)

    assert foreign == {**absent, "missingId": gid(order)}
    assert absent == {"__typename": "NotFound", "missingId": nothing, "message": "There is no such Order."}
    assert (await market.reload(order)).status is OrderStatus.PLACED
    assert await stock_of(market, bread) == 10


async def test_the_owner_of_a_store_cannot_cancel_what_was_ordered_there(api: Api, market: Market) -> None:
    owner = await market.user()
    bread = await market.product(await market.store(owner), stock=10)
    order = await market.order(await market.user(), bread)

    result = await cancel(api, owner, order)

    assert result["__typename"] == "NotFound"
    assert (await market.reload(order)).status is OrderStatus.PLACED
    assert await stock_of(market, bread) == 10


@pytest.mark.parametrize(("fulfilled", "status"), [(1, "PARTIALLY_FULFILLED"), (2, "FULFILLED")])
async def test_an_order_of_which_something_is_fulfilled_stands(
    api: Api, market: Market, fulfilled: int, status: str
) -> None:
    owner, customer = await market.user(), await market.user()
    store = await market.store(owner)
    products = [await market.product(store, stock=10) for _ in range(2)]
    order = (await place(api, customer, *map(item, products)))["order"]
    (part,) = order["storeOrders"]
    items = [f"OrderItem_{id}" for id in await market.session.scalars(select(OrderItem.id).order_by(OrderItem.id))]
    await fulfill(api, owner, part["id"], *items[:fulfilled])

    result = await cancel(api, customer, order["id"])

    assert result == {"__typename": "InvalidTransition", "status": status}
    assert [await stock_of(market, product) for product in products] == [9, 9]


async def test_nobody_cancels_without_a_login(api: Api, market: Market) -> None:
    order = await market.order(await market.user(), await market.product())

    error = await api.error(CANCEL, {"id": gid(order)})

    assert error["code"] == "UNAUTHENTICATED"
    assert (await market.reload(order)).status is OrderStatus.PLACED
