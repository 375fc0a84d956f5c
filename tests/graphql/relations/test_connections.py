"""Every connection of the schema keeps the same rules: which page is shown, and which arguments are refused."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import User
from app.graphql.relations.connections import _once
from app.settings import Settings
from tests.api import Api
from tests.market import gid
from tests.worlds import shared_world

ROOTS = ("products", "stores", "users", "orders")
NESTED = ("Store.products", "Store.orders", "User.stores", "User.orders")
CONNECTIONS = (*ROOTS, *NESTED)
IDS = "nodes { id }"
EDGES = "edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


@dataclass(frozen=True)
class Marketplace:
    """Five of everything that there is a connection of, and a superuser who sees it all."""

    api: Api
    superuser: User
    parents: dict[str, str]

    def document(self, connection: str, selection: str, **arguments: Any) -> str:
        """Return a query for a page of a connection."""
        parent, _, field = connection.rpartition(".")
        values = ", ".join(f"{name}: {json.dumps(value)}" for name, value in arguments.items())
        page = f"{field}({values}) {{ {selection} }}" if values else f"{field} {{ {selection} }}"
        if not parent:
            return f"{{ {page} }}"
        return f'{{ node(id: "{self.parents[connection]}") {{ ... on {parent} {{ {page} }} }} }}'

    async def page(self, connection: str, selection: str, **arguments: Any) -> Any:
        """Return a page of a connection."""
        data = await self.api.data(self.document(connection, selection, **arguments), user=self.superuser)
        return (data["node"] if "." in connection else data)[connection.rpartition(".")[2]]

    async def ids(self, connection: str, **arguments: Any) -> list[str]:
        """Return the ids of the nodes of a page."""
        return [node["id"] for node in (await self.page(connection, IDS, **arguments))["nodes"]]

    async def all(self, connection: str) -> tuple[list[str], list[str]]:
        """Return the ids and the cursors of all five, in their order."""
        edges = (await self.page(connection, EDGES))["edges"]
        return [edge["node"]["id"] for edge in edges], [edge["cursor"] for edge in edges]

    async def refusal(self, connection: str, **arguments: Any) -> Any:
        """Return the extensions of the error that a page is refused with."""
        error = await self.api.error(self.document(connection, IDS, **arguments), user=self.superuser)
        return error["extensions"]


@pytest.fixture(scope="module")
async def marketplace(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Marketplace]:
    async with shared_world(engine, settings) as world:
        market = world.market
        superuser, owner, *_ = [await market.superuser(), *[await market.user() for _ in range(4)]]
        store, *_ = [await market.store(owner) for _ in range(5)]
        product, *_ = [await market.product(store) for _ in range(5)]
        for _ in range(5):
            await market.order(superuser, product)
        parents = {"Store": gid(store), "User.stores": gid(owner), "User.orders": gid(superuser)}
        parents |= dict.fromkeys(("Store.products", "Store.orders"), gid(store))
        yield Marketplace(world.api, superuser, parents)


@pytest.mark.parametrize("connection", CONNECTIONS)
async def test_all_are_shown_where_no_page_is_asked_for(marketplace: Marketplace, connection: str) -> None:
    page = await marketplace.page(connection, f"{IDS} {EDGES} totalCount")

    ids = [node["id"] for node in page["nodes"]]
    assert len(set(ids)) == len(ids) == page["totalCount"] == 5
    assert [edge["node"]["id"] for edge in page["edges"]] == ids
    assert page["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": page["edges"][0]["cursor"],
        "endCursor": page["edges"][4]["cursor"],
    }


@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize(
    ("first", "last", "after", "before", "shown", "previous", "following"),
    [
        (2, None, None, None, [0, 1], False, True),
        (5, None, None, None, [0, 1, 2, 3, 4], False, False),
        (2, None, 1, None, [2, 3], True, True),
        (2, None, 2, None, [3, 4], True, False),
        (2, None, 4, None, [], True, False),
        (None, None, 1, None, [2, 3, 4], True, False),
        (None, 2, None, None, [3, 4], True, False),
        (None, 5, None, None, [0, 1, 2, 3, 4], False, False),
        (None, 2, None, 3, [1, 2], True, True),
        (None, 2, None, 2, [0, 1], False, True),
        (None, 2, None, 0, [], False, True),
        (None, None, None, 3, [0, 1, 2], False, True),
        (None, None, 0, 4, [1, 2, 3], True, True),
        (2, None, 0, 4, [1, 2], True, True),
        (None, 2, 0, 4, [2, 3], True, True),
        (None, None, 3, 1, [], True, True),
        (0, None, None, None, [], False, True),
        (None, 0, None, None, [], True, False),
    ],
)
async def test_a_page_is_what_lies_between_its_places(
    marketplace: Marketplace,
    connection: str,
    first: int | None,
    last: int | None,
    after: int | None,
    before: int | None,
    shown: list[int],
    previous: bool,
    following: bool,
) -> None:
    ids, cursors = await marketplace.all(connection)
    places = {"after": after, "before": before}
    arguments = {name: None if place is None else cursors[place] for name, place in places.items()}

    page = await marketplace.page(connection, f"{IDS} {EDGES} totalCount", first=first, last=last, **arguments)

    assert [node["id"] for node in page["nodes"]] == [ids[place] for place in shown]
    assert [edge["cursor"] for edge in page["edges"]] == [cursors[place] for place in shown]
    assert page["pageInfo"] == {
        "hasPreviousPage": previous,
        "hasNextPage": following,
        "startCursor": cursors[shown[0]] if shown else None,
        "endCursor": cursors[shown[-1]] if shown else None,
    }
    assert page["totalCount"] == 5


@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"first": -1}, "first"),
        ({"first": 101}, "first"),
        ({"last": -1}, "last"),
        ({"last": 101}, "last"),
        ({"first": 1, "last": 1}, "last"),
        ({"first": 0, "last": 0}, "last"),
        ({"after": ""}, "after"),
        ({"after": "nonsense"}, "after"),
        ({"before": "nonsense"}, "before"),
        ({"after": "SUQtYXNj"}, "after"),
        ({"first": 1, "before": "\0"}, "before"),
        ({"after": "A" * 10_000}, "after"),
    ],
)
async def test_an_argument_that_makes_no_page_is_refused_by_its_name(
    marketplace: Marketplace, connection: str, arguments: dict[str, Any], named: str
) -> None:
    assert await marketplace.refusal(connection, **arguments) == {"code": "BAD_USER_INPUT", "argumentPath": [named]}


@pytest.mark.parametrize("connection", CONNECTIONS)
async def test_a_hundred_is_the_most_that_may_be_asked_for(marketplace: Marketplace, connection: str) -> None:
    assert len(await marketplace.ids(connection, first=100)) == 5
    assert len(await marketplace.ids(connection, last=100)) == 5


@pytest.mark.parametrize("connection", ["products", "stores", "users", "Store.products", "User.stores"])
async def test_a_cursor_of_a_list_in_another_order_is_refused(marketplace: Marketplace, connection: str) -> None:
    _, (of_orders, *_) = await marketplace.all("orders")

    assert await marketplace.refusal(connection, after=of_orders) == {
        "code": "BAD_USER_INPUT",
        "argumentPath": ["after"],
    }
    assert await marketplace.refusal(connection, before=of_orders) == {
        "code": "BAD_USER_INPUT",
        "argumentPath": ["before"],
    }


@pytest.mark.parametrize("connection", ["orders", "Store.orders", "User.orders"])
async def test_a_cursor_of_another_list_is_refused_by_orders(marketplace: Marketplace, connection: str) -> None:
    _, (of_products, *_) = await marketplace.all("products")

    assert await marketplace.refusal(connection, after=of_products) == {
        "code": "BAD_USER_INPUT",
        "argumentPath": ["after"],
    }


async def test_a_cursor_of_the_other_direction_is_refused(marketplace: Marketplace) -> None:
    _, cursors = await marketplace.all("orders")
    ascending = """
    query ($after: String) { orders(after: $after, orderBy: { field: PLACED_AT, direction: ASC }) { nodes { id } } }
    """

    error = await marketplace.api.error(ascending, {"after": cursors[0]}, user=marketplace.superuser)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["after"]}


async def test_a_page_that_fails_when_nobody_waits_for_it_is_no_error_of_ours() -> None:
    unheard, loop, over = list[object](), asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(lambda _, context: unheard.append(context))

    async def read() -> None:
        await over.wait()
        raise RuntimeError("the operation is over")

    waiting = asyncio.ensure_future(_once(read)())
    await asyncio.sleep(0)
    waiting.cancel()
    over.set()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    loop.set_exception_handler(None)

    assert unheard == []
