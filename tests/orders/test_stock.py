"""Placing an order takes tracked stock, all of it or none."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Order, OrderItem
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import item, number_of, place, stock_of


async def test_an_order_takes_what_was_ordered(api: Api, market: Market) -> None:
    bread, wine, tea = [await market.product(stock=10) for _ in range(3)]

    await place(api, await market.user(), item(bread, 3), item(wine, 10))

    assert [await stock_of(market, product) for product in (bread, wine, tea)] == [7, 0, 10]


async def test_stock_that_is_not_tracked_never_runs_out(api: Api, market: Market) -> None:
    bread = await market.product(stock=None)

    result = await place(api, await market.user(), item(bread, 10_000))

    assert result["__typename"] == "PlaceOrderSuccess"
    assert await stock_of(market, bread) is None


async def test_every_short_product_is_named_with_what_is_left(api: Api, market: Market) -> None:
    empty, scarce = await market.product(stock=0), await market.product(stock=4)
    exact, untracked = await market.product(stock=5), await market.product()

    result = await place(api, await market.user(), item(scarce, 5), item(exact, 5), item(untracked, 5), item(empty, 1))

    assert result == {
        "__typename": "InsufficientStock",
        "shortages": [
            {"requested": 5, "available": 4, "product": {"id": gid(scarce)}},
            {"requested": 1, "available": 0, "product": {"id": gid(empty)}},
        ],
    }


async def test_a_shortage_takes_nothing_of_the_other_products(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    plenty, scarce = await market.product(stock=100), await market.product(stock=1)

    await place(api, await market.user(), item(plenty, 2), item(scarce, 2))

    assert [await stock_of(market, product) for product in (plenty, scarce)] == [100, 1]
    assert (await number_of(connection, Order), await number_of(connection, OrderItem)) == (0, 0)


async def test_the_last_one_is_sold_once(api: Api, market: Market) -> None:
    last = await market.product(stock=1)

    first = await place(api, await market.user(), item(last))
    second = await place(api, await market.user(), item(last))

    assert first["__typename"] == "PlaceOrderSuccess"
    assert second["shortages"] == [{"requested": 1, "available": 0, "product": {"id": gid(last)}}]
    assert await stock_of(market, last) == 0


async def test_a_sale_changes_no_index(api: Api, market: Market, connection: AsyncConnection) -> None:
    store, user = await market.store(), await market.user()
    products = [await market.product(store, stock=9) for _ in range(120)]  # several pages
    updates = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'products'")
    before = (await connection.execute(updates)).one()

    for product in products[::30]:
        await place(api, user, item(product))

    after = (await connection.execute(updates)).one()
    assert [now - then for now, then in zip(after, before, strict=True)] == [4, 4]


@pytest.mark.parametrize("stock", [5, None])
async def test_a_sale_is_no_new_version_of_the_product(api: Api, market: Market, stock: int | None) -> None:
    bread = await market.product(stock=stock)

    await place(api, await market.user(), item(bread))

    assert (await market.reload(bread)).version == 1
