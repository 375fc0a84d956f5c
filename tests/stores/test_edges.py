"""A mutation's result has the store as an item of `stores`, too, so that clients can put it into the list."""

from typing import Any

import pytest
from sqlalchemy import func

from app.db.models import Store
from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths
from tests.stores.operations import NEW_STORE

FIELDS = "cursor node { id name owner { id } }"
LIST = f"{{ stores {{ edges {{ {FIELDS} }} }} }}"
AFTER = "query ($cursor: String!) { stores(first: 1, after: $cursor) { nodes { name } } }"


def document(mutation: str) -> str:
    type_name = f"{mutation[0].upper()}{mutation[1:]}"
    return f"""
    mutation ($input: {type_name}Input!) {{
      {mutation}(input: $input) {{ ... on {type_name}Success {{ store {{ id }} storeEdge {{ {FIELDS} }} }} }}
    }}
    """


def inputs(store: Store, deleted: Store) -> dict[str, Any]:
    """Return an input for each mutation whose result has an edge."""
    return {
        "createStore": NEW_STORE,
        "updateStore": {"id": gid(store), "name": "Renamed"},
        "restoreStore": {"id": gid(deleted)},
    }


@pytest.mark.parametrize("mutation", ["createStore", "updateStore", "restoreStore"])
@pytest.mark.parametrize("path", ["resolver", "compiled"])
async def test_the_edge_is_the_one_of_the_list(paths: Paths, market: Market, path: str, mutation: str) -> None:
    api, owner = getattr(paths, path), await market.user()
    store, deleted = await market.store(owner), await market.store(owner, deleted_at=func.now())
    input = inputs(store, deleted)[mutation]

    result = (await api.data(document(mutation), {"input": input}, user=owner))[mutation]

    assert result["storeEdge"]["node"]["id"] == result["store"]["id"]
    assert result["storeEdge"] in (await api.data(LIST))["stores"]["edges"]


async def test_pages_go_on_from_the_cursor_of_the_edge(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner, name="First")
    await market.store(name="Second")
    input = {"id": gid(store), "name": "Renamed"}

    result = (await api.data(document("updateStore"), {"input": input}, user=owner))["updateStore"]

    data = await api.data(AFTER, {"cursor": result["storeEdge"]["cursor"]})
    assert data["stores"]["nodes"] == [{"name": "Second"}]
