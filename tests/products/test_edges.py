"""A mutation's result has the product as an item of `products`, too, so that clients can put it into the list."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.db.models import Product, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths

FIELDS = "cursor node { id name store { id } }"
LIST = f"{{ products {{ edges {{ {FIELDS} }} }} }}"
AFTER = "query ($cursor: String!) { products(first: 1, after: $cursor) { nodes { name } } }"
PATHS = ["resolver", "compiled"]


def inputs(product: Product, deleted: Product) -> dict[str, Any]:
    """Return an input for each mutation that returns one product."""
    store_id = f"Store_{product.store_id}"
    return {
        "createProduct": {"storeId": store_id, "name": "New", "price": "1"},
        "updateProduct": {"id": gid(product), "name": "Renamed"},
        "restoreProduct": {"id": gid(deleted)},
    }


async def change(api: Api, user: User, mutation: str, selection: str, input: Any) -> Any:
    """Return what a mutation's success has."""
    type_name = f"{mutation[0].upper()}{mutation[1:]}"
    document = f"""
    mutation ($input: {type_name}Input!) {{
      {mutation}(input: $input) {{ ... on {type_name}Success {{ {selection} }} }}
    }}
    """
    return (await api.data(document, {"input": input}, user=user))[mutation]


@pytest.mark.parametrize("mutation", ["createProduct", "updateProduct", "restoreProduct"])
@pytest.mark.parametrize("path", PATHS)
async def test_the_edge_is_the_one_of_the_list(
    paths: Paths, market: Market, store: Store, owner: User, path: str, mutation: str
) -> None:
    api, product = getattr(paths, path), await market.product(store)
    deleted = await market.product(store, deleted_at=datetime.now(UTC))
    input = inputs(product, deleted)[mutation]

    result = await change(api, owner, mutation, f"product {{ id }} productEdge {{ {FIELDS} }}", input)

    assert result["productEdge"]["node"]["id"] == result["product"]["id"]
    assert result["productEdge"] in (await api.data(LIST))["products"]["edges"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_edges_of_a_batch_are_those_of_the_list_in_its_order(
    paths: Paths, store: Store, owner: User, path: str
) -> None:
    api = getattr(paths, path)
    input = {"storeId": gid(store), "products": [{"name": name, "price": "1"} for name in ("B", "A", "C")]}

    result = await change(api, owner, "createProducts", f"productEdges {{ {FIELDS} }}", input)

    assert [edge["node"]["name"] for edge in result["productEdges"]] == ["B", "A", "C"]
    assert result["productEdges"] == (await api.data(LIST))["products"]["edges"]


async def test_pages_go_on_from_the_cursor_of_the_edge(api: Api, market: Market, store: Store, owner: User) -> None:
    product = await market.product(store, name="First")
    await market.product(name="Second")

    result = await change(
        api, owner, "updateProduct", "productEdge { cursor }", {"id": gid(product), "name": "Renamed"}
    )

    data = await api.data(AFTER, {"cursor": result["productEdge"]["cursor"]})
    assert data["products"]["nodes"] == [{"name": "Second"}]
