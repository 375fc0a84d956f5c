"""The audit trail costs a mutation one statement, whatever it changes, and a query none."""

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.audit.trail import REFRESH_TOKEN, Shop, trail
from tests.market import gid
from tests.orders.operations import item, place
from tests.products.changes import create_many, update
from tests.statements import Statements
from tests.stores import operations as stores
from tests.users.operations import DELETE_USER, LOG_OUT


def of_the_trail(statements: Statements) -> list[str]:
    """Return what was sent for the audit trail, each by its first words."""
    return [" ".join(statement.split()[:3]) for statement in statements if "audit_entries" in statement]


async def test_a_thousand_products_are_written_down_by_one_statement(
    shop: Shop, connection: AsyncConnection, statements: Statements
) -> None:
    many = [{"name": f"Product no. {number}", "price": "1"} for number in range(1_000)]
    statements.clear()

    batch = await create_many(shop.api, shop.owner, gid(shop.store), many)

    assert of_the_trail(statements) == ["WITH logged AS"]
    lines = await trail(connection)
    assert [line.entity for line in lines] == [product["id"] for product in batch["products"]]
    assert {line.fields for line in lines} == {"currency name price storeId"}


@pytest.mark.parametrize("number", [1, 5])
async def test_all_stores_that_close_with_an_account_are_written_down_by_one_statement(
    shop: Shop, connection: AsyncConnection, statements: Statements, number: int
) -> None:
    owner = await shop.market.user()
    for _ in range(number):
        await shop.market.store(owner)
    statements.clear()

    await shop.run(DELETE_USER, {"id": gid(owner)}, owner)

    assert of_the_trail(statements) == ["WITH logged AS"]
    assert len(await trail(connection)) == 1 + number


async def test_a_line_is_one_statement_of_an_operation(shop: Shop, statements: Statements) -> None:
    for operation in (
        update(shop.api, shop.owner, id=gid(shop.product), price="2"),
        stores.update(shop.api, shop.owner, shop.store, city="Paris"),
        shop.run(LOG_OUT, {"token": REFRESH_TOKEN}, None),
    ):
        statements.clear()
        await operation
        assert of_the_trail(statements) == ["WITH logged AS"]


async def test_the_line_of_an_order_is_written_with_it(shop: Shop, statements: Statements) -> None:
    statements.clear()

    await place(shop.api, shop.customer, item(shop.product))

    assert of_the_trail(statements) == ["WITH customer AS"]


async def test_what_failed_changes_nothing_or_reads_costs_nothing(shop: Shop, statements: Statements) -> None:
    statements.clear()

    await stores.update(shop.api, shop.owner, shop.store)
    await shop.run(LOG_OUT, {"token": "unknown"}, None)
    await shop.api.data("{ viewer { id } products { nodes { id } } }", user=shop.customer)

    assert of_the_trail(statements) == []
    assert statements != []
