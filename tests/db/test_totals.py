"""Totals are exact up to a bound, and beyond it nothing more is counted. Both paths answer alike."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.engine import driver_of
from app.db.pagination import MOST_COUNTED, total_of
from app.db.statements import Prepared
from app.products.inputs import ProductFilter
from app.products.repository import catalog as products
from app.settings import Settings
from tests.catalogue import Catalogue, opened_catalogue
from tests.databases import SingleConnection
from tests.paths import Paths, Watch
from tests.plans import plan_of, steps

TOTAL = "totalCount totalCountIsExact"
ALL = f"{{ products(first: 0) {{ {TOTAL} }} }}"
SEARCH = f'{{ products(first: 0, filter: {{ search: "product" }}) {{ {TOTAL} }} }}'
DELETE = text(
    "UPDATE products SET deleted_at = now() WHERE id NOT IN (SELECT id FROM products ORDER BY id LIMIT :kept)"
)
OF_STORE = f"query ($id: ID!) {{ store(id: $id) {{ products(first: 0) {{ {TOTAL} }} }} }}"


@pytest.fixture(scope="module")
async def catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    async with opened_catalogue(engine, settings) as catalogue:
        yield catalogue


@pytest.fixture
async def paths(catalogue: Catalogue, settings: Settings) -> AsyncIterator[Paths]:
    async with AsyncExitStack() as stack:
        watch = stack.enter_context(Watch.started())
        yield await Paths.open(stack, SingleConnection(catalogue.connection), settings, watch)


@pytest.mark.parametrize("query", [ALL, SEARCH])
async def test_a_total_above_the_bound_says_so(paths: Paths, query: str) -> None:
    assert (await paths.ask(query)).data["products"] == {"totalCount": MOST_COUNTED, "totalCountIsExact": False}


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_a_total_is_exact_up_to_the_bound(paths: Paths, catalogue: Catalogue, more: int) -> None:
    async with catalogue.connection.begin_nested() as undone:
        await catalogue.connection.execute(DELETE, {"kept": MOST_COUNTED + more})
        total = (await paths.ask(ALL)).data["products"]
        await undone.rollback()

    assert total == {"totalCount": MOST_COUNTED + min(more, 0), "totalCountIsExact": more <= 0}


async def test_a_total_within_an_object_is_exact(paths: Paths, catalogue: Catalogue) -> None:
    data = (await paths.ask(OF_STORE, {"id": catalogue.store})).data

    assert data["store"]["products"] == {"totalCount": 201, "totalCountIsExact": True}


async def test_no_more_is_counted_than_the_bound(catalogue: Catalogue) -> None:
    statement = total_of(products.listing(None, ProductFilter()).statement, None)
    driver = driver_of(await catalogue.connection.get_raw_connection())

    plan = plan_of(await driver.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {Prepared(statement).sql}"))

    assert max(step["Actual Rows"] for step in steps(plan)) == MOST_COUNTED + 1
