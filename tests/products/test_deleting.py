"""Taking a product out of the catalogue, and putting it back."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from app.db.models import Product, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.products.catalogue import names
from tests.products.changes import delete, restore

Change = Callable[[Api, User, str], Awaitable[Any]]
LOOK_UP = "query ($id: ID!) { product(id: $id) { name } node(id: $id) { id } nodes(ids: [$id]) { id } }"


@pytest.fixture
async def lamp(market: Market, store: Store) -> Product:
    return await market.product(store, name="Lamp", stock=3)


@pytest.fixture
async def deleted(market: Market, store: Store) -> Product:
    return await market.product(store, name="Gone", deleted_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_deleted_product_is_answered_with_when_it_was(api: Api, lamp: Product, owner: User) -> None:
    answered = await delete(api, owner, gid(lamp))

    assert (answered["__typename"], answered["deletedProductId"]) == ("DeleteProductSuccess", gid(lamp))
    assert (answered["product"]["name"], answered["product"]["version"]) == ("Lamp", 2)
    assert answered["product"]["deletedAt"] is not None
    assert await names(api) == []


@pytest.mark.parametrize("viewer", ["nobody", "a stranger"])
async def test_a_deleted_product_is_looked_up_in_vain(api: Api, market: Market, deleted: Product, viewer: str) -> None:
    stranger = await market.user() if viewer == "a stranger" else None

    data = await api.data(LOOK_UP, {"id": gid(deleted)}, user=stranger)

    assert data == {"product": None, "node": None, "nodes": [None]}


@pytest.mark.parametrize("viewer", ["the owner", "a superuser"])
async def test_a_deleted_product_is_still_looked_up_by_who_may_restore_it(
    api: Api, market: Market, deleted: Product, owner: User, viewer: str
) -> None:
    user = owner if viewer == "the owner" else await market.superuser()

    data = await api.data(LOOK_UP, {"id": gid(deleted)}, user=user)

    found = {"id": gid(deleted)}
    assert data == {"product": {"name": "Gone"}, "node": found, "nodes": [found]}


async def test_a_deleted_product_is_still_shown_by_the_orders_of_it(
    api: Api, market: Market, lamp: Product, owner: User
) -> None:
    customer = await market.user()
    await market.order(customer, lamp)
    await delete(api, owner, gid(lamp))

    query = "{ orders { nodes { items { product { name deletedAt } } } } }"
    (order,) = (await api.data(query, user=customer))["orders"]["nodes"]

    assert order["items"][0]["product"]["name"] == "Lamp"
    assert order["items"][0]["product"]["deletedAt"] is not None


async def test_a_product_is_not_found_to_be_deleted_twice(
    api: Api, market: Market, deleted: Product, owner: User
) -> None:
    refused = await delete(api, owner, gid(deleted))

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", gid(deleted))
    assert (await market.reload(deleted)).deleted_at == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_restored_product_is_back_as_it_was(api: Api, lamp: Product, owner: User) -> None:
    await delete(api, owner, gid(lamp))

    restored = (await restore(api, owner, gid(lamp)))["product"]

    assert (restored["deletedAt"], restored["stock"], restored["version"]) == (None, 3, 3)
    assert await names(api) == ["Lamp"]


async def test_a_product_that_is_not_deleted_is_restored_as_it_is(api: Api, lamp: Product, owner: User) -> None:
    restored = (await restore(api, owner, gid(lamp)))["product"]

    assert (restored["deletedAt"], restored["version"]) == (None, 1)


async def test_a_product_whose_name_was_taken_meanwhile_is_a_conflict_and_stays_deleted(
    api: Api, market: Market, store: Store, deleted: Product, owner: User
) -> None:
    await market.product(store, name="Gone")

    refused = await restore(api, owner, gid(deleted))

    assert refused["__typename"] == "Conflict"
    assert (refused["path"], refused["code"]) == (["input", "name"], "PRODUCT_NAME_TAKEN")
    assert (await market.reload(deleted)).deleted_at is not None


async def test_a_product_of_a_deleted_store_stays_deleted(api: Api, market: Market, owner: User) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    store = await market.store(owner, deleted_at=moment)
    product = await market.product(store, deleted_at=moment)

    refused = await restore(api, owner, gid(product))

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", gid(store))
    assert (await market.reload(product)).deleted_at == moment


async def test_a_product_deleted_by_itself_is_not_restored_with_its_store(
    api: Api, market: Market, store: Store, lamp: Product, owner: User
) -> None:
    chair = await market.product(store, name="Chair")
    await delete(api, owner, gid(chair))
    operation = """mutation ($store: ID!) {
      deleteStore(input: { id: $store }) { __typename }
      restoreStore(input: { id: $store }) { __typename }
    }"""

    data = await api.data(operation, {"store": gid(store)}, user=owner)

    assert data["deleteStore"] == {"__typename": "DeleteStoreSuccess"}
    assert data["restoreStore"] == {"__typename": "RestoreStoreSuccess"}
    assert await names(api) == ["Lamp"]


@pytest.mark.parametrize("change", [delete, restore])
async def test_a_product_that_is_not_there_is_not_found(api: Api, owner: User, change: Change) -> None:
    missing = f"Product_{uuid4()}"

    refused = await change(api, owner, missing)

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", missing)
