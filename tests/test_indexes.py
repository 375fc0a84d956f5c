"""However large the catalogue is, a page or a search of it is read through an index: its rows are neither all
scanned nor all sorted."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.models import User
from app.settings import Settings
from tests.api import Api
from tests.worlds import shared_world

STORES = """
INSERT INTO stores (id, owner_id, name, street, zipcode, city, country, currency)
SELECT gen_random_uuid(), :owner, 'Store ' || number, 'Main Street 1', '10115', 'Berlin', 'DE', 'EUR'
FROM generate_series(1, 100) AS number
"""
PRODUCTS = """
INSERT INTO products (id, store_id, currency, name, description, price, stock, created_at)
SELECT gen_random_uuid(), store.id, 'EUR', 'Product ' || number,
       CASE WHEN number % 100 = 0 THEN 'A rarity: ' ELSE '' END || repeat(md5(number::text) || ' ', 10),
       number % 150, number % 3, timestamptz '2026-01-01Z' + number * interval '1 hour'
FROM stores AS store, generate_series(1, 200) AS number
"""
PAGE = """
query ($after: String, $before: String, $last: Int, $filter: ProductFilter, $orderBy: ProductOrder) {
  products(after: $after, before: $before, last: $last, filter: $filter, orderBy: $orderBy) {
    nodes { name } pageInfo { startCursor }
  }
}
"""
PAGES_OF_STORES = """
query ($after: String, $filter: ProductFilter, $orderBy: ProductOrder) {
  stores(first: 10) { nodes { products(after: $after, filter: $filter, orderBy: $orderBy) { nodes { name } } } }
}
"""
ORDERS = {
    "the oldest first": (None, "pk_products", "ix_products_store_id_id"),
    "by name": ("NAME", "ix_products_folded_name_id", "ix_products_store_id_folded_name_id"),
    "by price": ("PRICE", "ix_products_price_id", "ix_products_store_id_price_id"),
    "by age": ("CREATED_AT", "ix_products_created_at_id", "ix_products_store_id_created_at_id"),
}


@dataclass
class Catalogue:
    """A hundred stores with two hundred products each, and how Postgres reads them."""

    api: Api
    connection: AsyncConnection
    store: str
    owner: User

    async def plans(self, query: str, variables: Any = None, user: User | None = None) -> list[Any]:
        """Return Postgres's plan of each statement that an operation sends, with the values that it sends."""
        sent: list[tuple[str, Any]] = []

        def record(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            sent.append((statement, parameters))

        engine = self.connection.sync_connection.engine  # type: ignore[union-attr]
        event.listen(engine, "before_cursor_execute", record)
        await self.api.data(query, variables, user=user)
        event.remove(engine, "before_cursor_execute", record)
        plans = []
        for statement, parameters in sent:
            explained = await self.connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            plan = explained.scalar_one()
            plans.append((orjson.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
        return plans

    async def far_cursor(self, order_by: Any, filter: Any = None) -> str:
        """Return the cursor of the hundredth product from the end of the order."""
        data = await self.api.data(PAGE, {"last": 100, "orderBy": order_by, "filter": filter})
        cursor: str = data["products"]["pageInfo"]["startCursor"]
        return cursor


@pytest.fixture(scope="module")
async def catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    async with shared_world(engine, settings) as world:
        owner = await world.market.user()
        await world.connection.execute(text(STORES), {"owner": owner.id})
        await world.connection.execute(text(PRODUCTS))
        await world.connection.execute(text("ANALYZE stores, products"))
        store = await world.connection.scalar(text("SELECT id FROM stores LIMIT 1"))
        yield Catalogue(world.api, world.connection, f"Store_{store}", owner)


def steps(plan: Any) -> Iterator[Any]:
    """Return the plan and all its parts."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from steps(part)


def indexes(plan: Any) -> set[str]:
    """Return the indexes through which products are read, which must not be scanned otherwise."""
    found = list(steps(plan))
    assert not [step for step in found if step["Node Type"] == "Seq Scan" and step["Relation Name"] == "products"], plan
    return {step["Index Name"] for step in found if "products" in step.get("Index Name", "")}


def sorted_for_a_page(plan: Any) -> bool:
    """Tell whether rows are sorted, of which then only a page is taken."""
    limits = [step for step in steps(plan) if step["Node Type"] == "Limit"]
    assert limits, plan
    return any("Sort" in step["Node Type"] for limit in limits for step in steps(limit))


def condition(plan: Any) -> str:
    """Return what an index is asked for."""
    return " ".join(step["Index Cond"] for step in steps(plan) if "Index Cond" in step)


def order(field: str | None, direction: str) -> Any:
    return field and {"field": field, "direction": direction}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("name", ORDERS)
async def test_the_first_and_the_last_page_are_read_in_the_order_of_an_index(
    catalogue: Catalogue, name: str, direction: str
) -> None:
    field, index, _ = ORDERS[name]
    for end in ({}, {"last": 20}):
        (plan,) = await catalogue.plans(PAGE, {"orderBy": order(field, direction), **end})

        assert indexes(plan) == {index}
        assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("name", ORDERS)
async def test_a_page_far_from_the_start_is_found_at_once(catalogue: Catalogue, name: str, direction: str) -> None:
    field, index, _ = ORDERS[name]
    order_by = order(field, direction)
    cursor = await catalogue.far_cursor(order_by)
    for place in ({"after": cursor}, {"before": cursor, "last": 20}):
        (plan,) = await catalogue.plans(PAGE, {"orderBy": order_by, **place})

        assert indexes(plan) == {index}
        assert "id" in condition(plan)
        assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("name", ORDERS)
async def test_the_products_of_a_store_are_read_in_the_order_of_an_index(catalogue: Catalogue, name: str) -> None:
    field, _, index = ORDERS[name]
    variables = {"orderBy": order(field, "ASC"), "filter": {"storeId": catalogue.store}}
    cursor = await catalogue.far_cursor(variables["orderBy"], variables["filter"])
    for place in ({}, {"after": cursor}):
        (plan,) = await catalogue.plans(PAGE, {**variables, **place})

        assert indexes(plan) == {index}
        assert "store_id" in condition(plan)
        assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("name", ORDERS)
async def test_the_pages_of_many_stores_are_read_in_the_order_of_an_index(
    catalogue: Catalogue, name: str, direction: str
) -> None:
    field, _, index = ORDERS[name]
    order_by = order(field, direction)
    for after in (None, await catalogue.far_cursor(order_by, {"storeId": catalogue.store})):
        _, plan = await catalogue.plans(PAGES_OF_STORES, {"orderBy": order_by, "after": after})

        assert indexes(plan) == {index}
        assert "store_id" in condition(plan)
        assert not sorted_for_a_page(plan)


async def test_the_totals_of_many_stores_are_counted_through_an_index(catalogue: Catalogue) -> None:
    _, plan = await catalogue.plans("{ stores(first: 10) { nodes { products { totalCount } } } }")

    assert indexes(plan)
    assert "store_id" in condition(plan)


@pytest.mark.parametrize("search", ["rarity", "rari", "product rarity"])
async def test_a_search_reads_the_index_of_words(catalogue: Catalogue, search: str) -> None:
    (plan,) = await catalogue.plans(PAGE, {"filter": {"search": search}})

    assert indexes(plan) == {"ix_products_search"}


@pytest.mark.parametrize("field", ["NAME", "PRICE", "CREATED_AT"])
async def test_a_search_in_another_order_scans_not_all_products(catalogue: Catalogue, field: str) -> None:
    (plan,) = await catalogue.plans(PAGE, {"filter": {"search": "rarity"}, "orderBy": order(field, "ASC")})

    assert indexes(plan)


async def test_a_search_in_many_stores_scans_none_of_them_whole(catalogue: Catalogue) -> None:
    _, plan = await catalogue.plans(PAGES_OF_STORES, {"filter": {"search": "rarity"}})

    assert indexes(plan)


async def test_a_range_of_prices_is_read_by_its_bounds(catalogue: Catalogue) -> None:
    variables = {"filter": {"price": {"gte": "10", "lte": "12.5"}}, "orderBy": {"field": "PRICE"}}

    (plan,) = await catalogue.plans(PAGE, variables)

    assert indexes(plan) == {"ix_products_price_id"}
    assert ">=" in condition(plan)
    assert "<=" in condition(plan)


@pytest.mark.parametrize("as_owner", [False, True])
async def test_a_product_is_looked_up_by_its_key(catalogue: Catalogue, as_owner: bool) -> None:
    found = await catalogue.api.data("{ products(first: 1) { nodes { id } } }")
    (product,) = found["products"]["nodes"]

    (plan,) = await catalogue.plans(
        "query ($id: ID!) { product(id: $id) { name } }", product, catalogue.owner if as_owner else None
    )

    assert indexes(plan) == {"pk_products"}
