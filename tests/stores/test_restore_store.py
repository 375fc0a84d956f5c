"""Restoring a store, and exactly the products that were deleted with it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func

from app.db.models import User
from tests.api import Api
from tests.market import Market, gid
from tests.stores.operations import NO_STORE, delete, names, not_found, restore

BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
PRODUCTS = "{ products { nodes { name } } }"


async def products(api: Api) -> list[str]:
    return [node["name"] for node in (await api.data(PRODUCTS))["products"]["nodes"]]


@pytest.mark.parametrize("by", ["owner", "superuser"])
async def test_a_restored_store_is_back_in_the_lists(api: Api, market: Market, by: str) -> None:
    owner = await market.user()
    store = await market.store(owner, name="Tea House")
    await delete(api, owner, store)
    viewer: User = owner if by == "owner" else await market.superuser()

    restored = (await restore(api, viewer, store))["store"]

    assert (restored["id"], restored["deletedAt"], restored["version"]) == (gid(store), None, 3)
    assert restored["owner"] == {"id": gid(owner)}
    assert await names(api) == ["Tea House"]


async def test_exactly_the_products_that_were_deleted_with_it_come_back(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    await market.product(store, name="Kept")
    await market.product(store, name="Deleted before", deleted_at=BEFORE)
    await market.product(store, name="Kept, too")
    await delete(api, user, store)
    assert await products(api) == []

    await restore(api, user, store)

    assert await products(api) == ["Kept", "Kept, too"]


async def test_a_product_deleted_just_before_in_the_same_request_does_not_come_back(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    deleted = await market.product(store)
    await market.product(store, name="Kept")
    document = """mutation ($store: ID!, $product: ID!) {
      deleteProduct(input: { id: $product }) { __typename }
      deleteStore(input: { id: $store }) { __typename }
      restoreStore(input: { id: $store }) { ... on RestoreStoreSuccess { store { products { nodes { name } } } } }
    }"""

    data = await api.data(document, {"store": gid(store), "product": gid(deleted)}, user=user)

    assert data["restoreStore"] == {"store": {"products": {"nodes": [{"name": "Kept"}]}}}


async def test_a_store_can_be_deleted_and_restored_again_and_again(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    product = await market.product(store, name="Tea")

    for _ in range(2):
        await delete(api, user, store)
        await restore(api, user, store)

    assert await products(api) == ["Tea"]
    assert (await market.reload(product)).version == 5


async def test_restoring_raises_the_version_of_its_products(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    product = await market.product(store)
    await delete(api, user, store)

    await restore(api, user, store)

    assert (await market.reload(product)).version == 3


async def test_products_of_other_stores_that_were_deleted_at_the_same_moment_stay_deleted(
    api: Api, market: Market
) -> None:
    user = await market.user()
    store = await market.store(user, deleted_at=BEFORE)
    await market.product(store, name="Mine", deleted_at=BEFORE)
    await market.product(name="Another's", deleted_at=BEFORE)

    await restore(api, user, store)

    assert await products(api) == ["Mine"]


@pytest.mark.parametrize(
    ("field", "code", "values"),
    [
        ("name", "STORE_NAME_TAKEN", {"name": "Tea House"}),
        ("domain", "STORE_DOMAIN_TAKEN", {"name": "Another", "domain": "tea.example.com"}),
    ],
)
async def test_what_another_store_has_taken_meanwhile_is_a_conflict_and_nothing_is_restored(
    api: Api, market: Market, field: str, code: str, values: dict[str, str]
) -> None:
    user = await market.user()
    store = await market.store(user, name="Tea House", domain="tea.example.com")
    product = await market.product(store)
    await delete(api, user, store)
    await market.store(user, **values)

    answer = await restore(api, user, store)

    assert (answer["__typename"], answer["path"], answer["code"]) == ("Conflict", ["input", field], code)
    assert (await market.reload(store)).deleted_at is not None
    assert (await market.reload(product)).deleted_at == store.deleted_at
    assert await names(api) == [values["name"]]


async def test_a_domain_that_a_store_of_another_user_has_taken_is_a_conflict(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, domain="tea.example.com", deleted_at=BEFORE)
    await market.store(domain="tea.example.com")

    assert (await restore(api, user, store))["code"] == "STORE_DOMAIN_TAKEN"


async def test_a_name_that_a_store_of_another_user_has_is_no_conflict(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, name="Tea House", deleted_at=BEFORE)
    await market.store(name="Tea House")

    assert (await restore(api, user, store))["__typename"] == "RestoreStoreSuccess"


async def test_restoring_a_store_that_is_open_leaves_it_as_it_is(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    await market.product(store, name="Deleted", deleted_at=BEFORE)

    restored = (await restore(api, user, store))["store"]

    assert (restored["version"], restored["deletedAt"]) == (1, None)
    assert await products(api) == []


async def test_a_deleted_store_of_another_user_is_not_found_like_one_that_does_not_exist(
    api: Api, market: Market
) -> None:
    store = await market.store(deleted_at=func.now())
    other = await market.user()

    for id in (gid(store), NO_STORE):
        assert await restore(api, other, id) == not_found(id)
    assert (await market.reload(store)).deleted_at is not None


async def test_a_store_that_does_not_exist_is_not_found_for_a_superuser(api: Api, market: Market) -> None:
    assert await restore(api, await market.superuser(), NO_STORE) == not_found(NO_STORE)
