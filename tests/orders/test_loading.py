"""However many orders a query returns, the number of statements stays the same."""

import pytest

from app.db.models import User
from tests.api import Api
from tests.market import Market
from tests.statements import Statements

SIZES = [1, 5]


async def orders_from(market: Market, number: int, *, customer: User | None = None, owner: User | None = None) -> None:
    """Place orders, each of two products of two stores of their own."""
    for _ in range(number):
        products = [await market.product(await market.store(owner)) for _ in range(2)]
        await market.order(customer or await market.user(), *products)


@pytest.mark.parametrize("number", SIZES)
async def test_orders_with_their_items_products_and_stores_are_four_statements(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    customer = await market.user()
    await orders_from(market, number, customer=customer)
    statements.clear()

    data = await api.data("{ orders(first: 20) { nodes { items { product { store { name } } } } } }", user=customer)

    assert [len(order["items"]) for order in data["orders"]["nodes"]] == [2] * number
    assert len(statements) == 4


@pytest.mark.parametrize("number", SIZES)
async def test_the_orders_of_many_stores_are_one_statement(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    owner = await market.user()
    await orders_from(market, number, owner=owner)
    query = """
    { viewer { stores(first: 10) { nodes { orders(first: 3) {
      totalCount
      nodes { number customerName note total { amount } items { quantity product { name } } store { name } }
    } } } } }
    """
    statements.clear()

    data = await api.data(query, user=owner)

    stores = data["viewer"]["stores"]["nodes"]
    assert [store["orders"]["totalCount"] for store in stores] == [1] * number * 2
    # the viewer, the stores, their orders and how many those are, what they show of the whole orders, their stores, the
    # items and their products
    assert len(statements) == 8


@pytest.mark.parametrize("number", SIZES)
async def test_the_orders_of_many_users_are_one_statement(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    superuser = await market.superuser()
    await orders_from(market, number)
    query = "{ users(first: 20) { nodes { orders(first: 1) { nodes { items { product { store { name } } } } } } } }"
    statements.clear()

    data = await api.data(query, user=superuser)

    assert sum(len(user["orders"]["nodes"]) for user in data["users"]["nodes"]) == number
    # the users, their orders, the items of these, the products, the stores
    assert len(statements) == 5


@pytest.mark.parametrize("number", SIZES)
async def test_orders_with_their_parts_are_read_in_as_many_statements_as_one(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    customer = await market.user()
    await orders_from(market, number, customer=customer)
    query = """
    { orders(first: 10) { nodes {
      storeOrders { number customerName note total { amount } store { name } items { id } }
    } } }
    """
    statements.clear()

    data = await api.data(query, user=customer)

    assert [len(order["storeOrders"]) for order in data["orders"]["nodes"]] == [2] * number
    # the orders, their parts, what these show of their orders, their stores and their items
    assert len(statements) == 5


async def test_orders_that_nobody_may_see_are_not_read(api: Api, market: Market, statements: Statements) -> None:
    await orders_from(market, 1)
    statements.clear()

    await api.data("{ stores { nodes { orders { nodes { id } totalCount pageInfo { hasNextPage } } } } }")

    assert len(statements) == 1


async def test_items_and_totals_are_each_read_once(api: Api, market: Market, statements: Statements) -> None:
    customer = await market.user()
    await orders_from(market, 3, customer=customer)
    statements.clear()

    await api.data("{ orders { nodes { totals { amount } items { id } again: items { quantity } } } }", user=customer)

    assert len(statements) == 3


async def test_a_total_is_counted_only_when_asked_for(api: Api, market: Market, statements: Statements) -> None:
    customer = await market.user()
    await orders_from(market, 2, customer=customer)
    statements.clear()

    data = await api.data("{ orders(first: 1) { totalCount } }", user=customer)

    assert data["orders"]["totalCount"] == 2
    assert len(statements) == 1
