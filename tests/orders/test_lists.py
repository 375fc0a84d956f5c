"""Lists of orders: filtered, in both directions of time, page by page."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.db.models import Order, OrderStatus, User
from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths

LIST = """
query ($filter: OrderFilter, $orderBy: OrderSort, $first: Int, $after: String, $last: Int, $before: String) {
  orders(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before) {
    nodes { id }
    totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


def january(day: int) -> datetime:
    return datetime(2026, 1, day, 12, tzinfo=UTC)


async def listed(api: Api, user: User, **variables: Any) -> list[str]:
    """Return the ids of a page of the user's orders; where it is the only one, its total must agree."""
    orders = (await api.data(LIST, variables, user=user))["orders"]
    ids = [node["id"] for node in orders["nodes"]]
    if not orders["pageInfo"]["hasNextPage"] and not orders["pageInfo"]["hasPreviousPage"]:
        assert orders["totalCount"] == len(ids)
    return ids


@pytest.fixture
async def customer(market: Market) -> User:
    return await market.user()


@pytest.fixture
async def orders(market: Market, customer: User) -> list[Order]:
    """Four orders on four days of January, one in each status."""
    days_of_statuses = enumerate(OrderStatus, start=1)
    return [await market.order(customer, status=status, placed_at=january(day)) for day, status in days_of_statuses]


async def test_the_latest_order_comes_first(api: Api, customer: User, orders: list[Order]) -> None:
    assert await listed(api, customer) == [gid(order) for order in reversed(orders)]


@pytest.mark.parametrize("order_by", [{"field": "PLACED_AT"}, {"field": "PLACED_AT", "direction": "DESC"}, None])
async def test_without_a_direction_the_latest_comes_first(
    api: Api, customer: User, orders: list[Order], order_by: Any
) -> None:
    assert await listed(api, customer, orderBy=order_by) == [gid(order) for order in reversed(orders)]


async def test_the_earliest_may_come_first(api: Api, customer: User, orders: list[Order]) -> None:
    order_by = {"field": "PLACED_AT", "direction": "ASC"}

    assert await listed(api, customer, orderBy=order_by) == [gid(order) for order in orders]


@pytest.mark.parametrize(
    ("statuses", "places"),
    [
        (["PLACED"], [0]),
        (["CANCELLED", "PARTIALLY_FULFILLED"], [3, 1]),
        (["FULFILLED", "FULFILLED"], [2]),
        ([], []),
        (None, [3, 2, 1, 0]),
    ],
)
async def test_orders_are_filtered_by_status(
    api: Api, customer: User, orders: list[Order], statuses: Any, places: list[int]
) -> None:
    assert await listed(api, customer, filter={"status": statuses}) == [gid(orders[place]) for place in places]


@pytest.mark.parametrize(
    ("placed_at", "places"),
    [
        ({"gte": "2026-01-02T12:00:00Z"}, [3, 2, 1]),
        ({"lt": "2026-01-02T12:00:00Z"}, [0]),
        ({"gte": "2026-01-02T12:00:00Z", "lt": "2026-01-04T12:00:00Z"}, [2, 1]),
        ({"gte": "2026-01-02T14:00:00+02:00", "lt": "2026-01-03T13:00:00+01:00"}, [1]),
        ({"gte": "2026-01-03T12:00:00Z", "lt": "2026-01-03T12:00:00Z"}, []),
        ({"gte": None, "lt": None}, [3, 2, 1, 0]),
        ({"gte": "0001-01-01T00:00:00Z", "lt": "9999-12-31T23:59:59Z"}, [3, 2, 1, 0]),
        (None, [3, 2, 1, 0]),
    ],
)
async def test_a_range_of_time_has_its_start_and_not_its_end(
    api: Api, customer: User, orders: list[Order], placed_at: Any, places: list[int]
) -> None:
    assert await listed(api, customer, filter={"placedAt": placed_at}) == [gid(orders[place]) for place in places]


async def test_orders_are_filtered_by_a_store_that_has_an_item(api: Api, market: Market, customer: User) -> None:
    bakery, cellar = await market.store(), await market.store()
    bread, cake, wine = [await market.product(store) for store in (bakery, bakery, cellar)]
    both = await market.order(customer, bread, wine, placed_at=january(1))
    baked = await market.order(customer, bread, cake, placed_at=january(2))
    await market.order(customer, wine, placed_at=january(3))

    assert await listed(api, customer, filter={"storeId": gid(bakery)}) == [gid(baked), gid(both)]
    assert await listed(api, customer, filter={"storeId": gid(await market.store())}) == []


async def test_filters_hold_together(api: Api, market: Market, customer: User) -> None:
    bakery = await market.store()
    bread, wine = await market.product(bakery), await market.product()
    wanted = await market.order(customer, bread, placed_at=january(2))
    await market.order(customer, wine, placed_at=january(2))
    await market.order(customer, bread, placed_at=january(1))
    await market.order(customer, bread, placed_at=january(2), status=OrderStatus.CANCELLED)
    await market.order(await market.user(), bread, placed_at=january(2))

    criteria = {"storeId": gid(bakery), "status": ["PLACED"], "placedAt": {"gte": "2026-01-02T00:00:00Z"}}

    assert await listed(api, customer, filter=criteria) == [gid(wanted)]


async def test_the_orders_of_a_user_are_filtered_alike(api: Api, market: Market, customer: User) -> None:
    bread = await market.product()
    wanted = await market.order(customer, bread, placed_at=january(2), status=OrderStatus.FULFILLED)
    await market.order(customer, bread, placed_at=january(2))
    await market.order(customer, bread, placed_at=january(3), status=OrderStatus.FULFILLED)
    query = """
    query ($id: ID!) {
      user(id: $id) {
        orders(filter: { status: [FULFILLED], placedAt: { lt: "2026-01-03T00:00:00Z" } }) { nodes { id } totalCount }
      }
    }
    """

    data = await api.data(query, {"id": gid(customer)}, user=customer)

    assert data["user"]["orders"] == {"nodes": [{"id": gid(wanted)}], "totalCount": 1}


@pytest.mark.parametrize(
    ("criteria", "days"),
    [
        ({}, [4, 3, 2, 1]),
        ({"status": ["FULFILLED"]}, [3]),
        ({"status": ["DECLINED", "CANCELLED", "CANCELLED"]}, [4]),
        ({"status": []}, []),
        ({"status": None}, [4, 3, 2, 1]),
        ({"placedAt": {"gte": "2026-01-02T12:00:00Z", "lt": "2026-01-04T12:00:00Z"}}, [3, 2]),
        ({"placedAt": {"lt": "2026-01-03T00:00:00Z"}, "status": ["OPEN"]}, [2, 1]),
    ],
)
async def test_the_orders_of_a_store_are_filtered_by_the_status_of_its_parts_and_their_time(
    paths: Paths, market: Market, customer: User, criteria: Any, days: list[int]
) -> None:
    owner = await market.user()
    store = await market.store(owner)
    bread = await market.product(store)
    parts = {}
    for day, status in enumerate(OrderStatus, start=1):
        order = await market.order(customer, bread, placed_at=january(day), status=status)
        parts[day] = gid(await market.store_order(order, store))
    query = """
    query ($id: ID!, $filter: StoreOrderFilter) {
      store(id: $id) { orders(filter: $filter) { nodes { id } totalCount } }
    }
    """

    answers = await paths.ask(query, {"id": gid(store), "filter": criteria}, user=owner)

    assert answers.data["store"]["orders"] == {"nodes": [{"id": parts[day]} for day in days], "totalCount": len(days)}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("backward", [False, True])
async def test_pages_hold_every_order_once_also_those_of_one_moment(
    api: Api, market: Market, customer: User, direction: str, backward: bool
) -> None:
    for day in (1, 2, 2, 2, 3):
        await market.order(customer, placed_at=january(day))
    order_by = {"field": "PLACED_AT", "direction": direction}
    everything = await listed(api, customer, orderBy=order_by)
    size, cursor, more = ("last", "before", "hasPreviousPage") if backward else ("first", "after", "hasNextPage")

    seen: list[str] = []
    place: str | None = None
    going_on = True
    while going_on:
        page = (await api.data(LIST, {"orderBy": order_by, size: 2, cursor: place}, user=customer))["orders"]
        ids = [node["id"] for node in page["nodes"]]
        seen = ids + seen if backward else seen + ids
        place = page["pageInfo"]["startCursor" if backward else "endCursor"]
        going_on = page["pageInfo"][more]
        assert len(seen) <= 5

    assert len(everything) == 5
    assert seen == everything


@pytest.mark.parametrize("id", ["", "Store_1", "Product_01970000-0000-7000-8000-000000000000"])
async def test_a_filter_names_an_id_that_is_not_of_a_store(api: Api, customer: User, id: str) -> None:
    error = await api.error(LIST, {"filter": {"storeId": id}}, user=customer)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["filter", "storeId"]}


async def test_a_cursor_of_the_other_direction_is_refused(api: Api, customer: User, orders: list[Order]) -> None:
    cursor = (await api.data(LIST, user=customer))["orders"]["pageInfo"]["startCursor"]

    error = await api.error(
        LIST, {"after": cursor, "orderBy": {"field": "PLACED_AT", "direction": "ASC"}}, user=customer
    )

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["after"]}
