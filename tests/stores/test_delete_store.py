"""Deleting a store, and its products with it."""

from datetime import UTC, datetime

from sqlalchemy import func

from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements
from tests.stores.operations import NO_STORE, delete, names, not_found

BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
STORE = "query ($id: ID!) { store(id: $id) { id deletedAt } node(id: $id) { id } nodes(ids: [$id]) { id } }"
NOWHERE = {"store": None, "node": None, "nodes": [None]}


async def test_the_answer_is_the_deleted_store(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, name="Tea House")

    answer = await delete(api, user, store)

    assert answer["__typename"] == "DeleteStoreSuccess"
    assert (answer["deletedStoreId"], answer["store"]["name"]) == (gid(store), "Tea House")
    await market.reload(store)
    assert store.deleted_at is not None
    assert datetime.fromisoformat(answer["store"]["deletedAt"]) == store.deleted_at


async def test_a_deleted_store_is_in_no_list(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, name="Tea House")
    await market.store(user, name="Coffee House")

    await delete(api, user, store)

    for viewer in (None, user, await market.superuser()):
        assert await names(api, user=viewer) == ["Coffee House"]
        assert await names(api, 'filter: {search: "house"}', user=viewer) == ["Coffee House"]
        data = await api.data("{ stores { totalCount } }", user=viewer)
        assert data["stores"]["totalCount"] == 1


async def test_a_deleted_store_is_to_others_as_if_it_had_never_been(api: Api, market: Market) -> None:
    user, other = await market.user(), await market.user()
    store = await market.store(user)
    await delete(api, user, store)

    for viewer in (None, other):
        for id in (gid(store), NO_STORE):
            assert await api.data(STORE, {"id": id}, user=viewer) == NOWHERE


async def test_its_owner_and_superusers_still_reach_a_deleted_store(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    moment = (await delete(api, user, store))["store"]["deletedAt"]

    found = {"id": gid(store)}
    for viewer in (user, await market.superuser()):
        data = await api.data(STORE, {"id": gid(store)}, user=viewer)
        assert data == {"store": {**found, "deletedAt": moment}, "node": found, "nodes": [found]}


async def test_deleting_raises_the_versions_of_the_store_and_its_products(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    product = await market.product(store)

    assert (await delete(api, user, store))["store"]["version"] == 2
    assert (await market.reload(product)).version == 2


async def test_its_products_are_deleted_at_the_same_moment(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    products = [await market.product(store) for _ in range(3)]

    await delete(api, user, store)

    await market.reload(store)
    assert [(await market.reload(product)).deleted_at for product in products] == [store.deleted_at] * 3


async def test_products_of_other_stores_stay(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    await market.product(store)
    kept = await market.product(await market.store(user))

    await delete(api, user, store)

    data = await api.data("{ products { nodes { id } } }")
    assert data["products"]["nodes"] == [{"id": gid(kept)}]


async def test_a_product_that_was_deleted_before_keeps_its_moment_and_version(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)
    product = await market.product(store, deleted_at=BEFORE)

    await delete(api, user, store)

    await market.reload(product)
    assert (product.deleted_at, product.version) == (BEFORE, 1)


async def test_orders_of_a_deleted_store_still_have_their_items(api: Api, market: Market) -> None:
    user, customer = await market.user(), await market.user()
    store = await market.store(user)
    product = await market.product(store)
    order = await market.order(customer, product)
    await delete(api, user, store)
    query = "query ($id: ID!) { order(id: $id) { items { product { id store { id } } } } }"

    data = await api.data(query, {"id": gid(order)}, user=customer)

    assert data["order"]["items"] == [{"product": {"id": gid(product), "store": {"id": gid(store)}}}]


async def test_a_store_that_does_not_exist_and_a_deleted_one_are_not_found_alike(api: Api, market: Market) -> None:
    owner = await market.user()
    deleted = await market.store(owner, deleted_at=func.now())

    for viewer in (owner, await market.user(), await market.superuser()):
        for id in (NO_STORE, gid(deleted)):
            assert await delete(api, viewer, id) == not_found(id)


async def test_deleting_costs_the_same_statements_whatever_the_number_of_products(
    api: Api, market: Market, statements: Statements
) -> None:
    user = await market.user()
    counts = []
    for products in (1, 5):
        store = await market.store(user)
        for _ in range(products):
            await market.product(store)
        statements.clear()
        await delete(api, user, store)
        counts.append(len(statements))

    assert counts[0] == counts[1]
