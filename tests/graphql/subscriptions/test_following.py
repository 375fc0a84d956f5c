"""What followers are told: what is so now, and after each change that was committed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.db import notifications as events
from app.db.notifications import Event, Topic
from tests.graphql.subscriptions.clients import connected, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PLACED, PRODUCT
from tests.market import gid
from tests.orders.operations import cancel, fulfil, item, place
from tests.products.changes import create_many, update
from tests.stores import operations as stores


@pytest.fixture(params=[False, True], ids=["resolver", "compiled"])
def changed_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Both paths: what is told is the same, and to whom."""
    return {"compiled_path": request.param}


async def test_an_order_is_told_as_it_is_and_after_each_step(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product, quantity=2)
    async with connected(shop.address, shop.token(shop.customer)) as client:
        await client.subscribe(ORDER, {"id": gid(order)})
        assert await client.next() == {
            "orderUpdated": {
                "id": gid(order),
                "status": "PLACED",
                "items": [{"quantity": 2, "product": {"name": shop.product.name}}],
            }
        }
        await fulfil(shop.api, shop.owner, gid(order), shop.product)
        assert (await client.next())["orderUpdated"]["status"] == "FULFILLED"


async def test_a_sale_is_told_to_who_follows_the_product_and_to_the_store(shop: Shop) -> None:
    async with connected(shop.address) as browser, connected(shop.address, shop.token(shop.owner)) as owner:
        await browser.subscribe(PRODUCT, {"id": gid(shop.product)})
        assert (await browser.next())["productUpdated"]["stock"] == 100
        await owner.subscribe(PLACED, {"id": gid(shop.store)})
        await shop.followed(2)

        order = await place(shop.api, shop.customer, item(shop.product, 3))

        assert (await browser.next())["productUpdated"]["stock"] == 97
        assert await owner.next() == {
            "storeOrderPlaced": {"id": order["id"], "customer": {"id": gid(shop.customer)}, "items": [{"quantity": 3}]}
        }
        await cancel(shop.api, shop.customer, order["id"])
        assert (await browser.next())["productUpdated"]["stock"] == 100


async def test_a_store_that_closes_takes_its_products_away_from_all_but_its_owner(shop: Shop) -> None:
    query = "subscription ($id: ID!) { productUpdated(productId: $id) { deletedAt } }"
    async with connected(shop.address) as browser, connected(shop.address, shop.token(shop.owner)) as owner:
        for client in (browser, owner):
            await client.subscribe(query, {"id": gid(shop.product)})
            assert await client.next() == {"productUpdated": {"deletedAt": None}}

        await stores.delete(shop.api, shop.owner, shop.store)

        assert (await browser.end())["code"] == "NOT_FOUND"
        assert (await owner.next())["productUpdated"]["deletedAt"] is not None
        await stores.restore(shop.api, shop.owner, shop.store)
        assert await owner.next() == {"productUpdated": {"deletedAt": None}}


async def test_what_is_rolled_back_is_not_told(shop: Shop) -> None:
    async with connected(shop.address, shop.token(shop.owner)) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id="product")
        await client.next("product")
        await client.subscribe(PLACED, {"id": gid(shop.store)}, id="store")
        await shop.followed(2)

        refused = await place(shop.api, shop.customer, item(shop.product, 101))
        assert refused["__typename"] == "InsufficientStock"
        await undone_sale(shop)

        await client.subscribe("{ __typename }", id="afterwards")
        assert (await client.receive())["id"] == "afterwards"
        assert await client.receive() == {"id": "afterwards", "type": "complete"}
        await update(shop.api, shop.owner, id=gid(shop.product), price="11")
        assert await client.next("product") == {"productUpdated": {"stock": 100, "price": {"amount": "11.00"}}}


async def undone_sale(shop: Shop) -> None:
    """A request that orders and may not do the rest: its transaction is undone."""
    document = """mutation ($items: [OrderItemInput!]!, $id: ID!) {
      placeOrder(input: { items: $items }) { __typename }
      updateProduct(input: { id: $id, price: "7" }) { __typename }
    }"""
    variables = {"items": [item(shop.product)], "id": gid(shop.product)}
    result = await shop.api.execute(document, variables, user=shop.customer)
    assert result["data"] is None
    assert [(error["path"], error["extensions"]["code"]) for error in result["errors"]] == [
        (["updateProduct"], "FORBIDDEN")
    ]


async def test_fields_of_one_request_are_told_of_once_it_is_committed(shop: Shop) -> None:
    other = await shop.market.product(shop.store)
    document = """mutation ($first: UpdateProductInput!, $second: UpdateProductInput!) {
      first: updateProduct(input: $first) { __typename }
      second: updateProduct(input: $second) { __typename }
    }"""
    async with connected(shop.address) as client:
        for product in (shop.product, other):
            await client.subscribe(PRODUCT, {"id": gid(product)}, id=gid(product))
            await client.next(gid(product))

        variables = {"first": {"id": gid(shop.product), "price": "5"}, "second": {"id": gid(other), "price": "6"}}
        await shop.api.data(document, variables, user=shop.owner)

        messages = [await client.receive(), await client.receive()]
        told = {message["id"]: message["payload"]["data"]["productUpdated"]["price"]["amount"] for message in messages}
        assert told == {gid(shop.product): "5.00", gid(other): "6.00"}


async def test_followers_of_the_same_share_a_read(shop: Shop) -> None:
    with capture_logs() as entries:
        async with connected(shop.address) as first, connected(shop.address) as second:
            clients = [first, second]
            for number in range(40):
                await clients[number % 2].subscribe(PRODUCT, {"id": gid(shop.product)}, id=str(number))
            for client in clients:
                for _ in range(20):
                    await client.receive()
            await update(shop.api, shop.owner, id=gid(shop.product), price="3")
            for client in clients:
                for _ in range(20):
                    message = await client.receive()
                    assert message["payload"]["data"]["productUpdated"]["price"] == {"amount": "3.00"}
        await shop.followed(0)
        await until(lambda: len(subscriptions(entries)) == 40)
    assert sum(entry["statements"] for entry in subscriptions(entries)) == 40 + 1


def subscriptions(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the lines of subscriptions in a log."""
    return [entry for entry in entries if entry.get("type") == "subscription"]


async def test_no_connection_is_held_between_events(shop: Shop) -> None:
    async with connected(shop.address, shop.token(shop.owner)) as client:
        for number in range(30):
            await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id=str(number))
        for _ in range(30):
            await client.receive()
        await shop.followed(30)
        assert shop.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pool that it is


async def test_a_thousand_new_products_are_no_events(shop: Shop) -> None:
    heard: list[str] = []
    async with shop.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.add_listener(events.CHANNEL, lambda *arguments: heard.append(arguments[-1]))
        many = [{"name": f"No. {number}", "price": "1"} for number in range(100)]
        await create_many(shop.api, shop.owner, gid(shop.store), many)
        await update(shop.api, shop.owner, id=gid(shop.product), price="2")
        await driver.fetchval("SELECT 1")  # what was told before it has been heard by then
        await driver.remove_listener(events.CHANNEL, lambda: None)
        await driver.reset()
    assert [Event.parse(text).topic for text in heard] == [Topic("Product", shop.product.id)]


@pytest.mark.parametrize(
    "document",
    [
        "subscription ($id: ID!) { productUpdated(productId: $id) { __typename id name } }",
        'subscription { productUpdated(productId: "%s") { name store { name owner { fullName } } } }',
        """subscription A($id: ID!) { it: productUpdated(productId: $id) { ...Named price { currency } } }
        fragment Named on Product { name }""",
    ],
)
async def test_both_paths_say_the_same(shop: Shop, changed_settings: dict[str, Any], document: str) -> None:
    with capture_logs() as entries:
        async with connected(shop.address, shop.token(shop.customer)) as client:
            await client.subscribe(document.replace("%s", gid(shop.product)), {"id": gid(shop.product)})
            first = await client.receive()
            assert "errors" not in first["payload"]
            await update(shop.api, shop.owner, id=gid(shop.product), price="3")
            assert await client.receive() == first
        await shop.followed(0)
    paths = [entry["path"] for entry in subscriptions(entries)]
    assert paths == ["compiled" if changed_settings["compiled_path"] else "resolver"]
