"""An order is split by store: each store sees its own part, fulfills or declines it, and the order's status follows."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product as combinations
from typing import Any

import pytest

from app.db.models import Order, OrderItem, OrderStatus, Product, Store, StoreOrder, StoreOrderStatus, User
from app.orders.service import status_of
from tests.api import Api
from tests.market import Market, gid
from tests.orders.store_orders import DECLINE, FULFILL, decline, fulfill

STATUS = "query ($id: ID!) { order(id: $id) { status storeOrders { status } totals { amount currency } } }"
OF_STORE = """
query ($id: ID!, $filter: StoreOrderFilter, $orderBy: OrderSort) {
  store(id: $id) { orders(filter: $filter, orderBy: $orderBy) { totalCount nodes { id number } } }
}
"""


@dataclass
class Shop:
    """An order of bread and cake from one store and wine from another, whose owner has a third store, too."""

    market: Market
    api: Api
    baker: User
    vintner: User
    customer: User
    bakery: Store
    winery: Store
    bread: Product
    cake: Product
    wine: Product
    order: Order
    items: dict[str, OrderItem]
    baked: StoreOrder
    pressed: StoreOrder

    async def status(self) -> tuple[str, list[str]]:
        """Return the status of the order, and of its parts, as its customer sees them."""
        order = (await self.api.data(STATUS, {"id": gid(self.order)}, user=self.customer))["order"]
        return order["status"], [part["status"] for part in order["storeOrders"]]

    async def cancel(self) -> Any:
        """Cancel the order and return the type of the result."""
        mutation = "mutation ($id: ID!) { cancelOrder(input: { id: $id }) { __typename } }"
        result = await self.api.data(mutation, {"id": gid(self.order)}, user=self.customer)
        return result["cancelOrder"]["__typename"]

    async def stock(self) -> list[int | None]:
        """Return how many of bread, cake and wine are left."""
        return [(await self.market.reload(each)).stock for each in (self.bread, self.cake, self.wine)]


@pytest.fixture
async def shop(api: Api, market: Market) -> Shop:
    baker, vintner, customer = await market.user(), await market.user(), await market.user(full_name="Ada Lovelace")
    bakery, winery = await market.store(baker), await market.store(vintner, currency="GBP")
    bread, cake = await market.product(bakery, stock=8), await market.product(bakery, stock=9)
    wine = await market.product(winery, stock=7)
    order = await market.order(customer)
    items = {
        "bread": await market.item(order, bread, quantity=2),
        "cake": await market.item(order, cake),
        "wine": await market.item(order, wine, quantity=3),
    }
    baked, pressed = await market.store_order(order, bakery), await market.store_order(order, winery)
    return Shop(market, api, baker, vintner, customer, bakery, winery, bread, cake, wine, order, items, baked, pressed)


async def test_each_store_sees_its_own_part_of_an_order(shop: Shop) -> None:
    query = """query ($store: ID!, $order: ID!) {
      store(id: $store) { orders { nodes {
        number store { id } total { amount currency } status customerName items { product { id } quantity }
      } } }
      order(id: $order) { id }
    }"""
    variables = {"store": gid(shop.bakery), "order": gid(shop.order)}

    data = await shop.api.data(query, variables, user=shop.baker)

    assert data["order"] is None
    assert data["store"]["orders"]["nodes"] == [
        {
            "number": shop.order.number,
            "store": {"id": gid(shop.bakery)},
            "total": {"amount": "30.00", "currency": "EUR"},
            "status": "OPEN",
            "customerName": "Ada Lovelace",
            "items": [
                {"product": {"id": gid(shop.bread)}, "quantity": 2},
                {"product": {"id": gid(shop.cake)}, "quantity": 1},
            ],
        }
    ]


@pytest.mark.parametrize(("viewer", "sees"), [("baker", True), ("customer", True), ("vintner", False), (None, False)])
async def test_a_part_is_visible_to_its_store_and_its_customer(shop: Shop, viewer: str | None, sees: bool) -> None:
    query = "query ($id: ID!) { node(id: $id) { id } }"
    user = getattr(shop, viewer) if viewer else None

    data = await shop.api.data(query, {"id": gid(shop.baked)}, user=user)

    assert data["node"] == ({"id": gid(shop.baked)} if sees else None)


@pytest.mark.parametrize("viewer", ["customer", "vintner", None])
async def test_the_orders_of_a_store_are_null_to_others(shop: Shop, viewer: str | None) -> None:
    user = getattr(shop, viewer) if viewer else None

    data = await shop.api.data(OF_STORE, {"id": gid(shop.bakery)}, user=user)

    assert data["store"]["orders"] is None


async def test_a_part_stays_open_until_all_of_it_is_fulfilled(shop: Shop) -> None:
    first = await fulfill(shop.api, shop.baker, shop.baked, shop.items["bread"])
    assert first["storeOrder"]["status"] == "OPEN"
    assert [item["fulfilledAt"] is not None for item in first["storeOrder"]["items"]] == [True, False]
    assert await shop.status() == ("PARTIALLY_FULFILLED", ["OPEN", "OPEN"])

    rest = await fulfill(shop.api, shop.baker, shop.baked)
    assert rest["storeOrder"]["status"] == "FULFILLED"
    assert rest["storeOrderEdge"]["node"]["id"] == gid(shop.baked)
    assert await shop.status() == ("PARTIALLY_FULFILLED", ["FULFILLED", "OPEN"])

    await fulfill(shop.api, shop.vintner, shop.pressed)
    assert await shop.status() == ("FULFILLED", ["FULFILLED", "FULFILLED"])


async def test_each_step_says_when_the_part_and_the_order_were_changed(shop: Shop) -> None:
    long_ago = shop.order.placed_at.replace(year=2020)
    shop.order.updated_at = shop.baked.updated_at = shop.pressed.updated_at = long_ago
    await shop.market.session.commit()

    await fulfill(shop.api, shop.baker, shop.baked, shop.items["bread"])

    assert (await shop.market.reload(shop.baked)).updated_at > long_ago
    assert (await shop.market.reload(shop.order)).updated_at > long_ago
    assert (await shop.market.reload(shop.pressed)).updated_at == long_ago


async def test_items_that_cannot_be_fulfilled_are_named(shop: Shop) -> None:
    await fulfill(shop.api, shop.baker, shop.baked, shop.items["bread"])

    result = await fulfill(
        shop.api,
        shop.baker,
        shop.baked,
        shop.items["cake"],
        shop.items["wine"],
        shop.items["bread"],
        shop.items["cake"],
    )

    assert {tuple(issue["path"]): issue["code"] for issue in result["issues"]} == {
        ("input", "itemIds", "1"): "NOT_IN_ORDER",
        ("input", "itemIds", "2"): "ALREADY_FULFILLED",
        ("input", "itemIds", "3"): "NOT_UNIQUE",
    }
    assert (await shop.market.reload(shop.items["cake"])).fulfilled_at is None


async def test_a_declined_part_returns_its_stock_and_the_rest_goes_on(shop: Shop) -> None:
    result = await decline(shop.api, shop.baker, shop.baked, "The oven is out")

    assert (result["storeOrder"]["status"], result["storeOrder"]["declineReason"]) == ("DECLINED", "The oven is out")
    assert result["storeOrder"]["total"] == {"amount": "30.00", "currency": "EUR"}
    assert await shop.stock() == [10, 10, 7]
    assert await shop.status() == ("PLACED", ["DECLINED", "OPEN"])
    await fulfill(shop.api, shop.vintner, shop.pressed)
    assert await shop.status() == ("FULFILLED", ["DECLINED", "FULFILLED"])


async def test_an_order_that_every_store_declines_is_cancelled(shop: Shop) -> None:
    await decline(shop.api, shop.baker, shop.baked)
    await decline(shop.api, shop.vintner, shop.pressed)

    assert await shop.status() == ("CANCELLED", ["DECLINED", "DECLINED"])
    assert await shop.cancel() == "InvalidTransition"
    assert await shop.stock() == [10, 10, 10]


async def test_cancelling_leaves_a_declined_part_and_returns_its_stock_only_once(shop: Shop) -> None:
    await decline(shop.api, shop.baker, shop.baked)

    assert await shop.cancel() == "CancelOrderSuccess"

    assert await shop.status() == ("CANCELLED", ["DECLINED", "CANCELLED"])
    assert await shop.stock() == [10, 10, 10]


async def test_an_order_cannot_be_cancelled_once_an_item_is_fulfilled(shop: Shop) -> None:
    await fulfill(shop.api, shop.baker, shop.baked, shop.items["bread"])

    assert await shop.cancel() == "InvalidTransition"
    assert await shop.stock() == [8, 9, 7]


@pytest.mark.parametrize("step", [fulfill, decline])
async def test_a_part_that_is_over_stays_so(shop: Shop, step: Any) -> None:
    await decline(shop.api, shop.baker, shop.baked)
    await fulfill(shop.api, shop.vintner, shop.pressed)

    results = [await step(shop.api, shop.baker, shop.baked), await step(shop.api, shop.vintner, shop.pressed)]

    assert [result["__typename"] for result in results] == ["InvalidStoreOrderTransition"] * 2
    assert [result["status"] for result in results] == ["DECLINED", "FULFILLED"]


async def test_a_part_cannot_be_declined_once_an_item_is_fulfilled(shop: Shop) -> None:
    await fulfill(shop.api, shop.baker, shop.baked, shop.items["bread"])

    result = await decline(shop.api, shop.baker, shop.baked)

    assert (result["__typename"], result["status"]) == ("InvalidStoreOrderTransition", "OPEN")
    assert await shop.stock() == [8, 9, 7]


@pytest.mark.parametrize(
    ("document", "given"), [(FULFILL, {}), (DECLINE, {"reason": "No"})], ids=["fulfill", "decline"]
)
async def test_who_sees_a_part_but_does_not_sell_it_is_forbidden(shop: Shop, document: str, given: Any) -> None:
    variables = {"input": {"id": gid(shop.baked), **given}}

    error = await shop.api.error(document, variables, user=shop.customer)
    (hidden,) = (await shop.api.data(document, variables, user=shop.vintner)).values()

    assert error["code"] == "FORBIDDEN"
    assert (hidden["__typename"], hidden["missingId"]) == ("NotFound", gid(shop.baked))
    assert await shop.status() == ("PLACED", ["OPEN", "OPEN"])


async def test_the_orders_of_a_store_are_filtered_and_sorted(shop: Shop) -> None:
    other = await shop.market.order(shop.customer, shop.bread, placed_at=shop.order.placed_at.replace(year=2020))
    await decline(shop.api, shop.baker, await shop.market.store_order(other, shop.bakery))

    async def numbers(**variables: Any) -> list[str]:
        data = await shop.api.data(OF_STORE, {"id": gid(shop.bakery), **variables}, user=shop.baker)
        return [node["number"] for node in data["store"]["orders"]["nodes"]]

    newest, oldest = shop.order.number, other.number
    assert await numbers() == [newest, oldest]
    assert await numbers(orderBy={"field": "PLACED_AT", "direction": "ASC"}) == [oldest, newest]
    assert await numbers(filter={"status": ["OPEN"]}) == [newest]
    assert await numbers(filter={"placedAt": {"lt": "2021-01-01T00:00:00Z"}}) == [oldest]
    assert await numbers(filter={"number": oldest.lower().replace("-", " ")}) == [oldest]
    assert await numbers(filter={"number": "0000-0000"}) == []


@pytest.mark.parametrize(
    "write", [str, str.lower, lambda number: f" {number.replace('-', ' ')} ", lambda number: number.replace("-", "")]
)
async def test_an_order_is_looked_up_by_its_number_however_it_is_written(
    shop: Shop, write: Callable[[str], str]
) -> None:
    query = "query ($number: String) { order(number: $number) { id } }"

    mine, others = [
        (await shop.api.data(query, {"number": write(shop.order.number)}, user=user))["order"]
        for user in (shop.customer, shop.baker)
    ]

    assert (mine, others) == ({"id": gid(shop.order)}, None)


@pytest.mark.parametrize(
    ("arguments", "argument", "message"),
    [
        ("id: $id, number: $number", "number", "`number` cannot be combined with `id`"),
        ("", "id", "`id` or `number` is required"),
        ("id: null", "id", "`id` or `number` is required"),
    ],
)
async def test_an_order_is_looked_up_by_one_of_the_two(shop: Shop, arguments: str, argument: str, message: str) -> None:
    head = "($id: ID, $number: String)" if "$" in arguments else ""
    query = f"query {head} {{ order{f'({arguments})' if arguments else ''} {{ id }} }}"
    variables = {"id": gid(shop.order), "number": shop.order.number} if head else {}

    error = await shop.api.error(query, variables, user=shop.customer)

    assert (error["message"], error["code"]) == (message, "BAD_USER_INPUT")
    assert error["extensions"]["argumentPath"] == [argument]


def test_the_status_of_an_order_follows_from_its_parts() -> None:
    begun, untouched = [OrderItem(fulfilled_at=object())], [OrderItem(fulfilled_at=None)]
    for statuses in combinations(StoreOrderStatus, repeat=3):
        parts = [StoreOrder(status=status) for status in statuses]
        left = {*statuses} - {StoreOrderStatus.DECLINED, StoreOrderStatus.CANCELLED}
        for items in (begun, untouched):
            expected = (
                OrderStatus.CANCELLED
                if not left
                else OrderStatus.FULFILLED
                if left == {StoreOrderStatus.FULFILLED}
                else OrderStatus.PARTIALLY_FULFILLED
                if items is begun
                else OrderStatus.PLACED
            )
            assert status_of(parts, items) is expected
