"""What an operation costs is what it may take: of Postgres, and of the response."""

from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.engine import driver_of
from app.graphql.operations.cost import BYTES_OF_POINT
from app.settings import Settings
from tests.catalogue import Catalogue, opened_catalogue
from tests.databases import SingleConnection
from tests.fuzz.profile import RANDOMS, tries
from tests.graphql.compiled.operations import NODES, Generator, Samples
from tests.paths import UNLIMITED
from tests.plans import compares_within_indexes, plan_of

BUFFERS_OF_POINT = 20
"""Pages of 8 kB that Postgres looks at."""
ROLES = ["anonymous", "customer", "owner", "superuser"]
TABLES = {"User": "users", "AuditEntry": "audit_entries", "StoreOrder": "store_orders", "OrderItem": "order_items"}
TRAIL = """
INSERT INTO audit_entries (id, actor_id, operation, entity_type, entity_id, fields, request_id)
SELECT gen_random_uuid(), id, 'updateUser', 'User', id, '{fullName}', 'x' FROM users
"""
WIDE = """
UPDATE products SET description = repeat('😀', 10000)
WHERE id IN (SELECT id FROM products ORDER BY created_at, id LIMIT 100)
"""


@pytest.fixture(scope="module")
async def catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    changed = settings.model_copy(update={**UNLIMITED, "compiled_path": True, "response_limit_mb": 1_000})
    async with opened_catalogue(engine, changed) as catalogue:
        for statement in (TRAIL, WIDE, "ANALYZE audit_entries"):
            await catalogue.connection.execute(text(statement))
        yield catalogue


@pytest.fixture(scope="module")
async def samples(catalogue: Catalogue) -> Samples:
    ids = {}
    for kind in NODES:
        table = TABLES.get(kind, f"{kind.lower()}s")
        keys = (await catalogue.connection.scalars(text(f"SELECT id FROM {table} LIMIT 20"))).all()
        ids[kind] = [f"{kind}_{key}" for key in keys]
    return Samples(ids, [catalogue.number], {})


class Taken:
    """What an operation took."""

    def __init__(self, result: Any, size: int, buffers: int) -> None:
        self.is_answered = "data" in result
        self.points = result.get("extensions", {}).get("cost", {}).get("requested", 0)
        self.size = size
        self.buffers = buffers


async def taken(catalogue: Catalogue, query: str, variables: Any, role: str) -> Taken:
    """Run an operation, and again each statement that it sent to Postgres."""
    sent: list[tuple[str, Sequence[Any]]] = []
    driver_row = SingleConnection.driver_row

    async def recorded(self: SingleConnection, sql: str, parameters: Sequence[Any]) -> Any:
        sent.append((sql, parameters))
        return await driver_row(self, sql, parameters)

    with patch.object(SingleConnection, "driver_row", recorded):
        response = await catalogue.api.send(query, variables, user=catalogue.user(role))
    driver, buffers = driver_of(await catalogue.connection.get_raw_connection()), 0
    for sql, parameters in sent:
        explained = await driver.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *parameters)
        plan = plan_of(explained)
        buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return Taken(response.json(), len(response.content), buffers)


@tries(200)
@given(random=RANDOMS)
async def test_a_point_is_so_much_work_and_so_many_bytes(
    catalogue: Catalogue, samples: Samples, random: Random
) -> None:
    operation, role = Generator(random.randrange, samples).operation(), random.choice(ROLES)

    took = await taken(catalogue, operation.query, operation.variables, role)

    assert took.buffers <= BUFFERS_OF_POINT * (took.points + 1), (operation, role, took.points, took.buffers)
    if took.is_answered:
        assert took.size <= BYTES_OF_POINT * (took.points + 1), (operation, role, took.points, took.size)


EXPENSIVE = {
    "a search that most match": '{ products(first: 1, filter: { search: "product" }) { nodes { id } } }',
    "a search of many words": '{ products(first: 1, filter: { search: "a b c d e f g h i j k l" }) { nodes { id } } }',
    "a filter that nothing matches": '{ products(first: 1, filter: { currency: "XXX" }) { nodes { id } } }',
    "a range that nothing matches": (
        "{ products(first: 1, filter: { price: { gte: 9999 } }, orderBy: { field: NAME }) { nodes { id } } }"
    ),
    "a total": "{ products(first: 1) { totalCount } }",
    "a total of what is filtered": "{ products(first: 1, filter: { inStock: true }) { totalCount } }",
    "filters within an index, and their totals": (
        "{ products(first: 1, filter: { inStock: false, price: { lte: 0 } }, orderBy: { field: NAME }) "
        "{ nodes { id } totalCount } }"
    ),
    "filters of stores": (
        '{ stores(first: 5) { nodes { products(first: 1, filter: { currency: "XXX" }) { totalCount } } } }'
    ),
    "long texts": (
        "{ products(first: 100, orderBy: { field: CREATED_AT }) { nodes { a: description b: description } } }"
    ),
    "long texts of stores": (
        "{ products(first: 9) { nodes { store { products(first: 9) { nodes { description } } } } } }"
    ),
    "long names": "{ products(first: 100) { nodes { " + " ".join(f"{'x' * 60}{n}: id" for n in range(20)) + " } } }",
    "orders": "{ orders(first: 100) { nodes { items { product { store { owner { id } } } } storeOrders { id } } } }",
    "orders of others": "{ orders(filter: { status: [CANCELLED] }) { nodes { id } totalCount } }",
}


COMPARED = {name for name in EXPENSIVE if "that nothing matches" in name or "within an index" in name}


@pytest.mark.parametrize("name", EXPENSIVE)
async def test_what_is_expensive_costs_as_much(catalogue: Catalogue, name: str) -> None:
    driver = driver_of(await catalogue.connection.get_raw_connection())
    if name in COMPARED and not await compares_within_indexes(driver):
        pytest.skip("Postgres compares with the rows")

    took = await taken(catalogue, EXPENSIVE[name], None, "superuser")

    assert took.is_answered
    assert took.buffers <= BUFFERS_OF_POINT * (took.points + 1), (took.points, took.buffers)
    assert took.size <= BYTES_OF_POINT * (took.points + 1), (took.points, took.size)
