"""Only a superuser deletes an order; afterwards nobody sees it any more."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Order, OrderItem, OrderStatus, StoreOrder, StoreOrderStatus
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import DELETE, NOBODY_ID, cancel, delete, item, place, stock_of
from tests.orders.store_orders import decline, fulfill

EVERYWHERE = """
query ($order: ID!, $part: ID!, $item: ID!, $store: ID!, $customer: ID!) {
  order(id: $order) { id }
  node(id: $order) { id }
  nodes(ids: [$part, $item]) { id }
  orders { nodes { id } totalCount }
  store(id: $store) { orders { nodes { id } totalCount } }
  user(id: $customer) { orders { nodes { id } totalCount } }
}
"""
NOTHING = {"nodes": [], "totalCount": 0}


async def test_a_deleted_order_is_invisible_everywhere(api: Api, market: Market, connection: AsyncConnection) -> None:
    owner, customer, superuser = await market.user(), await market.user(), await market.superuser()
    store = await market.store(owner)
    order = await market.order(customer, await market.product(store))
    item_id = await connection.scalar(select(OrderItem.id))
    part = await market.store_order(order, store)

    assert await delete(api, superuser, order) == {"__typename": "DeleteOrderSuccess", "deletedOrderId": gid(order)}

    variables = {"order": gid(order), "part": gid(part), "item": f"OrderItem_{item_id}"}
    variables |= {"store": gid(store), "customer": gid(customer)}
    for viewer, of_store, of_user in ((owner, NOTHING, None), (customer, None, NOTHING), (superuser, NOTHING, NOTHING)):
        assert await api.data(EVERYWHERE, variables, user=viewer) == {
            "order": None,
            "node": None,
            "nodes": [None, None],
            "orders": NOTHING,
            "store": {"orders": of_store},
            "user": {"orders": of_user},
        }


async def test_a_deleted_order_is_not_found_by_any_mutation(api: Api, market: Market) -> None:
    superuser, product = await market.superuser(), await market.product(stock=10)
    order = (await place(api, superuser, item(product, 4)))["order"]
    await delete(api, superuser, order["id"])

    results = [await cancel(api, superuser, order["id"]), await delete(api, superuser, order["id"])]
    (part,) = order["storeOrders"]
    of_part = [await fulfill(api, superuser, part["id"]), await decline(api, superuser, part["id"])]

    gone = {"__typename": "NotFound", "missingId": order["id"], "message": "There is no such Order."}
    assert results == [gone, gone]
    part_gone = {"__typename": "NotFound", "missingId": part["id"], "message": "There is no such StoreOrder."}
    assert of_part == [part_gone, part_gone]
    assert await stock_of(market, product) == 10


async def test_deleting_an_order_that_is_placed_cancels_its_parts(api: Api, market: Market) -> None:
    order = await market.order(await market.user(), await market.product(), await market.product())
    parts = select(StoreOrder).where(StoreOrder.order_id == order.id)
    declined, cancelled = (await market.session.scalars(parts)).all()
    declined.status = StoreOrderStatus.DECLINED
    await market.add(declined)

    await delete(api, await market.superuser(), order)

    assert (await market.reload(declined)).status is StoreOrderStatus.DECLINED
    assert (await market.reload(cancelled)).status is StoreOrderStatus.CANCELLED
    assert (await market.reload(order)).deleted_at == declined.deleted_at == cancelled.deleted_at is not None


async def test_deleting_gives_back_the_stock_of_an_order_that_is_placed(api: Api, market: Market) -> None:
    product = await market.product(stock=10)
    order = (await place(api, await market.user(), item(product, 4)))["order"]

    await delete(api, await market.superuser(), order["id"])

    assert await stock_of(market, product) == 10


async def test_deleting_gives_back_no_stock_a_second_time(api: Api, market: Market) -> None:
    customer, product = await market.user(), await market.product(stock=10)
    order = (await place(api, customer, item(product, 4)))["order"]
    await cancel(api, customer, order["id"])

    await delete(api, await market.superuser(), order["id"])

    assert await stock_of(market, product) == 10


@pytest.mark.parametrize("status", [OrderStatus.PARTIALLY_FULFILLED, OrderStatus.FULFILLED])
async def test_deleting_gives_back_nothing_of_what_was_sent(api: Api, market: Market, status: OrderStatus) -> None:
    product = await market.product(stock=6)
    order = await market.order(await market.user(), product, quantity=4, status=status)

    await delete(api, await market.superuser(), order)

    assert await stock_of(market, product) == 6


@pytest.mark.parametrize("who", ["customer", "owner", "stranger"])
async def test_nobody_but_a_superuser_deletes_an_order(api: Api, market: Market, who: str) -> None:
    users = {"customer": await market.user(), "owner": await market.user(), "stranger": await market.user()}
    product = await market.product(await market.store(users["owner"]), stock=6)
    order = await market.order(users["customer"], product)

    error = await api.error(DELETE, {"id": gid(order)}, user=users[who])
    absent = await api.error(DELETE, {"id": f"Order_{NOBODY_ID}"}, user=users[who])

    assert error["code"] == "FORBIDDEN"
    assert error == absent
    assert (await market.reload(order)).deleted_at is None
    assert await stock_of(market, product) == 6


async def test_nobody_deletes_an_order_without_a_login(api: Api, market: Market) -> None:
    order: Order = await market.order(await market.user(), await market.product())

    error = await api.error(DELETE, {"id": gid(order)})

    assert error["code"] == "UNAUTHENTICATED"
    assert (await market.reload(order)).deleted_at is None


async def test_an_order_that_does_not_exist_is_not_found(api: Api, market: Market) -> None:
    nothing = f"Order_{NOBODY_ID}"

    result = await delete(api, await market.superuser(), nothing)

    assert result == {"__typename": "NotFound", "missingId": nothing, "message": "There is no such Order."}
