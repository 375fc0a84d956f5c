"""An object is the same by whatever path it is reached: to one viewer in every field, to others in every field but
those that are null because they may not see them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx2
import pytest
from graphql import GraphQLObjectType, build_schema, get_named_type, get_nullable_type, is_leaf_type, is_list_type
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import User
from app.graphql.schema import schema_sdl
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid

SCHEMA = build_schema(schema_sdl())
NODES = ["User", "Store", "Product", "Order", "StoreOrder", "OrderItem"]
EVERYTHING = """
query ($user: ID!, $store: ID!, $product: ID!, $order: ID!, $number: String!, $ids: [ID!]!) {
  viewer { ...User stores { nodes { ...Store } } orders { nodes { ...WholeOrder } edges { node { ...Order } } } }
  user(id: $user) { ...User stores { nodes { ...Store } } orders { nodes { ...Order } } }
  store(id: $store) { ...Store owner { ...User } products { nodes { ...Product } } orders { nodes { ...WholePart } } }
  stores { nodes { ...Store } edges { node { ...Store orders { nodes { ...StoreOrder } } } } }
  product(id: $product) { ...Product store { ...Store } }
  products { nodes { ...Product store { ...Store owner { ...User } } } }
  deleted: products(filter: { deleted: true }) { nodes { ...Product } }
  orders { nodes { ...WholeOrder } }
  order(id: $order) { ...WholeOrder }
  byNumber: order(number: $number) { ...WholeOrder }
  nodes(ids: $ids) { ...User ...Store ...Product ...WholeOrder }
  parts: nodes(ids: $ids) { ...WholePart }
}
fragment WholeOrder on Order {
  ...Order customer { ...User } items { ...OrderItem product { ...Product } } storeOrders { ...WholePart }
}
fragment WholePart on StoreOrder { ...StoreOrder store { ...Store } items { ...OrderItem product { ...Product } } }
"""


def selection(type_: GraphQLObjectType) -> str:
    """Return all that a type shows of itself: its values, objects made of them, and how long its lists are."""
    selected = ["__typename"]
    for name, field in type_.fields.items():
        named = get_named_type(field.type)
        if is_leaf_type(named):
            selected.append(name)
        elif named.name.endswith("Connection"):
            selected.append(f"{name} {{ totalCount }}")
        elif isinstance(named, GraphQLObjectType) and not is_list_type(get_nullable_type(field.type)):
            selected += [f"{name} {selection(named)}"] if named.name not in NODES else []
    return f"{{ {' '.join(selected)} }}"


def document() -> str:
    """Return the document, with a fragment for each type of nodes."""
    types = ((name, SCHEMA.type_map[name]) for name in NODES)
    fragments = [f"fragment {name} on {name} {selection(type_)}" for name, type_ in types]  # type: ignore[arg-type]  # objects
    return "\n".join([EVERYTHING, *fragments])


def seen(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every node in a response, each with what it shows of itself, and the ids of the lists that belong to it."""
    if isinstance(value, list):
        for item in value:
            yield from seen(item)
    elif isinstance(value, dict):
        if "id" in value:
            yield {name: _own(shown) for name, shown in value.items() if not _leads_on(shown)}
        for item in value.values():
            yield from seen(item)


def _own(value: Any) -> Any:
    return [_own(item) for item in value] if isinstance(value, list) else _id_of(value)


def _id_of(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) and "id" in value else value


def _leads_on(value: Any) -> bool:
    """Return whether a value is another node, or a page of nodes."""
    return isinstance(value, dict) and bool(value.keys() & {"id", "nodes", "edges"})


@pytest.fixture(params=["resolver", "compiled"])
async def either(request: Any, connection: AsyncConnection, settings: Settings) -> AsyncIterator[Api]:
    """The application on either path."""
    changed = settings.model_copy(
        update={"compiled_path": request.param == "compiled", "cost_limit": 10_000_000, "value_limit": 1_000_000}
    )
    app = create_app(changed, SingleConnection(connection))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)


@pytest.fixture
async def marketplace(market: Market) -> tuple[Mapping[str, User | None], Mapping[str, Any]]:
    """The viewers, and the variables of the query: of an order from two stores of one owner and one of another."""
    baker, vintner, customer = await market.user(), await market.user(), await market.user()
    closed = await market.user(deleted_at=baker.created_at)
    bakery, cellar = await market.store(baker), await market.store(baker, currency="JPY")
    winery, orphan = await market.store(vintner, currency="GBP"), await market.store(closed)
    bread, sake = await market.product(bakery, stock=3), await market.product(cellar)
    wine, gone = await market.product(winery), await market.product(bakery, deleted_at=baker.created_at)
    order = await market.order(customer, bread, sake, wine, gone, note="Ring twice", recipient="A", address_lines=["B"])
    await market.order(baker, wine)
    parts = [await market.store_order(order, store) for store in (bakery, cellar, winery)]
    rows = [baker, vintner, customer, bakery, cellar, winery, orphan, bread, sake, wine, gone, order, *parts]
    variables = {
        "user": gid(customer),
        "store": gid(bakery),
        "product": gid(bread),
        "order": gid(order),
        "number": order.number,
        "ids": [gid(row) for row in rows],
    }
    viewers = {"baker": baker, "vintner": vintner, "customer": customer, "anonymous": None}
    return {**viewers, "superuser": await market.superuser()}, variables


async def test_one_object_is_the_same_by_every_path_and_for_every_viewer(
    either: Api, marketplace: tuple[Mapping[str, User | None], Mapping[str, Any]]
) -> None:
    viewers, variables = marketplace
    shown: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    paths = 0
    for name, viewer in viewers.items():
        result = await either.execute(document(), variables, user=viewer)
        for node in seen(result["data"]):
            before = shown[node["id"]].setdefault(name, node)
            assert {**before, **node} == {**node, **before}, (name, before, node)
            before.update(node)
            paths += 1

    assert paths > 10 * len(shown)  # each is reached by many paths
    for by_viewer in shown.values():
        whole = by_viewer.get("superuser", {})
        for name, node in by_viewer.items():
            assert {key: value for key, value in node.items() if value not in (None, whole.get(key))} == {}, name


async def test_the_document_shows_every_type_of_nodes(
    either: Api, marketplace: tuple[Mapping[str, User | None], Mapping[str, Any]]
) -> None:
    viewers, variables = marketplace
    result = await either.execute(document(), variables, user=viewers["customer"])

    assert {node["__typename"] for node in seen(result["data"])} == set(NODES)
