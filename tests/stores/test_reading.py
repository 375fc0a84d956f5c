"""One store, and what hangs on it."""

from sqlalchemy import func

from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths
from tests.statements import Statements

STORE = """
query ($id: ID!) {
  store(id: $id) {
    id name street postcode city country currency domain phone version createdAt updatedAt deletedAt
    owner { id fullName }
  }
}
"""
ORDERS = """
query ($id: ID!) { store(id: $id) { orders { nodes { id } edges { node { id } } totalCount pageInfo { endCursor } } } }
"""


async def test_anyone_reads_a_store(api: Api, market: Market) -> None:
    owner = await market.user(full_name="Ada")
    store = await market.store(owner, name="Tea House", domain="tea.example.com", phone="+49 30 1234567")

    answer = (await api.data(STORE, {"id": gid(store)}))["store"]

    assert answer.pop("createdAt") == answer.pop("updatedAt") == store.created_at.isoformat(timespec="microseconds")
    assert answer == {
        "id": gid(store),
        "name": "Tea House",
        "street": "Main Street 1",
        "postcode": "10115",
        "city": "Berlin",
        "country": "DE",
        "currency": "EUR",
        "domain": "tea.example.com",
        "phone": "+49 30 1234567",
        "version": 1,
        "deletedAt": None,
        "owner": {"id": gid(owner), "fullName": "Ada"},
    }


async def test_a_store_is_a_node(api: Api, market: Market) -> None:
    store = await market.store(name="Tea House")
    query = "query ($id: ID!) { node(id: $id) { __typename id ... on Store { name } } }"

    data = await api.data(query, {"id": gid(store)})

    assert data["node"] == {"__typename": "Store", "id": gid(store), "name": "Tea House"}


async def test_a_store_whose_owners_account_is_closed_has_no_owner(paths: Paths, market: Market) -> None:
    owner = await market.user(deleted_at=func.now())
    store = await market.store(owner)

    for viewer in (None, await market.superuser()):
        answers = await paths.ask(STORE, {"id": gid(store)}, user=viewer)
        assert answers.data["store"]["owner"] is None


async def test_its_products_are_listed_without_deleted_ones(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner)
    product = await market.product(store)
    await market.product(store, deleted_at=func.now())
    await market.product()
    query = "query ($id: ID!) { store(id: $id) { products { nodes { id } totalCount } } }"

    for viewer in (None, owner):
        data = await api.data(query, {"id": gid(store)}, user=viewer)
        assert data["store"]["products"] == {"nodes": [{"id": gid(product)}], "totalCount": 1}


async def test_its_orders_are_its_parts_of_them_the_latest_first(api: Api, market: Market) -> None:
    owner, customer = await market.user(), await market.user()
    store = await market.store(owner)
    own, other = await market.product(store), await market.product(await market.store(owner))
    first = await market.order(customer, own, placed_at=func.now() - func.make_interval(0, 0, 0, 1))
    second = await market.order(customer, own, other)
    await market.order(customer, other)
    await market.order(customer, own, deleted_at=func.now())

    nodes = [{"id": gid(await market.store_order(order, store))} for order in (second, first)]
    for viewer in (owner, await market.superuser()):
        orders = (await api.data(ORDERS, {"id": gid(store)}, user=viewer))["store"]["orders"]
        assert orders["nodes"] == nodes
        assert orders["edges"] == [{"node": node} for node in nodes]
        assert orders["totalCount"] == 2


async def test_its_orders_are_null_for_anyone_else(api: Api, market: Market, statements: Statements) -> None:
    """Also for its customer, for another seller, and for nobody."""
    customer, seller = await market.user(), await market.user()
    product = await market.product()
    await market.order(customer, product, await market.product(await market.store(seller)))
    statements.clear()

    for viewer in (None, customer, seller):
        data = await api.data(ORDERS, {"id": f"Store_{product.store_id}"}, user=viewer)
        assert data == {"store": {"orders": None}}
    assert len(statements) == 3


async def test_each_of_many_stores_has_its_own_orders_at_the_cost_of_one(
    api: Api, market: Market, statements: Statements
) -> None:
    owner, customer = await market.user(), await market.user()
    mine = [await market.store(owner) for _ in range(2)]
    orders = [
        await market.store_order(await market.order(customer, await market.product(store)), store) for store in mine
    ]
    await market.order(customer, await market.product())
    statements.clear()

    data = await api.data("{ stores { nodes { orders { nodes { id } totalCount } } } }", user=owner)

    assert [node["orders"] for node in data["stores"]["nodes"]] == [
        {"nodes": [{"id": gid(orders[0])}], "totalCount": 1},
        {"nodes": [{"id": gid(orders[1])}], "totalCount": 1},
        None,
    ]
    assert len(statements) == 3


async def test_many_stores_by_their_ids_are_one_statement(api: Api, market: Market, statements: Statements) -> None:
    stores = [await market.store() for _ in range(3)]
    deleted = await market.store(deleted_at=func.now())
    ids = [gid(store) for store in (*stores, deleted)]
    statements.clear()

    data = await api.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})

    assert data["nodes"] == [*({"id": gid(store)} for store in stores), None]
    assert len(statements) == 1
