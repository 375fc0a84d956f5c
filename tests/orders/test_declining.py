"""A store declines its part of an order while nothing of it is fulfilled; its stock is returned, once."""

from datetime import UTC, datetime

import pytest

from app.db.models import StoreOrder, StoreOrderStatus, User
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import NOBODY_ID, item, kinds, place, stock_of
from tests.orders.store_orders import DECLINE, decline

REASON = "query ($id: ID!) { order(id: $id) { storeOrders { status declineReason } } }"


@pytest.fixture
async def owner(market: Market) -> User:
    return await market.user()


@pytest.fixture
async def part(market: Market, owner: User) -> StoreOrder:
    store = await market.store(owner)
    order = await market.order(await market.user(), await market.product(store, stock=8), quantity=2)
    return await market.store_order(order, store)


async def test_the_customer_is_shown_the_reason(api: Api, market: Market, owner: User) -> None:
    customer, bread = await market.user(), await market.product(await market.store(owner))
    order = (await place(api, customer, item(bread)))["order"]

    await decline(api, owner, order["storeOrders"][0]["id"], " The oven is out. ")

    data = await api.data(REASON, {"id": order["id"]}, user=customer)
    assert data["order"]["storeOrders"] == [{"status": "DECLINED", "declineReason": "The oven is out."}]


async def test_a_superuser_may_decline_the_parts_of_every_store(api: Api, market: Market, part: StoreOrder) -> None:
    result = await decline(api, await market.superuser(), part)

    assert result["storeOrder"]["status"] == "DECLINED"


async def test_stock_is_returned_to_a_product_that_was_deleted_meanwhile(api: Api, market: Market, owner: User) -> None:
    bread = await market.product(await market.store(owner), stock=10)
    order = (await place(api, await market.user(), item(bread, 4)))["order"]
    bread.deleted_at = datetime.now(UTC)
    await market.add(bread)

    await decline(api, owner, order["storeOrders"][0]["id"])

    assert await stock_of(market, bread) == 10


async def test_stock_that_was_not_tracked_when_it_was_ordered_gets_nothing_back(
    api: Api, market: Market, owner: User
) -> None:
    bread = await market.product(await market.store(owner), stock=None)
    order = (await place(api, await market.user(), item(bread, 4)))["order"]
    bread.stock = 10
    await market.add(bread)

    await decline(api, owner, order["storeOrders"][0]["id"])

    assert await stock_of(market, bread) == 10


@pytest.mark.parametrize("status", ["FULFILLED", "DECLINED", "CANCELLED"])
async def test_a_part_that_is_over_is_not_declined(
    api: Api, market: Market, owner: User, part: StoreOrder, status: str
) -> None:
    part.status = StoreOrderStatus(status)
    await market.add(part)

    result = await decline(api, owner, part)

    assert result == {
        "__typename": "InvalidStoreOrderTransition",
        "status": status,
        "message": f"This part of the order is {status} and can't be declined.",
    }
    assert (await market.reload(part)).decline_reason is None


@pytest.mark.parametrize(
    ("reason", "code"), [("", "EMPTY"), (" ", "EMPTY"), ("x" * 256, "TOO_LONG"), ("two\nlines", "CONTROL_CHARACTERS")]
)
async def test_a_reason_is_one_line(
    api: Api, market: Market, owner: User, part: StoreOrder, reason: str, code: str
) -> None:
    result = await decline(api, owner, part, reason)

    assert kinds(result) == [(["input", "reason"], code)]
    assert (await market.reload(part)).status is StoreOrderStatus.OPEN


async def test_a_part_of_another_store_is_answered_like_none(api: Api, market: Market, part: StoreOrder) -> None:
    seller, nothing = await market.user(), f"StoreOrder_{NOBODY_ID}"
    await market.store(seller)

    foreign, absent = [await decline(api, seller, wanted) for wanted in (part, nothing)]

    assert foreign == {**absent, "missingId": gid(part)}
    assert absent == {"__typename": "NotFound", "missingId": nothing, "message": "There is no such StoreOrder."}
    assert (await market.reload(part)).status is StoreOrderStatus.OPEN


async def test_nobody_declines_without_a_login(api: Api, market: Market, part: StoreOrder) -> None:
    error = await api.error(DECLINE, {"input": {"id": gid(part), "reason": "No"}})

    assert error["code"] == "UNAUTHENTICATED"
    assert (await market.reload(part)).status is StoreOrderStatus.OPEN
