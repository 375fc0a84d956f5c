"""Mutations of several fields take locks in any order. Those that wait for each other are both done, each once."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Product
from app.graphql.operations import shares
from tests.api import Api
from tests.graphql.shop import Shop
from tests.locks import deadlocks, held
from tests.market import Market, gid
from tests.users.operations import DELETE_USER

UPDATE_THREE = """
mutation ($first: ID!, $between: ID!, $last: ID!, $price: Decimal!) {
  first: updateProduct(input: { id: $first, price: $price }) { ...product }
  between: updateProduct(input: { id: $between, price: $price }) { ...product }
  last: updateProduct(input: { id: $last, price: $price }) { ...product }
}
fragment product on UpdateProductSuccess { product { version price { amount } } }
"""
CREATE_TWO = """
mutation ($store: ID!, $first: String!, $between: ID!, $last: String!) {
  first: createProduct(input: { storeId: $store, name: $first, price: 1 }) { __typename }
  between: setStock(input: { productId: $between, stock: 5 }) { __typename }
  last: createProduct(input: { storeId: $store, name: $last, price: 1 }) { __typename }
}
"""


@pytest.fixture(autouse=True)
def impatient(committed_engine: AsyncEngine) -> None:
    """Look for deadlocks after 20 ms instead of a second, where Postgres lets us."""
    setting = """
    SELECT set_config('deadlock_timeout', '20ms', false) WHERE has_parameter_privilege('deadlock_timeout', 'SET')
    """

    @event.listens_for(committed_engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.run_async(lambda driver: driver.execute(setting))


@pytest.fixture
async def shop(committed_api: Api, committed_market: Market, committed_engine: AsyncEngine) -> Shop:
    return await Shop.open(committed_api, committed_market, committed_engine)


async def crossing(shop: Shop, query: str, *variables: dict[str, Any]) -> list[Any]:
    """Execute operations of which each has done its first field when they go on; return their data.

    The second field of each changes the shop's product."""
    async with asyncio.TaskGroup() as tasks, held(shop.engine, shop.product) as gate:
        begun = [tasks.create_task(shop.api.data(query, values, user=shop.owner)) for values in variables]
        await gate.until_waiting(len(begun))
    return [task.result() for task in begun]


async def test_products_changed_crosswise_are_changed_by_both(shop: Shop, committed_market: Market) -> None:
    bread, wine = [await committed_market.product(shop.store) for _ in range(2)]
    there = {"first": gid(bread), "between": gid(shop.product), "last": gid(wine), "price": "1"}
    back = {"first": gid(wine), "between": gid(shop.product), "last": gid(bread), "price": "2"}

    with deadlocks() as deadlocked:
        answers = await crossing(shop, UPDATE_THREE, there, back)

    assert deadlocked
    # as if one had come after the other, whichever
    versions = [{done["product"]["version"] for done in answer.values()} for answer in answers]
    assert sorted(versions, key=max) == [{2}, {3}]
    last = answers[versions.index({3})]
    for product in (bread, shop.product, wine):
        await committed_market.reload(product)
        assert (product.version, str(product.price)) == (3, last["first"]["product"]["price"]["amount"])
    lines = await shop.audited()
    assert set(lines.values()) == {1}
    assert Counter(changed for _, _, changed in lines) == {bread.id: 2, shop.product.id: 2, wine.id: 2}
    assert set(Counter(request for request, _, _ in lines).values()) == {3}


async def test_names_taken_crosswise_go_to_one_of_the_operations(shop: Shop) -> None:
    same = {"store": gid(shop.store), "between": gid(shop.product)}
    there, back = {**same, "first": "Bread", "last": "Wine"}, {**same, "first": "Wine", "last": "Bread"}

    with deadlocks() as deadlocked:
        answers = await crossing(shop, CREATE_TWO, there, back)

    assert deadlocked
    kinds = [{answer[field]["__typename"] for field in ("first", "last")} for answer in answers]
    assert sorted(kinds, key=sorted) == [{"Conflict"}, {"CreateProductSuccess"}]
    assert await shop.stored(Product) == 3


async def test_an_account_that_is_closed_twice_at_once_is_closed_once(
    shop: Shop, committed_market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "EXPENSIVE", 10_000)  # otherwise the second would wait for the first
    close = (DELETE_USER, {"id": gid(shop.owner)})

    with deadlocks() as deadlocked:
        async with asyncio.TaskGroup() as tasks, held(shop.engine, shop.owner) as gate:
            closing = [tasks.create_task(shop.api.execute(*close, user=shop.owner)) for _ in range(2)]
            await gate.until_waiting(2)

    assert not deadlocked
    data = [task.result()["data"] for task in closing]
    (errors,) = [task.result()["errors"] for task in closing if "errors" in task.result()]
    closed = {"__typename": "DeleteUserSuccess", "deletedUserId": gid(shop.owner)}
    assert {"deleteUser": closed} in data
    assert {"deleteUser": None} in data
    assert [error["extensions"]["code"] for error in errors] == ["UNAUTHENTICATED"]
    assert (await committed_market.reload(shop.store)).version == 2
