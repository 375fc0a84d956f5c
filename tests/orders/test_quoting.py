"""A quote says what an order would cost and what is short, and changes nothing."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry, Order
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import item, number_of
from tests.statements import Statements

QUOTE = """
query ($input: PlaceOrderInput!) {
  quoteOrder(input: $input) {
    __typename
    ... on Quote {
      lines { product { name } quantity unitPrice { amount currency } lineTotal { amount currency } }
      totals { amount currency }
      shortages { product { name } requested available }
    }
    ... on NotFound { missingId }
    ... on InvalidInput { issues { path code } }
  }
}
"""


async def quoted(api: Api, *items: dict[str, Any], **given: Any) -> Any:
    return (await api.data(QUOTE, {"input": {"items": list(items), **given}}))["quoteOrder"]


async def test_lines_and_totals_by_currency(api: Api, market: Market, connection: AsyncConnection) -> None:
    euros, pounds = await market.store(), await market.store(currency="GBP")
    bread = await market.product(euros, name="Bread", price=Decimal("2.50"), stock=5)
    cake = await market.product(euros, name="Cake", price=Decimal(4))
    wine = await market.product(pounds, name="Wine", price=Decimal(9))

    quote = await quoted(api, item(wine), item(bread, 2), item(cake))

    assert [(line["product"]["name"], line["quantity"], line["lineTotal"]["amount"]) for line in quote["lines"]] == [
        ("Wine", 1, "9.00"),
        ("Bread", 2, "5.00"),
        ("Cake", 1, "4.00"),
    ]
    assert quote["totals"] == [{"amount": "9.00", "currency": "EUR"}, {"amount": "9.00", "currency": "GBP"}]
    assert quote["shortages"] == []
    assert (await market.reload(bread)).stock == 5
    assert [await number_of(connection, model) for model in (Order, AuditEntry)] == [0, 0]


async def test_shortages_are_listed_beside_the_price(api: Api, market: Market) -> None:
    bread = await market.product(name="Bread", stock=1)

    quote = await quoted(api, item(bread, 3))

    assert quote["shortages"] == [{"product": {"name": "Bread"}, "requested": 3, "available": 1}]
    assert quote["lines"][0]["lineTotal"]["amount"] == "30.00"


async def test_the_input_is_that_of_an_order(api: Api, market: Market) -> None:
    gone = await market.product(deleted_at=(await market.user()).created_at)
    bread = await market.product()

    assert await quoted(api, item(gone)) == {"__typename": "NotFound", "missingId": gid(gone)}
    assert (await quoted(api, item(bread, 0)))["issues"] == [
        {"path": ["input", "items", "0", "quantity"], "code": "TOO_SMALL"}
    ]
    assert (await quoted(api, item(bread), item(bread)))["issues"] == [
        {"path": ["input", "items", "1", "productId"], "code": "NOT_UNIQUE"}
    ]
    assert (await quoted(api, item(bread), note=""))["issues"] == [{"path": ["input", "note"], "code": "EMPTY"}]


@pytest.mark.parametrize("number", [1, 20])
async def test_a_quote_of_any_number_of_products_reads_them_twice(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    store = await market.store()
    products = [await market.product(store) for _ in range(number)]
    statements.clear()

    await quoted(api, *[item(product) for product in products])

    assert len(statements) == 2  # to price them, and to show them
