"""A mutation's result has the order as an item of `orders`, or a store's part as an item of the store's `orders`, too,
so that clients can put it into the list."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.db.models import Order, Product, User
from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths

EDGE = "order { id } orderEdge { cursor node { id items { product { id } } } }"
LIST = "{ orders { edges { cursor node { id items { product { id } } } } } }"
PAGES = """
query ($cursor: String!) {
  newer: orders(last: 1, before: $cursor) { nodes { id } }
  older: orders(first: 1, after: $cursor) { nodes { id } }
}
"""
OF_STORE = """
query ($id: ID!) { store(id: $id) { orders { edges { cursor node { id status items { product { id } } } } } } }
"""
PAGES_OF_STORE = """
query ($id: ID!, $cursor: String!) {
  store(id: $id) {
    newer: orders(last: 1, before: $cursor) { nodes { id } }
    older: orders(first: 1, after: $cursor) { nodes { id } }
  }
}
"""
PLACE = f"""
mutation ($id: ID!) {{
  placeOrder(input: {{ items: [{{ productId: $id, quantity: 1 }}] }}) {{ ... on PlaceOrderSuccess {{ {EDGE} }} }}
}}
"""
CANCEL = f"""
mutation ($id: ID!) {{ cancelOrder(input: {{ id: $id }}) {{ ... on CancelOrderSuccess {{ {EDGE} }} }} }}
"""
Change = Callable[[Api, User, Order, Product], Awaitable[Any]]


async def place(api: Api, viewer: User, _: Order, product: Product) -> Any:
    return (await api.data(PLACE, {"id": gid(product)}, user=viewer))["placeOrder"]


async def cancel(api: Api, viewer: User, order: Order, _: Product) -> Any:
    return (await api.data(CANCEL, {"id": gid(order)}, user=viewer))["cancelOrder"]


@pytest.mark.parametrize("change", [place, cancel])
@pytest.mark.parametrize("path", ["resolver", "compiled"])
async def test_the_edge_is_the_one_of_the_list(paths: Paths, market: Market, path: str, change: Change) -> None:
    api, viewer, product = getattr(paths, path), await market.superuser(), await market.product()
    order = await market.order(viewer, product, placed_at=datetime(2026, 1, 2, tzinfo=UTC))

    result = await change(api, viewer, order, product)

    assert result["orderEdge"]["node"]["id"] == result["order"]["id"]
    assert result["orderEdge"] in (await api.data(LIST, user=viewer))["orders"]["edges"]


@pytest.mark.parametrize("path", ["resolver", "compiled"])
async def test_pages_go_on_from_the_cursor_of_the_edge(paths: Paths, market: Market, path: str) -> None:
    api, customer, product = getattr(paths, path), await market.user(), await market.product()
    older, order, newer = [
        await market.order(customer, product, placed_at=datetime(2026, 1, day, tzinfo=UTC)) for day in (1, 2, 3)
    ]

    cursor = (await cancel(api, customer, order, product))["orderEdge"]["cursor"]

    assert await api.data(PAGES, {"cursor": cursor}, user=customer) == {
        "newer": {"nodes": [{"id": gid(newer)}]},
        "older": {"nodes": [{"id": gid(older)}]},
    }


@pytest.mark.parametrize(
    ("field", "given"), [("fulfillStoreOrder", "id: $id"), ("declineStoreOrder", 'id: $id, reason: "No"')]
)
@pytest.mark.parametrize("path", ["resolver", "compiled"])
async def test_the_edge_of_a_part_is_the_one_of_its_stores_list(
    paths: Paths, market: Market, path: str, field: str, given: str
) -> None:
    api, owner, customer = getattr(paths, path), await market.user(), await market.user()
    store = await market.store(owner)
    bread = await market.product(store)
    parts = [
        gid(await market.store_order(await market.order(customer, bread, placed_at=moment), store))
        for moment in (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3))
    ]
    edge = "storeOrder { id } storeOrderEdge { cursor node { id status items { product { id } } } }"
    success = f"... on {field[0].upper()}{field[1:]}Success {{ {edge} }}"

    data = await api.data(
        f"mutation ($id: ID!) {{ {field}(input: {{ {given} }}) {{ {success} }} }}", {"id": parts[1]}, user=owner
    )

    result = data[field]
    assert result["storeOrderEdge"]["node"]["id"] == result["storeOrder"]["id"] == parts[1]
    edges = (await api.data(OF_STORE, {"id": gid(store)}, user=owner))["store"]["orders"]["edges"]
    assert edges[1] == result["storeOrderEdge"]
    pages = await api.data(PAGES_OF_STORE, {"id": gid(store), "cursor": edges[1]["cursor"]}, user=owner)
    assert pages["store"] == {"newer": {"nodes": [{"id": parts[2]}]}, "older": {"nodes": [{"id": parts[0]}]}}
