"""However many rows a query returns, the number of statements stays the same: what it asks for decides it."""

from uuid import uuid4

import pytest
from sqlalchemy import insert

from app.db.models import Product, Store
from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements


async def fill(market: Market, *, stores: int, products: int) -> list[Store]:
    """Open stores with so many products each."""
    opened = [await market.store() for _ in range(stores)]
    rows = [
        {"id": uuid4(), "store_id": store.id, "currency": "EUR", "name": str(number), "price": 1}
        for store in opened
        for number in range(products)
    ]
    await market.session.execute(insert(Product), rows)
    await market.session.commit()
    return opened


@pytest.mark.parametrize(("stores", "products"), [(1, 1), (7, 9)])
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("{ products(first: 50) { nodes { name } } }", 1),
        ("{ products(first: 50) { nodes { name store { name } } } }", 2),
        ("{ products(first: 50) { nodes { store { owner { fullName } } } } }", 3),
        ("{ stores(first: 10) { nodes { products(first: 20) { nodes { name } } } } }", 2),
        ("{ stores(first: 10) { nodes { products { nodes { store { name } } } } } }", 3),
        ("{ stores(first: 10) { nodes { products(first: 3) { totalCount } } } }", 2),
        ("{ stores(first: 10) { nodes { products(first: 3) { totalCount nodes { name } } } } }", 3),
    ],
)
async def test_the_number_of_statements_does_not_depend_on_the_number_of_rows(
    api: Api, market: Market, statements: Statements, stores: int, products: int, query: str, count: int
) -> None:
    await fill(market, stores=stores, products=products)
    statements.clear()

    await api.data(query)

    assert len(statements) == count


@pytest.mark.parametrize(
    "selection",
    [
        "nodes { id }",
        "edges { cursor node { id } }",
        "pageInfo { hasNextPage endCursor }",
        "nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }",
        "nodes { id } more: nodes { name }",
    ],
)
async def test_all_parts_of_one_page_are_one_read(
    api: Api, market: Market, statements: Statements, selection: str
) -> None:
    (store,) = await fill(market, stores=1, products=3)
    statements.clear()

    await api.data(f"{{ products(first: 2) {{ {selection} }} }}")
    assert len(statements) == 1

    await api.data(f'{{ store(id: "{gid(store)}") {{ products(first: 2) {{ {selection} }} }} }}')
    assert len(statements) == 1 + 2


async def test_a_total_is_counted_only_when_it_is_asked_for(api: Api, market: Market, statements: Statements) -> None:
    await fill(market, stores=2, products=3)
    statements.clear()

    await api.data("{ products { nodes { id } } stores { nodes { products { nodes { id } } } } }")

    assert not [statement for statement in statements if "count(" in statement.lower()]


async def test_a_total_alone_reads_no_page(api: Api, market: Market, statements: Statements) -> None:
    await fill(market, stores=2, products=3)
    statements.clear()

    data = await api.data("{ products { totalCount total: totalCount } }")

    assert data == {"products": {"totalCount": 6, "total": 6}}
    (statement,) = statements
    assert "count(" in statement
    assert "products.name" not in statement


async def test_nested_totals_alone_read_no_page(api: Api, market: Market, statements: Statements) -> None:
    await fill(market, stores=2, products=3)
    await market.store()
    statements.clear()

    data = await api.data("{ stores { nodes { products { totalCount } } } }")

    assert [store["products"]["totalCount"] for store in data["stores"]["nodes"]] == [3, 3, 0]
    _, statement = statements
    assert "count(" in statement
    assert "products.name" not in statement


async def test_a_page_of_none_that_is_not_looked_at_reads_nothing(
    api: Api, market: Market, statements: Statements
) -> None:
    await api.data("{ products { __typename } }")

    assert len(statements) == 0


async def test_a_nested_connection_is_read_once_for_each_set_of_arguments(
    api: Api, market: Market, statements: Statements
) -> None:
    await fill(market, stores=3, products=4)
    statements.clear()
    query = """{ stores { nodes {
      two: products(first: 2) { nodes { name } }
      again: products(first: 2) { nodes { name } }
      last: products(last: 1) { nodes { name } }
    } } }"""

    data = await api.data(query)

    assert len(statements) == 1 + 2
    for store in data["stores"]["nodes"]:
        assert store["two"] == store["again"]
        assert (len(store["two"]["nodes"]), len(store["last"]["nodes"])) == (2, 1)
        assert store["last"]["nodes"][0] not in store["two"]["nodes"]


async def test_nested_pages_with_other_filters_and_orders_are_not_mixed_up(
    api: Api, market: Market, statements: Statements
) -> None:
    store = await market.store()
    for name, price, stock in (("a", 3, 0), ("b", 2, 1), ("c", 1, 1)):
        await market.product(store, name=name, price=price, stock=stock)
    statements.clear()
    query = """{ stores(first: 10) { nodes {
      cheapest: products(first: 1, orderBy: { field: PRICE }) { nodes { name } }
      dearest: products(first: 1, orderBy: { field: PRICE, direction: DESC }) { nodes { name } }
      there: products(first: 1, filter: { inStock: true }) { nodes { name } totalCount }
      gone: products(first: 1, filter: { inStock: false }) { nodes { name } }
    } } }"""

    (shown,) = (await api.data(query))["stores"]["nodes"]

    assert shown == {
        "cheapest": {"nodes": [{"name": "c"}]},
        "dearest": {"nodes": [{"name": "a"}]},
        "there": {"nodes": [{"name": "b"}], "totalCount": 2},
        "gone": {"nodes": [{"name": "a"}]},
    }
    assert len(statements) == 1 + 4 + 1


async def test_each_store_shows_its_own_page(api: Api, market: Market) -> None:
    stores = await fill(market, stores=3, products=3)
    query = "{ stores { nodes { id products(first: 2) { nodes { store { id } } pageInfo { hasNextPage } } } } }"

    shown = (await api.data(query))["stores"]["nodes"]

    assert [store["id"] for store in shown] == [gid(store) for store in stores]
    for store in shown:
        assert store["products"]["nodes"] == [{"store": {"id": store["id"]}}] * 2
        assert store["products"]["pageInfo"]["hasNextPage"] is True


async def test_many_products_looked_up_by_id_are_one_statement(
    api: Api, market: Market, statements: Statements
) -> None:
    ids = [gid(await market.product(name=name)) for name in ("a", "b", "c")]
    statements.clear()
    query = """query ($ids: [ID!]!, $id: ID!) {
      nodes(ids: $ids) { id } node(id: $id) { id } product(id: $id) { name }
    }"""

    data = await api.data(query, {"ids": [*ids, ids[0], f"Product_{uuid4()}"], "id": ids[1]})

    assert data["nodes"] == [*({"id": id} for id in (*ids, ids[0])), None]
    assert data["product"] == {"name": "b"}
    assert len(statements) == 1
