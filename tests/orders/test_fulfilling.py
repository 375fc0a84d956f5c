"""A store fulfills the items of its own part of an order, each of them once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from app.db.models import Order, OrderItem, OrderStatus, StoreOrder, StoreOrderStatus, User
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import NOBODY_ID, kinds
from tests.orders.store_orders import FULFILL, fulfill
from tests.statements import Statements

ITEMS = "query ($id: ID!) { order(id: $id) { status items { product { id } fulfilledAt } } }"
MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class Bakery:
    """An order of bread and cake from one store, and of wine from another."""

    owner: User
    vintner: User
    customer: User
    order: Order
    bread: OrderItem
    cake: OrderItem
    wine: OrderItem
    baked: StoreOrder
    pressed: StoreOrder


@pytest.fixture
async def bakery(market: Market) -> Bakery:
    owner, vintner, customer = [await market.user() for _ in range(3)]
    store, cellar = await market.store(owner), await market.store(vintner)
    order = await market.order(customer)
    bread, cake = [await market.item(order, await market.product(store)) for _ in range(2)]
    wine = await market.item(order, await market.product(cellar))
    baked, pressed = await market.store_order(order, store), await market.store_order(order, cellar)
    return Bakery(owner, vintner, customer, order, bread, cake, wine, baked, pressed)


async def fulfilled(market: Market, *items: OrderItem) -> list[bool]:
    """Return which of the items are fulfilled in the database."""
    return [(await market.reload(item)).fulfilled_at is not None for item in items]


async def test_only_the_items_named_are_fulfilled(api: Api, market: Market, bakery: Bakery) -> None:
    await fulfill(api, bakery.owner, bakery.baked, bakery.cake)

    seen = (await api.data(ITEMS, {"id": gid(bakery.order)}, user=bakery.customer))["order"]
    assert seen["status"] == "PARTIALLY_FULFILLED"
    assert {item["product"]["id"]: item["fulfilledAt"] is not None for item in seen["items"]} == {
        f"Product_{bakery.bread.product_id}": False,
        f"Product_{bakery.cake.product_id}": True,
        f"Product_{bakery.wine.product_id}": False,
    }


@pytest.mark.parametrize("given", [{}, {"itemIds": None}])
async def test_without_items_all_that_are_left_are_fulfilled(
    api: Api, market: Market, bakery: Bakery, given: dict[str, Any]
) -> None:
    bakery.bread.fulfilled_at = MOMENT
    await market.add(bakery.bread)
    variables = {"input": {"id": gid(bakery.baked), **given}}

    result = (await api.data(FULFILL, variables, user=bakery.owner))["fulfillStoreOrder"]

    assert result["storeOrder"]["status"] == "FULFILLED"
    assert await fulfilled(market, bakery.bread, bakery.cake, bakery.wine) == [True, True, False]
    assert bakery.bread.fulfilled_at == MOMENT


@pytest.mark.parametrize("number", [1, 5])
async def test_all_items_are_fulfilled_in_one_statement(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    owner = await market.user()
    store = await market.store(owner)
    order = await market.order(await market.user(), *[await market.product(store) for _ in range(number)])
    part = await market.store_order(order, store)
    statements.clear()

    result = await fulfill(api, owner, part)

    assert result["storeOrder"]["status"] == "FULFILLED"
    assert sum(statement.startswith("UPDATE order_items") for statement in statements) == 1


async def test_a_superuser_may_fulfill_the_parts_of_every_store(api: Api, market: Market, bakery: Bakery) -> None:
    superuser = await market.superuser()

    for part in (bakery.baked, bakery.pressed):
        assert (await fulfill(api, superuser, part))["storeOrder"]["status"] == "FULFILLED"

    assert (await market.reload(bakery.order)).status is OrderStatus.FULFILLED


async def test_an_item_is_fulfilled_only_once(api: Api, market: Market, bakery: Bakery) -> None:
    bakery.bread.fulfilled_at = MOMENT
    await market.add(bakery.bread)

    result = await fulfill(api, bakery.owner, bakery.baked, bakery.cake, bakery.bread)

    assert result["__typename"] == "InvalidInput"
    assert result["issues"] == [
        {"path": ["input", "itemIds", "1"], "code": "ALREADY_FULFILLED", "message": "has already been fulfilled"}
    ]
    assert (await market.reload(bakery.bread)).fulfilled_at == MOMENT
    assert await fulfilled(market, bakery.cake) == [False]


async def test_nothing_is_fulfilled_where_one_of_the_items_is_wrong(api: Api, market: Market, bakery: Bakery) -> None:
    await fulfill(api, bakery.owner, bakery.baked, bakery.bread, bakery.wine)

    assert await fulfilled(market, bakery.bread, bakery.wine) == [False, False]
    assert (await market.reload(bakery.order)).status is OrderStatus.PLACED


async def test_an_item_of_another_store_or_order_is_answered_like_no_item(
    api: Api, market: Market, bakery: Bakery
) -> None:
    earlier = await market.item(await market.order(bakery.customer), await market.product())

    results = [
        await fulfill(api, bakery.owner, bakery.baked, item)
        for item in (bakery.wine, earlier, f"OrderItem_{NOBODY_ID}")
    ]

    assert results[0]["__typename"] == "InvalidInput"
    assert kinds(results[0]) == [(["input", "itemIds", "0"], "NOT_IN_ORDER")]
    assert results[1] == results[2] == results[0]
    assert await fulfilled(market, bakery.wine, earlier) == [False, False]


async def test_a_part_of_another_store_is_answered_like_none(api: Api, market: Market, bakery: Bakery) -> None:
    nothing = f"StoreOrder_{NOBODY_ID}"

    foreign, absent = [await fulfill(api, bakery.owner, part) for part in (bakery.pressed, nothing)]

    assert foreign == {**absent, "missingId": gid(bakery.pressed)}
    assert absent == {"__typename": "NotFound", "missingId": nothing, "message": "There is no such StoreOrder."}
    assert await fulfilled(market, bakery.wine) == [False]


async def test_the_customer_does_not_fulfill(api: Api, market: Market, bakery: Bakery) -> None:
    error = await api.error(FULFILL, {"input": {"id": gid(bakery.baked)}}, user=bakery.customer)

    assert error["code"] == "FORBIDDEN"
    assert await fulfilled(market, bakery.bread, bakery.cake) == [False, False]
    assert (await market.reload(bakery.order)).status is OrderStatus.PLACED


async def test_no_items_at_all_are_refused(api: Api, market: Market, bakery: Bakery) -> None:
    variables = {"input": {"id": gid(bakery.baked), "itemIds": []}}

    result = (await api.data(FULFILL, variables, user=bakery.owner))["fulfillStoreOrder"]

    assert kinds(result) == [(["input", "itemIds"], "TOO_FEW")]
    assert await fulfilled(market, bakery.bread) == [False]


async def test_an_item_named_twice_is_refused(api: Api, market: Market, bakery: Bakery) -> None:
    result = await fulfill(api, bakery.owner, bakery.baked, bakery.bread, bakery.bread)

    assert kinds(result) == [(["input", "itemIds", "1"], "NOT_UNIQUE")]
    assert await fulfilled(market, bakery.bread) == [False]


@pytest.mark.parametrize("status", ["FULFILLED", "DECLINED", "CANCELLED"])
async def test_a_part_that_is_over_is_not_fulfilled(api: Api, market: Market, bakery: Bakery, status: str) -> None:
    bakery.baked.status = StoreOrderStatus(status)
    await market.add(bakery.baked)

    result = await fulfill(api, bakery.owner, bakery.baked, bakery.bread)

    assert result == {
        "__typename": "InvalidStoreOrderTransition",
        "status": status,
        "message": f"This part of the order is {status}; its items can't be fulfilled.",
    }
    assert await fulfilled(market, bakery.bread) == [False]


async def test_a_product_deleted_meanwhile_is_still_fulfilled(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner)
    bread = await market.product(store, deleted_at=datetime.now(UTC))
    order = await market.order(await market.user(), bread)

    result = await fulfill(api, owner, await market.store_order(order, store))

    assert result["storeOrder"]["status"] == "FULFILLED"


async def test_the_part_of_a_deleted_order_is_not_found(api: Api, market: Market, bakery: Bakery) -> None:
    for model, key in ((Order, bakery.order.id), (StoreOrder, bakery.baked.id)):
        await market.session.execute(update(model).where(model.id == key).values(deleted_at=datetime.now(UTC)))
    await market.session.commit()

    result = await fulfill(api, await market.superuser(), bakery.baked)

    assert (result["__typename"], result["missingId"]) == ("NotFound", gid(bakery.baked))
    assert await fulfilled(market, bakery.bread) == [False]


async def test_nobody_fulfills_without_a_login(api: Api, bakery: Bakery) -> None:
    error = await api.error(FULFILL, {"input": {"id": gid(bakery.baked)}})

    assert error["code"] == "UNAUTHENTICATED"


async def test_a_malformed_id_is_named(api: Api, bakery: Bakery) -> None:
    bread, order = gid(bakery.bread), gid(bakery.order)

    for given, path in (
        ({"id": order}, ["input", "id"]),
        ({"id": gid(bakery.baked), "itemIds": [bread, order]}, ["input", "itemIds", "1"]),
    ):
        error = await api.error(FULFILL, {"input": given}, user=bakery.owner)
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": path}


async def test_more_items_than_an_order_can_have_are_refused_at_once(api: Api, market: Market, bakery: Bakery) -> None:
    result = await fulfill(api, bakery.owner, bakery.baked, *[bakery.bread] * 101)

    assert result["__typename"] == "InvalidInput"
    assert kinds(result) == [(["input", "itemIds"], "TOO_MANY")]
