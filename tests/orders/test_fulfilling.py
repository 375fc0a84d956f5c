"""Each owner fulfils the items of their own stores; the order is fulfilled when the last of them is."""

from datetime import UTC, datetime

import pytest

from app.db.models import OrderItem, OrderStatus
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import FULFIL, NOBODY_ID, fulfil
from tests.statements import Statements

ITEMS = "query ($id: ID!) { order(id: $id) { status items { product { id } fulfilledAt } } }"


async def test_each_owner_fulfils_their_own_items_until_all_are(api: Api, market: Market) -> None:
    baker, vintner = await market.user(), await market.user()
    bread, wine = await market.product(await market.store(baker)), await market.product(await market.store(vintner))
    order = await market.order(await market.user(), bread, wine)

    after_bread = await fulfil(api, baker, order, bread)
    after_wine = await fulfil(api, vintner, order, wine)

    assert (after_bread["status"], after_wine["status"]) == ("PARTIALLY_FULFILLED", "FULFILLED")
    for payload, product in ((after_bread, bread), (after_wine, wine)):
        assert [item["product"]["id"] for item in payload["items"]] == [gid(product)]
        assert payload["items"][0]["fulfilledAt"] is not None


async def test_only_the_items_named_are_fulfilled(api: Api, market: Market) -> None:
    owner, customer = await market.user(), await market.user()
    store = await market.store(owner)
    bread, cake, roll = [await market.product(store) for _ in range(3)]
    order = await market.order(customer, bread, cake, roll)

    await fulfil(api, owner, order, bread, roll)

    seen = (await api.data(ITEMS, {"id": gid(order)}, user=customer))["order"]
    assert seen["status"] == "PARTIALLY_FULFILLED"
    assert {item["product"]["id"]: item["fulfilledAt"] is not None for item in seen["items"]} == {
        gid(bread): True,
        gid(cake): False,
        gid(roll): True,
    }


@pytest.mark.parametrize("number", [1, 5])
async def test_all_items_are_fulfilled_in_one_statement(
    api: Api, market: Market, statements: Statements, number: int
) -> None:
    owner = await market.user()
    store = await market.store(owner)
    products = [await market.product(store) for _ in range(number)]
    order = await market.order(await market.user(), *products)
    statements.clear()

    await fulfil(api, owner, order, *products)

    assert sum(statement.startswith("UPDATE order_items") for statement in statements) == 1


async def test_a_superuser_may_fulfil_the_items_of_every_store(api: Api, market: Market) -> None:
    bread, wine = await market.product(), await market.product()
    order = await market.order(await market.user(), bread, wine)

    payload = await fulfil(api, await market.superuser(), order, bread, wine)

    assert payload["status"] == "FULFILLED"
    assert len(payload["items"]) == 2


async def test_an_item_is_fulfilled_only_once(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner)
    bread, cake = await market.product(store), await market.product(store)
    order = await market.order(await market.user(), cake)
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    done = await market.item(order, bread, fulfilled_at=moment)

    result = await fulfil(api, owner, order, cake, bread)

    assert result["__typename"] == "InvalidInput"
    assert [issue["path"] for issue in result["issues"]] == [["productIds", "1"]]
    assert (await market.reload(done)).fulfilled_at == moment


async def test_nothing_is_fulfilled_where_one_of_the_products_is_wrong(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner)
    bread, other = await market.product(store), await market.product(store)
    order = await market.order(await market.user())
    item = await market.item(order, bread)

    await fulfil(api, owner, order, bread, other)

    assert (await market.reload(item)).fulfilled_at is None
    assert (await market.reload(order)).status is OrderStatus.PLACED


async def test_an_item_of_another_store_is_answered_like_no_item(api: Api, market: Market) -> None:
    owner = await market.user()
    bread, wine, elsewhere = await market.product(await market.store(owner)), *[await market.product() for _ in "ab"]
    order = await market.order(await market.user(), bread)
    foreign = await market.item(order, wine)

    of_another_store = await fulfil(api, owner, order, wine)
    of_no_item = await fulfil(api, owner, order, elsewhere)

    assert of_another_store["__typename"] == "InvalidInput"
    assert [issue["path"] for issue in of_another_store["issues"]] == [["productIds", "0"]]
    assert of_another_store == of_no_item
    assert (await market.reload(foreign)).fulfilled_at is None


async def test_an_order_without_an_item_of_yours_is_answered_like_none(api: Api, market: Market) -> None:
    owner, nothing = await market.user(), f"Order_{NOBODY_ID}"
    await market.product(await market.store(owner))
    wine = await market.product()
    order = await market.order(await market.user(), wine)

    foreign, absent = await fulfil(api, owner, order, wine), await fulfil(api, owner, nothing, wine)

    assert foreign == {**absent, "id": gid(order)}
    assert absent == {"__typename": "NotFound", "id": nothing, "message": "There is no such Order."}


async def test_the_customer_does_not_fulfil(api: Api, market: Market) -> None:
    customer, bread = await market.user(), await market.product()
    order = await market.order(customer)
    item = await market.item(order, bread)

    result = await api.execute(FULFIL, {"orderId": gid(order), "productIds": [gid(bread)]}, user=customer)

    assert not result["data"] or result["data"]["fulfillOrderItems"]["__typename"] != "Order"
    assert (await market.reload(item)).fulfilled_at is None
    assert (await market.reload(order)).status is OrderStatus.PLACED


async def test_no_products_at_all_are_refused(api: Api, market: Market) -> None:
    owner = await market.user()
    order = await market.order(await market.user(), await market.product(await market.store(owner)))

    result = await fulfil(api, owner, order)

    assert [issue["path"] for issue in result["issues"]] == [["productIds"]]


async def test_a_product_named_twice_is_refused(api: Api, market: Market) -> None:
    owner = await market.user()
    bread = await market.product(await market.store(owner))
    order = await market.order(await market.user())
    item = await market.item(order, bread)

    result = await fulfil(api, owner, order, bread, bread)

    assert [issue["path"] for issue in result["issues"]] == [["productIds", "1"]]
    assert (await market.reload(item)).fulfilled_at is None


@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.FULFILLED])
async def test_an_order_that_is_over_is_not_fulfilled(api: Api, market: Market, status: OrderStatus) -> None:
    owner = await market.user()
    bread = await market.product(await market.store(owner))
    order = await market.order(await market.user(), status=status)
    item: OrderItem = await market.item(order, bread)

    result = await fulfil(api, owner, order, bread)

    assert result == {"__typename": "InvalidTransition", "status": status.value}
    assert (await market.reload(item)).fulfilled_at is None


async def test_a_product_deleted_meanwhile_is_still_fulfilled(api: Api, market: Market) -> None:
    owner = await market.user()
    bread = await market.product(await market.store(owner), deleted_at=datetime.now(UTC))
    order = await market.order(await market.user(), bread)

    assert (await fulfil(api, owner, order, bread))["status"] == "FULFILLED"


async def test_nobody_fulfils_without_a_login(api: Api, market: Market) -> None:
    bread = await market.product()
    order = await market.order(await market.user(), bread)

    error = await api.error(FULFIL, {"orderId": gid(order), "productIds": [gid(bread)]})

    assert error["code"] == "UNAUTHENTICATED"


async def test_a_malformed_product_id_is_named(api: Api, market: Market) -> None:
    bread = await market.product()
    order = await market.order(await market.user(), bread)
    variables = {"orderId": gid(order), "productIds": [gid(bread), gid(order)]}

    error = await api.error(FULFIL, variables, user=await market.user())

    assert (error["code"], error["extensions"]["argument"]) == ("BAD_USER_INPUT", "input.productIds.1")


async def test_more_items_than_an_order_can_have_are_refused_at_once(api: Api, market: Market) -> None:
    owner = await market.user()
    bread = await market.product(await market.store(owner))
    order = await market.order(await market.user(), bread)

    payload = await fulfil(api, owner, order, *[bread] * 101)

    assert payload["__typename"] == "InvalidInput"
    assert [issue["path"] for issue in payload["issues"]] == [["productIds"]]
