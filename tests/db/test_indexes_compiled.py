"""However large the catalogue is, a compiled statement reads its pages through indexes, in their order: on the first
page and the thousandth, planned for its values or, as a prepared statement may be, for any values."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.engine import driver_of
from app.settings import ROOT, Settings
from benchmarks.contestants import APP
from benchmarks.scenarios import SCENARIOS, Case
from tests.catalogue import Catalogue, looked_at_as_in_a_larger_one, opened_catalogue
from tests.databases import SingleConnection
from tests.documented import sections
from tests.paths import UNLIMITED
from tests.plans import (
    compares_within_indexes,
    condition,
    conditions_of,
    generic_plan,
    indexes,
    indexes_of_products,
    limits,
    plan_of,
    scanned_whole,
    sorted_for_a_page,
    sorts,
)

LARGE = {"stores", "products", "orders", "store_orders", "order_items"}
PRESORTED_AGGREGATES = 160_000  # since when Postgres sees that rows are in the order of an aggregate
SOME_ID = "01970000-0000-7000-8000-000000000000"
PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


def paging(kind: str, path: str, fields: str) -> str:
    """Return a query for any page of a connection, which the `{}` in the path stands for."""
    variables = f"$after: String, $before: String, $last: Int, $filter: {kind}Filter, $orderBy: {kind}Sort"
    arguments = "after: $after, before: $before, last: $last, filter: $filter, orderBy: $orderBy"
    connection = f"({arguments}) {{ edges {{ cursor node {{ {fields} }} }} {PAGE_INFO} }}"
    return f"query ({variables}) {path.replace('{}', connection)}"


PRODUCTS = paging("Product", "{ products{} }", "id name price { amount } store { name }")
STORES = paging("Store", "{ stores{} }", "id name owner { fullName }")
ORDERS = paging("Order", "{ orders{} }", "id status items { quantity product { name store { name } } }")
PRODUCTS_OF_STORES = paging("Product", "{ stores(first: 10) { nodes { products{} } } }", "id name price { amount }")
ORDERS_OF_VIEWER = "{ viewer { orders { nodes { id placedAt items { product { name } } } pageInfo { hasNextPage } } } }"
STORES_OF_VIEWER = "{ viewer { stores { nodes { name } pageInfo { hasNextPage } } } }"
ORDERS_OF_STORE = """
query (
  $id: ID!, $after: String, $before: String, $last: Int, $filter: StoreOrderFilter, $direction: Direction! = DESC
) {
  store(id: $id) {
    orders(
      after: $after, before: $before, last: $last, filter: $filter,
      orderBy: { field: PLACED_AT, direction: $direction }
    ) {
      nodes { number status total { amount } items { quantity } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}
"""
BY_NUMBER = """
query ($number: String) { order(number: $number) { id number storeOrders { status items { quantity } } } }
"""

ROOTS = [  # what is paged through, by whom, in which order, and the index that has it
    (PRODUCTS, "anonymous", None, "ix_products_by_id"),
    (PRODUCTS, "anonymous", "NAME", "ix_products_by_name"),
    (PRODUCTS, "anonymous", "PRICE", "ix_products_by_price"),
    (PRODUCTS, "anonymous", "CREATED_AT", "ix_products_by_age"),
    (STORES, "anonymous", None, "pk_stores"),
    (STORES, "anonymous", "NAME", "ix_stores_folded_name_id"),
    (STORES, "anonymous", "CREATED_AT", "ix_stores_created_at_id"),
    (ORDERS, "superuser", "PLACED_AT", "ix_orders_date_id"),
    (ORDERS, "customer", "PLACED_AT", "ix_orders_customer_id_date_id"),
]
OF_ONE_STORE = {
    None: "ix_products_of_store_by_id",
    "NAME": "ix_products_of_store_by_name",
    "PRICE": "ix_products_of_store_by_price",
    "CREATED_AT": "ix_products_of_store_by_age",
}
LOOKUPS = {
    "Product": "query ($id: ID!) { product(id: $id) { name store { name owner { fullName } } } }",
    "Store": "query ($id: ID!) { store(id: $id) { name owner { fullName } } }",
    "StoreOrder": "query ($id: ID!) { node(id: $id) { ... on StoreOrder { number items { quantity } } } }",
    "OrderItem": "query ($id: ID!) { node(id: $id) { ... on OrderItem { quantity } } }",
    "Order": """
    query ($id: ID!) {
      order(id: $id) { placedAt storeOrders { status } items { quantity product { name store { name } } } }
    }
    """,
}
MEASURED = [scenario.name for scenario in SCENARIOS if not scenario.writes]


class Planned:
    """Postgres's plans of what the compiled path sends: for the values that it sends, and for any."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def plans(self, query: str, variables: Any = None, role: str = "anonymous") -> tuple[Any, Any]:
        """Return both plans of the one statement of a query."""
        ((sql, parameters),) = await self._sent(query, variables, role)
        driver = driver_of(await self._catalogue.connection.get_raw_connection())
        custom = await driver.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *parameters)
        return plan_of(custom), await generic_plan(driver, sql, len(parameters))

    async def _sent(self, query: str, variables: Any, role: str) -> list[tuple[str, Sequence[Any]]]:
        sent: list[tuple[str, Sequence[Any]]] = []
        driver_row = SingleConnection.driver_row

        async def recorded(self: SingleConnection, sql: str, parameters: Sequence[Any]) -> Any:
            sent.append((sql, parameters))
            return await driver_row(self, sql, parameters)

        with patch.object(SingleConnection, "driver_row", recorded):
            await self._catalogue.api.data(query, variables, user=self._catalogue.user(role))
        return sent


@pytest.fixture(scope="module", autouse=True)
def _bounds() -> Iterator[None]:
    with looked_at_as_in_a_larger_one():
        yield


@pytest.fixture(scope="module")
async def catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    async with opened_catalogue(engine, settings.model_copy(update={**UNLIMITED, "compiled_path": True})) as catalogue:
        yield catalogue


@pytest.fixture
def planned(catalogue: Catalogue) -> Planned:
    return Planned(catalogue)


def order(field: str | None, direction: str) -> Any:
    return field and {"field": field, "direction": direction}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize(("page", "role", "field", "index"), ROOTS)
async def test_the_first_and_the_last_page_are_read_in_the_order_of_an_index(
    planned: Planned, page: str, role: str, field: str | None, index: str, direction: str
) -> None:
    for end in ({}, {"last": 20}):
        for plan in await planned.plans(page, {"orderBy": order(field, direction), **end}, role):
            assert index in indexes(plan)
            assert not scanned_whole(plan) & LARGE
            assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize(("page", "role", "field", "index"), ROOTS)
async def test_a_page_far_from_the_start_is_found_at_once(
    catalogue: Catalogue, planned: Planned, page: str, role: str, field: str | None, index: str, direction: str
) -> None:
    order_by = order(field, direction)
    cursor = await catalogue.far_cursor(page, role, orderBy=order_by)
    for place in ({"after": cursor}, {"before": cursor, "last": 20}):
        for plan in await planned.plans(page, {"orderBy": order_by, **place}, role):
            assert index in indexes(plan)
            assert "ROW(" in condition(plan)
            assert not scanned_whole(plan) & LARGE
            assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", OF_ONE_STORE)
async def test_the_pages_of_many_stores_are_read_in_the_order_of_an_index(
    catalogue: Catalogue, planned: Planned, field: str | None, direction: str
) -> None:
    order_by = order(field, direction)
    cursor = await catalogue.far_cursor(PRODUCTS, orderBy=order_by, filter={"storeId": catalogue.store})
    for place in ({}, {"last": 20}, {"after": cursor}, {"before": cursor, "last": 20}):
        for plan in await planned.plans(PRODUCTS_OF_STORES, {"orderBy": order_by, **place}):
            assert indexes_of_products(plan) == {OF_ONE_STORE[field]}
            assert "store_id" in condition(plan)
            assert ("ROW(" in condition(plan)) == (cursor in place.values())
            assert not scanned_whole(plan) & LARGE
            assert not sorted_for_a_page(plan)


@pytest.mark.parametrize("field", OF_ONE_STORE)
async def test_the_products_of_one_store_are_read_in_the_order_of_an_index(
    catalogue: Catalogue, planned: Planned, field: str | None
) -> None:
    order_by, filter = order(field, "ASC"), {"storeId": catalogue.store}
    cursor = await catalogue.far_cursor(PRODUCTS, orderBy=order_by, filter=filter)
    for after in (None, cursor):
        for plan in await planned.plans(PRODUCTS, {"orderBy": order_by, "filter": filter, "after": after}):
            assert indexes_of_products(plan) == {OF_ONE_STORE[field]}
            assert not scanned_whole(plan) & LARGE
            assert not sorted_for_a_page(plan)


COMPARED: dict[str, Any] = {  # filters within an index, by the columns that it compares
    "currency": {"currency": "XXX"},
    "in_stock": {"inStock": False},
    "price": {"price": {"gte": "1"}},
    "price currency in_stock": {"price": {"gte": "1", "lte": "149"}, "currency": "EUR", "inStock": True},
}
OF_ALL = {field: index for page, _, field, index in ROOTS if page == PRODUCTS}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", OF_ALL)
@pytest.mark.parametrize("columns", COMPARED)
async def test_what_a_filter_compares_is_in_the_index_of_each_order(
    catalogue: Catalogue, planned: Planned, columns: str, field: str | None, direction: str
) -> None:
    """So a filter that nothing matches reads no product."""
    compares = await compares_within_indexes(driver_of(await catalogue.connection.get_raw_connection()))
    order_by, of_store = order(field, direction), {"storeId": catalogue.store}
    for query, within, index in (
        (PRODUCTS, {}, OF_ALL[field]),
        (PRODUCTS, of_store, OF_ONE_STORE[field]),
        (PRODUCTS_OF_STORES, {}, OF_ONE_STORE[field]),
    ):
        cursor = await catalogue.far_cursor(PRODUCTS, orderBy=order_by, filter=within or of_store)
        filter = {**COMPARED[columns], **within}
        for place in ({}, {"last": 20}, {"after": cursor}, {"before": cursor, "last": 20}):
            for plan in await planned.plans(query, {"orderBy": order_by, "filter": filter, **place}):
                assert indexes_of_products(plan) == {index}
                read = conditions_of(plan, index) if compares else []
                assert all(column in compared for compared in read for column in columns.split())
                assert not sorted_for_a_page(plan)


BOUNDS: list[tuple[str, dict[str, Any], str, str]] = [  # a direction, a page, and where it begins and does not end
    ("ASC", {}, ">=", "<="),
    ("ASC", {"last": 20}, "<=", ">="),
    ("DESC", {}, "<=", ">="),
    ("DESC", {"last": 20}, ">=", "<="),
]


@pytest.mark.parametrize(("direction", "place", "near", "far"), BOUNDS)
async def test_an_index_of_prices_is_read_from_the_bound_of_a_range(
    catalogue: Catalogue, planned: Planned, direction: str, place: dict[str, Any], near: str, far: str
) -> None:
    order_by = order("PRICE", direction)
    cursor = await catalogue.far_cursor(PRODUCTS, orderBy=order_by)
    end = {"before": cursor} if place else {"after": cursor}

    async def compared(price: dict[str, str], **place: Any) -> list[set[str]]:
        """Return how each plan compares the prices in the index, other than with a cursor or an array."""
        plans = await planned.plans(PRODUCTS, {"filter": {"price": price}, "orderBy": order_by, **place})
        read = [" ".join(conditions_of(plan, "ix_products_by_price")) for plan in plans]
        return [{bound for bound in (near, far) if f"(price {bound}" in conditions} for conditions in read]

    assert await compared({"gte": "1", "lte": "149"}, **place) == [{near}] * 2
    assert await compared({"gte" if far == ">=" else "lte": "10"}, **place) == [{far}] * 2
    assert await compared({"gte": "1", "lte": "149"}, **place, **end) == [set()] * 2


async def test_a_superuser_finds_what_a_store_sold_by_its_parts_of_orders(
    catalogue: Catalogue, planned: Planned
) -> None:
    """So it takes no look at the orders of the others."""
    for plan in await planned.plans(ORDERS, {"filter": {"storeId": catalogue.store}}, "superuser"):
        assert conditions_of(plan, "ix_store_orders_of_store")
        assert all("id = ANY" in condition for condition in conditions_of(plan, "pk_orders"))
        assert not conditions_of(plan, "ix_orders_date_id")


@pytest.mark.parametrize(
    ("query", "role", "index"),
    [
        (ORDERS_OF_VIEWER, "customer", "ix_orders_customer_id_date_id"),
        (STORES_OF_VIEWER, "owner", "ix_stores_owner_id_id"),
        (ORDERS_OF_STORE, "owner", "ix_store_orders_of_store"),
        (ORDERS_OF_STORE, "superuser", "ix_store_orders_of_store"),
    ],
)
async def test_what_belongs_to_a_user_or_a_store_is_read_in_the_order_of_an_index(
    catalogue: Catalogue, planned: Planned, query: str, role: str, index: str
) -> None:
    for plan in await planned.plans(query, {"id": catalogue.store}, role):
        assert index in indexes(plan)
        assert not scanned_whole(plan) & LARGE
        assert not sorted_for_a_page(plan)


FILTERS: list[dict[str, Any]] = [
    {},
    {"status": ["DECLINED"]},
    {"placedAt": {"gte": "2026-02-03T00:00:00Z", "lt": "2026-02-04T00:00:00Z"}},
]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_the_orders_of_a_store_are_read_in_the_order_of_an_index_and_no_others(
    catalogue: Catalogue, planned: Planned, direction: str, filter: dict[str, Any]
) -> None:
    """So a store without orders answers at once, however many orders others have."""
    found = await catalogue.api.data(
        ORDERS_OF_STORE, {"id": catalogue.store, "direction": direction, "last": 100}, user=catalogue.superuser
    )
    cursor = found["store"]["orders"]["pageInfo"]["startCursor"]
    for store in (catalogue.store, catalogue.empty_store):
        for place in ({}, {"last": 20}, {"after": cursor}, {"before": cursor, "last": 20}):
            variables = {"id": store, "direction": direction, "filter": filter, **place}
            for plan in await planned.plans(ORDERS_OF_STORE, variables, "superuser"):
                read = conditions_of(plan, "ix_store_orders_of_store")
                assert read
                assert all("store_id = " in condition for condition in read)
                assert any("ROW(" in condition for condition in read) == (cursor in place.values())
                assert all("id = " in condition for condition in conditions_of(plan, "pk_store_orders"))
                assert not scanned_whole(plan) & LARGE
                assert filter or not sorted_for_a_page(plan)  # the few that pass a filter may be sorted


@pytest.mark.parametrize("empty", [False, True])
async def test_the_orders_of_a_store_are_counted_through_the_same_index(
    catalogue: Catalogue, planned: Planned, empty: bool
) -> None:
    query = "query ($id: ID!) { store(id: $id) { orders { totalCount } } }"
    store = catalogue.empty_store if empty else catalogue.store
    for plan in await planned.plans(query, {"id": store}, "superuser"):
        assert "store_id = " in condition(plan)
        assert indexes(plan) >= {"ix_store_orders_of_store"}
        assert not scanned_whole(plan) & LARGE


@pytest.mark.parametrize("role", ["customer", "superuser"])
async def test_an_order_is_looked_up_by_its_number_in_a_unique_index(
    catalogue: Catalogue, planned: Planned, role: str
) -> None:
    for plan in await planned.plans(BY_NUMBER, {"number": catalogue.number.lower()}, role):
        assert indexes(plan) >= {"uq_orders_number", "uq_store_orders_order_id_store_id"}
        assert not scanned_whole(plan) & LARGE


async def test_a_store_finds_an_order_by_its_number_in_unique_indexes(catalogue: Catalogue, planned: Planned) -> None:
    variables = {"id": catalogue.store, "filter": {"number": catalogue.number}}
    for plan in await planned.plans(ORDERS_OF_STORE, variables, "owner"):
        assert "uq_orders_number" in indexes(plan)
        assert conditions_of(plan, "uq_store_orders_order_id_store_id")
        assert not conditions_of(plan, "ix_store_orders_of_store")
        assert not scanned_whole(plan) & LARGE


@pytest.mark.parametrize("field", [None, "NAME", "PRICE", "CREATED_AT"])
@pytest.mark.parametrize("role", ["owner", "superuser"])
async def test_deleted_products_are_found_among_those_that_are_deleted(
    planned: Planned, role: str, field: str | None
) -> None:
    variables = {"filter": {"deleted": True}, "orderBy": order(field, "ASC")}
    for plan in await planned.plans(PRODUCTS, variables, role):
        assert indexes_of_products(plan) == {"ix_products_store_id_deleted_at"}
        assert not scanned_whole(plan) & LARGE


USERS = "query ($search: String) { users(filter: { search: $search }) { nodes { email } pageInfo { hasNextPage } } }"


@pytest.mark.parametrize("search", ["owner7", "nowhere", "user"])
async def test_a_search_for_users_reads_the_index_of_words(planned: Planned, search: str) -> None:
    for plan in await planned.plans(USERS, {"search": search}, "superuser"):
        assert indexes(plan) == {"ix_users_words"}


# What each index of orders is for. Each of them makes placing an order take longer.
INDEXES = {
    "pk_orders": LOOKUPS["Order"],
    "uq_orders_number": BY_NUMBER,
    "ix_orders_date_id": ORDERS,
    "ix_orders_customer_id_date_id": ORDERS_OF_VIEWER,
    "pk_store_orders": "query ($id: ID!) { node(id: $id) { ... on StoreOrder { status } } }",
    "uq_store_orders_order_id_store_id": LOOKUPS["Order"],
    "ix_store_orders_of_store": ORDERS_OF_STORE,
    "pk_order_items": "query ($id: ID!) { node(id: $id) { ... on OrderItem { quantity } } }",
    "uq_order_items_order_id_product_id": LOOKUPS["Order"],
}


@pytest.mark.parametrize("index", INDEXES)
async def test_every_index_of_orders_is_needed(catalogue: Catalogue, planned: Planned, index: str) -> None:
    kind = {"pk_orders": "Order", "pk_store_orders": "StoreOrder", "pk_order_items": "OrderItem"}.get(index, "Order")
    id = catalogue.store if "store(" in INDEXES[index] else f"{kind}_{SOME_ID}"
    role = "customer" if "customer" in index else "superuser"
    query = INDEXES[index]
    variables = {"id": id, "number": catalogue.number}
    for plan in await planned.plans(
        query, {name: value for name, value in variables.items() if f"${name}" in query}, role
    ):
        assert index in indexes(plan)


async def test_orders_have_no_other_index(catalogue: Catalogue) -> None:
    tables = ("orders", "store_orders", "order_items")
    found = text("SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY(:tables)")

    names = await catalogue.connection.scalars(found, {"tables": list(tables)})

    assert set(names) == set(INDEXES)


@pytest.mark.parametrize("page", [PRODUCTS, STORES, ORDERS, PRODUCTS_OF_STORES])
async def test_the_texts_of_a_page_are_joined_in_the_order_in_which_it_is_read(
    catalogue: Catalogue, planned: Planned, page: str
) -> None:
    connection = driver_of(await catalogue.connection.get_raw_connection())
    if int(await connection.fetchval("SHOW server_version_num")) < PRESORTED_AGGREGATES:
        pytest.skip("sorts once more")
    for plan in await planned.plans(page, role="superuser"):
        # An order's items are few, and are sorted without an index of their own.
        assert {key for sort in sorts(plan) for key in sort["Sort Key"]} <= {"order_items.id"}


@pytest.mark.parametrize("field", [None, "NAME", "PRICE", "CREATED_AT"])
@pytest.mark.parametrize("search", ["rarity", "nowhere", "product"])
async def test_a_search_reads_the_index_of_words_or_one_row_after_the_other(
    catalogue: Catalogue, planned: Planned, search: str, field: str | None
) -> None:
    """Also to find out whether there is more past a cursor, once for each."""
    order_by, in_order = order(field, "ASC"), {"ix_products_by_id", OF_ALL[field]}
    cursor = await catalogue.far_cursor(PRODUCTS, filter={"search": "rarity"}, orderBy=order_by)
    for place in ({}, {"after": cursor}, {"before": cursor}, {"after": cursor, "before": cursor}):
        for within in ({}, {"inStock": True, "currency": "EUR", "price": {"gte": "1"}}):
            filter = {"search": search, **within}
            for plan in await planned.plans(PRODUCTS, {"filter": filter, "orderBy": order_by, **place}):
                assert indexes_of_products(plan) == {"ix_products_words", *in_order}
                assert len(conditions_of(plan, "ix_products_words")) == 1 + len(place)
                assert not scanned_whole(plan) & LARGE


@pytest.mark.parametrize("field", OF_ALL)
async def test_more_past_a_cursor_is_found_once_in_the_order_of_an_index(
    catalogue: Catalogue, planned: Planned, field: str | None
) -> None:
    order_by, index = order(field, "ASC"), OF_ALL[field]
    cursor = await catalogue.far_cursor(PRODUCTS, orderBy=order_by)
    for plan in await planned.plans(PRODUCTS, {"orderBy": order_by, "after": cursor, "before": cursor}):
        assert len(conditions_of(plan, index)) == 3
        assert not sorted_for_a_page(plan)
        assert not scanned_whole(plan) & LARGE


async def test_a_search_makes_its_query_once(planned: Planned) -> None:
    for plan in await planned.plans(PRODUCTS, {"filter": {"search": "rarity"}}):
        assert len(limits(plan)) == 5  # of the sample and of what is found, for one way and the other, and of the page
        assert "to_tsquery" not in str(plan)


@pytest.mark.parametrize("role", ["anonymous", "customer", "owner", "superuser"])
@pytest.mark.parametrize("kind", LOOKUPS)
async def test_an_entity_is_looked_up_by_its_key(planned: Planned, kind: str, role: str) -> None:
    for plan in await planned.plans(LOOKUPS[kind], {"id": f"{kind}_{SOME_ID}"}, role):
        assert not scanned_whole(plan) & LARGE


async def test_the_query_of_the_readme_scans_no_table(planned: Planned) -> None:
    first, *_ = [each.text for blocks in sections(ROOT / "README.md") for each in blocks if each.language == "graphql"]
    for plan in await planned.plans(first):
        assert not scanned_whole(plan) & LARGE


@pytest.mark.parametrize("role", ["customer", "owner", "superuser"])
@pytest.mark.parametrize("scenario", MEASURED)
async def test_the_queries_that_are_measured_scan_no_table_and_sort_no_page(
    planned: Planned, scenario: str, role: str
) -> None:
    request = APP.requests[scenario](Case(order_id=SOME_ID)).body
    for plan in await planned.plans(request["query"], request["variables"], role):
        assert not scanned_whole(plan) & LARGE
        assert not any(sorts(page) for page in limits(plan))
