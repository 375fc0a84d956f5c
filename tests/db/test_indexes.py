"""However large the catalogue is, a page or a search of it is read through an index: its rows are neither all
scanned nor all sorted."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.engine import driver_of
from app.db.models import User
from app.products import repository
from app.settings import Settings
from tests.catalogue import Catalogue, looked_at_as_in_a_larger_one, opened_catalogue
from tests.plans import (
    compares_within_indexes,
    condition,
    generic_plan,
    indexes_of_products,
    plan_of,
    sorted_for_a_page,
)

PAGE = """
query ($after: String, $before: String, $last: Int, $filter: ProductFilter, $orderBy: ProductSort) {
  products(after: $after, before: $before, last: $last, filter: $filter, orderBy: $orderBy) {
    nodes { name } pageInfo { startCursor }
  }
}
"""
PAGES_OF_STORES = """
query ($after: String, $filter: ProductFilter, $orderBy: ProductSort) {
  stores(first: 2) { nodes { products(after: $after, filter: $filter, orderBy: $orderBy) { nodes { name } } } }
}
"""
ORDERS = {
    "the oldest first": (None, "ix_products_by_id", "ix_products_of_store_by_id"),
    "by name": ("NAME", "ix_products_by_name", "ix_products_of_store_by_name"),
    "by price": ("PRICE", "ix_products_by_price", "ix_products_of_store_by_price"),
    "by age": ("CREATED_AT", "ix_products_by_age", "ix_products_of_store_by_age"),
}
IN_ORDER = {field: index for field, index, _ in ORDERS.values() if field is not None}


@pytest.fixture(scope="module", autouse=True)
def _bounds() -> Iterator[None]:
    with looked_at_as_in_a_larger_one():
        yield


@pytest.fixture(scope="module")
async def catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    async with opened_catalogue(engine, settings) as catalogue:
        yield catalogue


async def plans(catalogue: Catalogue, query: str, variables: Any = None, user: User | None = None) -> list[Any]:
    """Return Postgres's plan of each statement that an operation sends, with the values that it sends."""
    sent: list[tuple[str, Any]] = []

    def record(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    connection = catalogue.connection
    engine = connection.sync_connection.engine  # type: ignore[union-attr]
    event.listen(engine, "before_cursor_execute", record)
    await catalogue.api.data(query, variables, user=user)
    event.remove(engine, "before_cursor_execute", record)
    return [
        plan_of((await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)).scalar_one())
        for statement, parameters in sent
    ]


def order(field: str | None, direction: str) -> Any:
    return field and {"field": field, "direction": direction}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("name", ORDERS)
async def test_the_first_and_the_last_page_are_read_in_the_order_of_an_index(
    catalogue: Catalogue, name: str, direction: str
) -> None:
    field, index, _ = ORDERS[name]
    for end in ({}, {"last": 20}):
        (plan,) = await plans(catalogue, PAGE, {"orderBy": order(field, direction), **end})

        assert indexes_of_products(plan) == {index}
        assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("name", ORDERS)
async def test_a_page_far_from_the_start_is_found_at_once(catalogue: Catalogue, name: str, direction: str) -> None:
    field, index, _ = ORDERS[name]
    order_by = order(field, direction)
    cursor = await catalogue.far_cursor(PAGE, orderBy=order_by)
    for place in ({"after": cursor}, {"before": cursor, "last": 20}):
        (plan,) = await plans(catalogue, PAGE, {"orderBy": order_by, **place})

        assert indexes_of_products(plan) == {index}
        assert "id" in condition(plan)
        assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("name", ORDERS)
async def test_the_products_of_a_store_are_read_in_the_order_of_an_index(catalogue: Catalogue, name: str) -> None:
    field, _, index = ORDERS[name]
    variables = {"orderBy": order(field, "ASC"), "filter": {"storeId": catalogue.store}}
    cursor = await catalogue.far_cursor(PAGE, **variables)
    for place in ({}, {"after": cursor}):
        (plan,) = await plans(catalogue, PAGE, {**variables, **place})

        assert indexes_of_products(plan) == {index}
        assert "store_id" in condition(plan)
        assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("name", ORDERS)
async def test_the_pages_of_many_stores_are_read_in_the_order_of_an_index(
    catalogue: Catalogue, name: str, direction: str
) -> None:
    field, _, index = ORDERS[name]
    order_by = order(field, direction)
    for after in (None, await catalogue.far_cursor(PAGE, orderBy=order_by, filter={"storeId": catalogue.store})):
        _, plan = await plans(catalogue, PAGES_OF_STORES, {"orderBy": order_by, "after": after})

        assert indexes_of_products(plan) == {index}
        assert "store_id" in condition(plan)
        assert not sorted_for_a_page(plan)


async def test_the_totals_of_many_stores_are_counted_through_an_index(catalogue: Catalogue) -> None:
    _, plan = await plans(catalogue, "{ stores(first: 10) { nodes { products { totalCount } } } }")

    assert indexes_of_products(plan)
    assert "store_id" in condition(plan)


@pytest.mark.parametrize("search", ["rarity", "rari", "product rarity"])
async def test_a_search_reads_the_index_of_words(catalogue: Catalogue, search: str) -> None:
    (plan,) = await plans(catalogue, PAGE, {"filter": {"search": search}})

    assert indexes_of_products(plan) == {"ix_products_words", "ix_products_by_id"}


@pytest.mark.parametrize(("field", "index"), list(IN_ORDER.items()))
@pytest.mark.parametrize("search", ["rarity", "nowhere", "product"])
async def test_a_search_in_another_order_reads_the_index_of_words_or_that_of_the_order(
    catalogue: Catalogue, field: str, index: str, search: str
) -> None:
    (plan,) = await plans(catalogue, PAGE, {"filter": {"search": search}, "orderBy": order(field, "ASC")})

    assert indexes_of_products(plan) == {"ix_products_words", "ix_products_by_id", index}


async def test_a_search_in_many_stores_scans_none_of_them_whole(catalogue: Catalogue) -> None:
    _, plan = await plans(catalogue, PAGES_OF_STORES, {"filter": {"search": "rarity"}})

    assert indexes_of_products(plan)


async def test_a_range_of_prices_is_read_by_its_bounds(catalogue: Catalogue) -> None:
    variables = {"filter": {"price": {"gte": "10", "lte": "12.5"}}, "orderBy": {"field": "PRICE"}}

    (plan,) = await plans(catalogue, PAGE, variables)

    assert indexes_of_products(plan) == {"ix_products_by_price"}
    assert "(price >=" in condition(plan)
    if await compares_within_indexes(driver_of(await catalogue.connection.get_raw_connection())):
        assert "<=" in condition(plan)


@pytest.mark.parametrize("as_owner", [False, True])
async def test_a_product_is_looked_up_by_its_key(catalogue: Catalogue, as_owner: bool) -> None:
    found = await catalogue.api.data("{ products(first: 1) { nodes { id } } }")
    (product,) = found["products"]["nodes"]

    (plan,) = await plans(
        catalogue, "query ($id: ID!) { product(id: $id) { name } }", product, catalogue.owner if as_owner else None
    )

    assert indexes_of_products(plan) == {"pk_products"}


async def test_the_names_of_many_new_products_are_looked_up_in_an_index(catalogue: Catalogue) -> None:
    driver = driver_of(await catalogue.connection.get_raw_connection())

    plan = await generic_plan(driver, repository.TAKEN_NAMES.sql, len(repository.TAKEN_NAMES.names))

    assert indexes_of_products(plan) == {"uq_products_store_id_name"}
    assert "= ANY" in condition(plan)
