"""What can't be read of a mutation's payload says whether the mutation took effect."""

from typing import Any

import pytest

from app.db.unit_of_work import UnitOfWork
from tests.market import Market, gid
from tests.paths import Paths

CREATE = """
mutation ($store: ID!) {
  createProducts(input: { storeId: $store, products: [{ name: "Lamp", price: 1 }] }) {
    ... on CreateProductsSuccess { products { name store { name } } }
  }
}
"""
COUNT = "query ($store: ID!) { store(id: $store) { products { totalCount } } }"


async def test_a_field_that_is_undone_after_a_failure_in_its_payload_keeps_the_code(
    paths: Paths, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that fails makes Postgres undo the field, whose client may send it again."""
    owner = await market.user()
    variables = {"store": gid(await market.store(owner))}
    read, broken = UnitOfWork.driver_row, ["SELECT 1/0"]

    async def fail_once(work: UnitOfWork, sql: str, parameters: Any) -> Any:
        return await read(work, broken.pop(), []) if "AS text" in sql and broken else await read(work, sql, parameters)

    monkeypatch.setattr(UnitOfWork, "driver_row", fail_once)

    result = await paths.compiled.execute(CREATE, variables, user=owner)

    assert result["data"] == {"createProducts": None}
    (error,) = result["errors"]
    assert error["path"] == ["createProducts", "products"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert (await paths.compiled.data(COUNT, variables))["store"]["products"]["totalCount"] == 0


async def test_a_field_whose_payload_has_an_argument_that_is_refused_took_effect(paths: Paths, market: Market) -> None:
    owner = await market.user()
    variables = {"store": gid(await market.store(owner))}
    refused = CREATE.replace("{ name store { name } }", "{ store { products(first: 101) { totalCount } } }")

    result = await paths.compiled.execute(refused, variables, user=owner)

    assert result["data"] == {"createProducts": {"products": None}}
    assert {error["extensions"]["code"] for error in result["errors"]} == {"PAYLOAD_UNREADABLE"}
    assert {error["extensions"]["cause"] for error in result["errors"]} == {"BAD_USER_INPUT"}
    assert (await paths.compiled.data(COUNT, variables))["store"]["products"]["totalCount"] == 1
