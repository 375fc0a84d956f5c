"""`node` and `nodes` find anything by its id alone, and tell nothing of what the viewer may not see."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.db.models import Base, Order, OrderItem, Product, Store, StoreOrder, User
from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements

NODE = "query ($id: ID!) { node(id: $id) { __typename id } }"
NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
KEY = UUID("01970000-0000-7000-8000-000000000abc")
TYPES = ["User", "Store", "Product", "Order", "StoreOrder", "OrderItem"]
MALFORMED = [
    "",
    "Product",
    "Product_",
    str(KEY),
    f"Product{KEY}",
    f"Product-{KEY}",
    f"_{KEY}",
    f"product_{KEY}",
    f"PRODUCT_{KEY}",
    f"Product_{str(KEY).upper()}",
    f"Product_{{{KEY}}}",
    f"Product_{KEY.hex}",
    f"Product_{KEY.urn}",
    f" Product_{KEY}",
    f"Product_{KEY} ",
    f"Product_{KEY}\n",
    f"Product__{KEY}",
    f"Product_{KEY}\0",
    "Product_٠١٩٧٠٠٠٠-٠٠٠٠-٧٠٠٠-٨٠٠٠-٠٠٠٠٠٠٠٠٠abc",
    f"Session_{KEY}",
    f"RefreshToken_{KEY}",
    f"Query_{KEY}",
    "UHJvZHVjdDox",
]


@dataclass
class Shop:
    """One of everything: a customer's order of a product of an owner's store."""

    owner: User
    store: Store
    product: Product
    customer: User
    order: Order
    part: StoreOrder
    item: OrderItem

    def row(self, type_name: str) -> Base:
        """Return the row of a type; the customer stands for the users."""
        rows = (self.customer, self.store, self.product, self.order, self.part, self.item)
        return next(row for row in rows if type(row).__name__ == type_name)


@pytest.fixture
async def shop(market: Market) -> Shop:
    owner, customer = await market.user(), await market.user()
    store = await market.store(owner)
    product = await market.product(store)
    order = await market.order(customer)
    item = await market.item(order, product)
    return Shop(owner, store, product, customer, order, await market.store_order(order, store), item)


async def node(api: Api, id: str, viewer: User | None) -> Any:
    return (await api.data(NODE, {"id": id}, user=viewer))["node"]


@pytest.mark.parametrize("type_name", TYPES)
async def test_every_type_is_found_by_its_id(api: Api, shop: Shop, type_name: str) -> None:
    id = gid(shop.row(type_name))

    assert await node(api, id, shop.customer) == {"__typename": type_name, "id": id}


async def test_a_node_is_read_like_any_other_object(api: Api, shop: Shop) -> None:
    query = """
    query ($id: ID!) {
      node(id: $id) { ... on OrderItem { quantity product { store { owner { fullName } } } } ... on User { email } }
    }
    """

    data = await api.data(query, {"id": gid(shop.item)}, user=shop.customer)

    assert data["node"] == {"quantity": 1, "product": {"store": {"owner": {"fullName": shop.owner.full_name}}}}


@pytest.mark.parametrize("type_name", TYPES)
async def test_what_does_not_exist_is_null(api: Api, market: Market, type_name: str) -> None:
    assert await node(api, f"{type_name}_{KEY}", await market.superuser()) is None


@pytest.mark.parametrize("type_name", ["Order", "StoreOrder", "OrderItem"])
async def test_an_order_is_found_by_those_who_see_it_and_by_nobody_else(
    api: Api, market: Market, shop: Shop, type_name: str
) -> None:
    """The store's owner sees its part of the order, and not the order as a whole."""
    id = gid(shop.row(type_name))
    await market.store(stranger := await market.user())
    sees = {shop.customer, await market.superuser(), *(() if type_name == "Order" else (shop.owner,))}

    for viewer in (*sees, shop.owner, stranger, None):
        assert await node(api, id, viewer) == ({"__typename": type_name, "id": id} if viewer in sees else None)


async def test_an_owner_finds_nothing_that_other_stores_sell(api: Api, market: Market, shop: Shop) -> None:
    foreign = await market.item(shop.order, await market.product(other := await market.store()))
    part = await market.store_order(shop.order, other)

    for row in (foreign, part):
        assert await node(api, gid(row), shop.owner) is None
        assert await node(api, gid(row), shop.customer) is not None


@pytest.mark.parametrize("type_name", ["Order", "StoreOrder", "OrderItem"])
async def test_nothing_of_a_deleted_order_is_found(api: Api, market: Market, shop: Shop, type_name: str) -> None:
    shop.order.deleted_at = shop.part.deleted_at = datetime.now(UTC)
    await market.session.commit()

    for viewer in (shop.customer, shop.owner, await market.superuser()):
        assert await node(api, gid(shop.row(type_name)), viewer) is None


@pytest.mark.parametrize("type_name", ["Store", "Product"])
async def test_what_was_deleted_is_found_by_those_who_may_restore_it(
    api: Api, market: Market, shop: Shop, type_name: str
) -> None:
    shop.store.deleted_at = shop.product.deleted_at = datetime.now(UTC)
    await market.session.commit()
    id = gid(shop.row(type_name))

    for viewer in (shop.owner, await market.superuser()):
        assert await node(api, id, viewer) == {"__typename": type_name, "id": id}
    for other in (shop.customer, None):
        assert await node(api, id, other) is None


async def test_a_deleted_account_is_found_by_superusers_only(api: Api, market: Market, shop: Shop) -> None:
    shop.customer.deleted_at = datetime.now(UTC)
    await market.session.commit()

    assert await node(api, gid(shop.customer), await market.superuser()) is not None
    assert await node(api, gid(shop.customer), shop.owner) is None
    assert await node(api, gid(shop.customer), None) is None


@pytest.mark.parametrize("id", MALFORMED)
async def test_what_is_not_an_id_is_refused(api: Api, statements: Statements, id: str) -> None:
    statements.clear()

    error = await api.error(NODE, {"id": id})

    assert (error["code"], error["extensions"]["argumentPath"], error["path"]) == ("BAD_USER_INPUT", ["id"], ["node"])
    assert statements == []


@pytest.mark.parametrize("field", ["user", "store", "product", "order"])
async def test_an_id_of_another_type_is_refused(api: Api, field: str) -> None:
    other = "Store" if field != "store" else "User"

    error = await api.error(f'{{ {field}(id: "{other}_{KEY}") {{ id }} }}')

    assert (error["code"], error["extensions"]["argumentPath"]) == ("BAD_USER_INPUT", ["id"])


async def test_nodes_come_in_the_order_asked_for_with_nulls_in_their_places(
    api: Api, market: Market, shop: Shop
) -> None:
    hidden = await market.order(await market.user())
    absent = f"Product_{KEY}"
    ids = [gid(shop.item), absent, gid(shop.product), gid(hidden), gid(shop.customer), gid(shop.order), gid(shop.store)]

    nodes = (await api.data(NODES, {"ids": ids}, user=shop.customer))["nodes"]

    found = [(node["__typename"], node["id"]) if node else None for node in nodes]
    assert found == [
        ("OrderItem", gid(shop.item)),
        None,
        ("Product", gid(shop.product)),
        None,
        ("User", gid(shop.customer)),
        ("Order", gid(shop.order)),
        ("Store", gid(shop.store)),
    ]


async def test_an_id_may_be_asked_for_twice(api: Api, shop: Shop) -> None:
    id = gid(shop.product)

    nodes = (await api.data(NODES, {"ids": [id, id]}))["nodes"]

    assert nodes == [{"__typename": "Product", "id": id}] * 2


async def test_no_ids_are_no_nodes(api: Api) -> None:
    assert (await api.data(NODES, {"ids": []})) == {"nodes": []}


async def test_a_hundred_nodes_are_read_at_once_and_no_more(api: Api) -> None:
    ids = [f"Product_00000000-0000-7000-8000-{number:012}" for number in range(101)]

    error = await api.error(NODES, {"ids": ids})

    assert (error["code"], error["extensions"]["argumentPath"]) == ("BAD_USER_INPUT", ["ids"])
    assert (await api.data(NODES, {"ids": ids[:100]}))["nodes"] == [None] * 100


async def test_nodes_name_the_place_of_a_malformed_id(api: Api, shop: Shop) -> None:
    result = await api.execute(NODES, {"ids": [gid(shop.product), "nonsense"]})

    assert result["data"] == {"nodes": None}
    assert [error["extensions"]["argumentPath"] for error in result["errors"]] == [["ids", "1"]]


@pytest.mark.parametrize("number", [1, 4])
async def test_nodes_are_one_statement_for_each_type(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    customer = await market.user()
    rows: list[Base] = []
    for _ in range(number):
        product = await market.product(await market.store())
        order = await market.order(customer)
        rows += [await market.user(), product, order, await market.item(order, product)]
    statements.clear()

    nodes = (await api.data(NODES, {"ids": [gid(row) for row in rows]}, user=customer))["nodes"]

    assert [node["id"] for node in nodes] == [gid(row) for row in rows]
    assert len(statements) == 4


async def test_fields_that_ask_for_nodes_are_answered_by_the_same_statement(
    api: Api, shop: Shop, market: Market, statements: Statements
) -> None:
    other = await market.product(shop.store)
    query = "query ($a: ID!, $b: ID!) { a: node(id: $a) { id } b: product(id: $b) { id } nodes(ids: [$a]) { id } }"
    statements.clear()

    data = await api.data(query, {"a": gid(shop.product), "b": gid(other)})

    assert (data["a"]["id"], data["b"]["id"], data["nodes"]) == (gid(shop.product), gid(other), [data["a"]])
    assert len(statements) == 1
