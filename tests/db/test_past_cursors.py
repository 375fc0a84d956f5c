"""Whether there are more items, after the items of cursors were deleted."""

from itertools import product as combinations
from typing import Any

import pytest
from sqlalchemy import case, delete, func, update

from app.db.models import Product
from tests.market import Market
from tests.paths import Paths

INFO = "edges { cursor node { name } } pageInfo { hasPreviousPage hasNextPage }"
ARGUMENTS = "$first: Int, $after: String, $last: Int, $before: String, $filter: ProductFilter, $orderBy: ProductSort"
PASSED = "first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy"
LISTS = {
    "root": f"query ({ARGUMENTS}) {{ products({PASSED}) {{ {INFO} }} }}",
    "nested": f"query ({ARGUMENTS}) {{ stores {{ nodes {{ products({PASSED}) {{ {INFO} }} }} }} }}",
}
ORDERS: dict[str, Any] = {
    "default": {},
    "price": {"orderBy": {"field": "PRICE", "direction": "DESC"}},
    "relevance": {"filter": {"search": "lamp"}},
}
NAMES = ["Lamp 1", "Lamp 2", "Lamp 3", "Lamp 4"]


def found(data: Any) -> Any:
    return data["products"] if "products" in data else data["stores"]["nodes"][0]["products"]


def expected(names: list[str], shown: list[str]) -> dict[str, bool]:
    """Return the page info of items that are shown of those that are left."""
    places = [names.index(name) for name in shown]
    return {"hasPreviousPage": places[0] > 0, "hasNextPage": places[-1] < len(names) - 1}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("query", LISTS.values(), ids=LISTS)
async def test_what_is_beyond_a_page_is_what_is_left(
    paths: Paths, market: Market, query: str, order: dict[str, Any]
) -> None:
    store = await market.store()
    for name in NAMES:
        await market.product(store, name=name)
    everything = found((await paths.ask(query, order)).data)["edges"]
    names = [edge["node"]["name"] for edge in everything]
    cursors = [edge["cursor"] for edge in everything]

    for left in ([0, 1, 2, 3], [1, 2, 3], [0, 1, 2], [1, 2]):
        gone = [names[place] for place in range(4) if place not in left]
        is_gone = case((Product.name.in_(gone), func.now()), else_=None)
        await market.session.execute(update(Product).values(deleted_at=is_gone))
        remaining = [names[place] for place in left]
        for after, before, size in combinations((None, 0, 1), (None, 2, 3), ({"first": 1}, {"last": 1}, {"first": 4})):
            cursor = {"after": None if after is None else cursors[after], "before": before and cursors[before]}
            page = found((await paths.ask(query, {**order, **cursor, **size})).data)
            shown = [edge["node"]["name"] for edge in page["edges"]]
            if shown:
                assert page["pageInfo"] == expected(remaining, shown), (left, after, before, size)


async def test_an_empty_list_has_nothing_beyond(paths: Paths, market: Market) -> None:
    lamp = await market.product(name="Lamp")
    query = f"query ({ARGUMENTS}) {{ products({PASSED}) {{ {INFO} }} }}"
    cursor = found((await paths.ask(query)).data)["edges"][0]["cursor"]
    await market.session.execute(delete(Product).where(Product.id == lamp.id))

    for given in ({"after": cursor}, {"before": cursor}, {"after": cursor, "before": cursor}):
        page = found((await paths.ask(query, given)).data)
        assert page == {"edges": [], "pageInfo": {"hasPreviousPage": False, "hasNextPage": False}}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_what_is_beyond_is_of_the_same_parent(paths: Paths, market: Market, order: dict[str, Any]) -> None:
    """One store has products before the cursor, the other has none there."""
    few, many = await market.store(name="Few"), await market.store(name="Many")
    await market.product(few, name="Lamp 9", price=1)
    for name in NAMES:
        await market.product(many, name=name)
    stores = (await paths.ask(LISTS["nested"], order)).data["stores"]["nodes"]
    edges = max((store["products"]["edges"] for store in stores), key=len)
    last = {"after": edges[-1]["cursor"], "first": 1}

    found = (await paths.ask(LISTS["nested"], {**order, **last})).data["stores"]["nodes"]

    has_previous = [store["products"]["pageInfo"]["hasPreviousPage"] for store in found]
    shown = [len(store["products"]["edges"]) for store in found]
    assert has_previous == [
        len(store["products"]["edges"]) > number for store, number in zip(stores, shown, strict=True)
    ]
