"""Whichever way a search takes, it finds the same, on both paths, and reads no more than it must."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import pagination
from app.db.engine import driver_of
from app.db.pagination import page_request, paginate
from app.db.statements import Prepared
from app.products.inputs import ProductFilter, ProductSort, ProductSortField
from app.products.repository import catalog
from app.settings import Settings
from tests.catalogue import LOOKED_AT, Catalogue, looked_at_as_in_a_larger_one, opened_catalogue
from tests.databases import SingleConnection
from tests.paths import Paths, Watch
from tests.plans import plan_of, steps

PAGE = """
query ($after: String, $search: String, $orderBy: ProductSort, $filter: CurrencyCode) {
  products(first: 7, after: $after, filter: { search: $search, currency: $filter }, orderBy: $orderBy) {
    nodes { name } pageInfo { hasNextPage hasPreviousPage endCursor }
  }
}
"""
COLUMNS = {"NAME": "folded_name", "PRICE": "price", "CREATED_AT": "created_at"}
FREQUENT, SOME, RARE, UNKNOWN = "product", "product 2", "rarity", "nowhere"
"""All, one in eight, one in a hundred, and none of 20,100 products."""
MATCHING = "SELECT name FROM products WHERE words @@ word_query(:words) ORDER BY"
SAMPLE = 200


@pytest.fixture(scope="module")
async def catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    async with opened_catalogue(engine, settings) as catalogue:
        yield catalogue


@pytest.fixture
async def paths(catalogue: Catalogue, settings: Settings) -> AsyncIterator[Paths]:
    async with AsyncExitStack() as stack:
        watch = stack.enter_context(Watch.started())
        yield await Paths.open(stack, SingleConnection(catalogue.connection), settings, watch)


@pytest.fixture(params=[(1_000_000, 0), (SAMPLE // 8, 50), (0, 1_000_000)], ids=["by words", "both", "one by one"])
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the matches in the sample from which words are frequent, and how many rows are looked at."""
    frequent, looked_at = request.param
    with patch.object(pagination, "_FREQUENT", frequent), patch.object(pagination, "MOST_LOOKED_AT", looked_at):
        yield


async def three_pages(paths: Paths, **variables: Any) -> list[str]:
    """Return the names of the products of the first three pages."""
    names: list[str] = []
    after = None
    for _ in range(3):
        page = (await paths.ask(PAGE, {**variables, "after": after})).data["products"]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        names += (node["name"] for node in page["nodes"])
        after = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasNextPage"]
    return names


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("search", [FREQUENT, SOME])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", COLUMNS)
async def test_every_way_finds_the_same_in_the_same_order(
    catalogue: Catalogue, paths: Paths, field: str, direction: str, search: str
) -> None:
    ordered = f"{MATCHING} {COLUMNS[field]} {direction}, id {direction} LIMIT 21"
    expected = (await catalogue.connection.execute(text(ordered), {"words": search})).scalars().all()

    assert await three_pages(paths, search=search, orderBy={"field": field, "direction": direction}) == expected


@pytest.mark.usefixtures("_way")
async def test_every_way_ranks_the_same(catalogue: Catalogue, paths: Paths) -> None:
    ordered = f"{MATCHING} ts_rank(words, word_query(:words), 32) DESC, id DESC LIMIT 21"
    expected = (await catalogue.connection.execute(text(ordered), {"words": RARE})).scalars().all()

    assert await three_pages(paths, search=RARE) == expected


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("order", [None, {"field": "NAME"}])
@pytest.mark.parametrize(("search", "currency"), [(UNKNOWN, None), (FREQUENT, "XXX"), (RARE, "XXX")])
async def test_every_way_ends_where_nothing_matches(
    paths: Paths, search: str, currency: str | None, order: Any
) -> None:
    answers = await paths.ask(PAGE, {"search": search, "filter": currency, "orderBy": order})

    info = {"hasNextPage": False, "hasPreviousPage": False, "endCursor": None}
    assert answers.data["products"] == {"nodes": [], "pageInfo": info}


async def read_by(catalogue: Catalogue, search: str, field: ProductSortField | None) -> dict[str, int]:
    """Return how many rows each index gives for the first page of a search."""
    filter = ProductFilter(search=search)
    ordering = catalog.ordering(filter, None if field is None else ProductSort(field=field))
    with looked_at_as_in_a_larger_one():
        prepared = Prepared(paginate(catalog.listing(None, filter).statement, page_request(ordering)))
    driver = driver_of(await catalogue.connection.get_raw_connection())
    explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {prepared.sql}"
    read: dict[str, int] = {}
    for step in steps(plan_of(await driver.fetchval(explained, *prepared.arguments({})))):
        if "Index Name" in step:
            rows = round(step["Actual Rows"] * step["Actual Loops"])
            read[step["Index Name"]] = max(rows, read.get(step["Index Name"], 0))
    return read


async def test_frequent_words_are_ranked_without_collecting_all_that_match(catalogue: Catalogue) -> None:
    read = await read_by(catalogue, FREQUENT, None)

    assert read == {"ix_products_by_id": LOOKED_AT, "ix_products_words": 0}


async def test_of_frequent_words_in_an_order_only_the_page_is_read(catalogue: Catalogue) -> None:
    read = await read_by(catalogue, FREQUENT, ProductSortField.PRICE)

    assert read == {"ix_products_by_id": SAMPLE, "ix_products_by_price": 21, "ix_products_words": 0}


@pytest.mark.parametrize("field", [None, ProductSortField.PRICE])
async def test_unknown_words_are_looked_for_in_a_sample_and_their_index(
    catalogue: Catalogue, field: ProductSortField | None
) -> None:
    read = await read_by(catalogue, UNKNOWN, field)

    assert {index: rows for index, rows in read.items() if rows} == {"ix_products_by_id": SAMPLE}
