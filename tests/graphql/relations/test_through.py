"""Fields of an object that another row has."""

from typing import Any

import pytest

from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths
from tests.statements import Statements

PARTS = """
query ($id: ID!) {
  store(id: $id) { orders { nodes { number customerName note shippingAddress { recipient lines postcode } } } }
}
"""


@pytest.mark.parametrize("number", [1, 3])
async def test_all_rows_that_others_refer_to_are_read_in_one_statement(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    store = await market.store(owner := await market.user())
    product = await market.product(store)
    for _ in range(number):
        await market.order(await market.user(), product, note="Ring twice")
    statements.clear()

    data = await api.data(PARTS, {"id": gid(store)}, user=owner)

    assert len(data["store"]["orders"]["nodes"]) == number
    assert len(statements) == 3  # the store, the parts, and their orders


@pytest.mark.parametrize("given", [True, False])
async def test_an_object_is_null_where_the_other_row_has_none(paths: Paths, market: Market, given: bool) -> None:
    address: dict[str, Any] = {"recipient": "Ada", "address_lines": [], "city": "Paris", "country": "FR"}
    store = await market.store(owner := await market.user())
    customer = await market.user(full_name="Ada Lovelace")
    order = await market.order(customer, await market.product(store), **(address if given else {}))

    answers = await paths.ask(PARTS, {"id": gid(store)}, user=owner)

    (part,) = answers.data["store"]["orders"]["nodes"]
    assert part == {
        "number": order.number,
        "customerName": "Ada Lovelace",
        "note": None,
        "shippingAddress": {"recipient": "Ada", "lines": [], "postcode": None} if given else None,
    }
