"""What followers are told: what is so now, and after each change that was committed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from tests.graphql.subscriptions.clients import connected, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PART, PLACED, PRODUCT, set_stock
from tests.market import gid
from tests.orders.operations import cancel, item, place
from tests.orders.store_orders import decline, fulfill
from tests.products.changes import update
from tests.stores import operations as stores
from tests.triggers import triggered


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
                "order": {
                    "id": gid(order),
                    "status": "PLACED",
                    "items": [{"quantity": 2, "product": {"name": shop.product.name}}],
                }
            }
        }
        await fulfill(shop.api, shop.owner, await shop.market.store_order(order, shop.store))
        assert (await client.next())["orderUpdated"]["order"]["status"] == "FULFILLED"


async def test_an_order_is_told_of_when_only_a_part_of_it_changed(shop: Shop) -> None:
    query = """
    subscription ($id: ID!) {
      orderUpdated(orderId: $id) { order { status storeOrders { status } items { fulfilledAt } } }
    }
    """
    cake = await shop.market.product(shop.store)
    wine = await shop.market.product(winery := await shop.market.store(shop.owner))
    order = await shop.market.order(shop.customer, shop.product, cake, wine)
    baked, pressed = [await shop.market.store_order(order, store) for store in (shop.store, winery)]
    async with connected(shop.address, shop.token(shop.customer)) as client:

        async def told() -> tuple[str, list[str], int]:
            """Return the status of the order and its parts, and how many items are fulfilled."""
            order = (await client.next())["orderUpdated"]["order"]
            fulfilled = [item for item in order["items"] if item["fulfilledAt"]]
            return order["status"], [part["status"] for part in order["storeOrders"]], len(fulfilled)

        await client.subscribe(query, {"id": gid(order)})
        assert await told() == ("PLACED", ["OPEN", "OPEN"], 0)

        await decline(shop.api, shop.owner, pressed)
        assert await told() == ("PLACED", ["OPEN", "DECLINED"], 0)
        await fulfill(shop.api, shop.owner, baked, await shop.item_of(order, cake))
        assert await told() == ("PARTIALLY_FULFILLED", ["OPEN", "DECLINED"], 1)
        await fulfill(shop.api, shop.owner, baked)
        assert await told() == ("FULFILLED", ["FULFILLED", "DECLINED"], 2)


async def test_a_part_of_an_order_is_told_as_it_is_and_after_each_step(shop: Shop) -> None:
    """Also when only one of its items changed."""
    cake = await shop.market.product(shop.store, name="Cake")
    order = await shop.market.order(shop.customer, shop.product, cake)
    part = await shop.market.store_order(order, shop.store)
    async with (
        connected(shop.address, shop.token(shop.customer)) as customer,
        connected(shop.address, shop.token(shop.owner)) as owner,
    ):

        async def told() -> tuple[str, list[str]]:
            """Return the status of the part and its fulfilled items, of which both are told the same."""
            first, second = [await client.next() for client in (customer, owner)]
            assert first == second
            told = first["storeOrderUpdated"]["storeOrder"]
            assert told["id"] == gid(part)
            return told["status"], [item["productName"] for item in told["items"] if item["fulfilledAt"]]

        for client in (customer, owner):
            await client.subscribe(PART, {"id": gid(part)})
        assert await told() == ("OPEN", [])
        items = (await fulfill(shop.api, shop.owner, part, await shop.item_of(order, cake)))["storeOrder"]["items"]
        assert await told() == ("OPEN", ["Cake"])
        await fulfill(shop.api, shop.owner, part)
        assert await told() == ("FULFILLED", [item["productName"] for item in items])


@pytest.mark.parametrize("status", ["DECLINED", "CANCELLED"])
async def test_a_part_that_is_given_up_is_told_to_both_sides(shop: Shop, status: str) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    part = await shop.market.store_order(order, shop.store)
    async with (
        connected(shop.address, shop.token(shop.customer)) as customer,
        connected(shop.address, shop.token(shop.owner)) as owner,
    ):
        for client in (customer, owner):
            await client.subscribe(PART, {"id": gid(part)})
            assert (await client.next())["storeOrderUpdated"]["storeOrder"]["status"] == "OPEN"

        if status == "DECLINED":
            await decline(shop.api, shop.owner, part, "Sold out")
        else:
            await cancel(shop.api, shop.customer, order)

        reason = "Sold out" if status == "DECLINED" else None
        for client in (customer, owner):
            told = (await client.next())["storeOrderUpdated"]["storeOrder"]
            assert (told["status"], told["declineReason"]) == (status, reason)


async def test_a_sale_is_told_to_who_follows_the_product_and_to_the_store(shop: Shop) -> None:
    async with connected(shop.address) as browser, connected(shop.address, shop.token(shop.owner)) as owner:
        await browser.subscribe(PRODUCT, {"id": gid(shop.product)})
        assert (await browser.next())["productUpdated"]["product"]["stock"] == 100
        await owner.subscribe(PLACED, {"id": gid(shop.store)})
        await shop.followed(2)

        placed = await place(shop.api, shop.customer, item(shop.product, 3))

        assert (await browser.next())["productUpdated"]["product"]["stock"] == 97
        told = (await owner.next())["storeOrderPlaced"]["storeOrder"]
        ((number,),) = await shop.sql("SELECT number FROM orders")
        assert told == {"number": number, "customerName": shop.customer.full_name, "items": [{"quantity": 3}]}
        await cancel(shop.api, shop.customer, placed["order"]["id"])
        assert (await browser.next())["productUpdated"]["product"]["stock"] == 100


AS_THE_FIRST_RELEASE = (
    "INSERT INTO orders (customer_id, id) VALUES (:customer, :order)",
    """
    INSERT INTO order_items (order_id, id, product_id, store_id, quantity, unit_price, currency, from_stock)
    SELECT :order, gen_random_uuid(), id, store_id, 4, price, currency, false FROM products WHERE id = :product
    """,
)


async def test_an_order_that_a_process_of_the_first_release_places_is_told_to_its_store(shop: Shop) -> None:
    """It knows nothing of parts: it notifies with the key of the order."""
    elsewhere, key = await shop.market.product(), uuid7()
    async with connected(shop.address, shop.token(shop.owner)) as owner:
        await owner.subscribe(PLACED, {"id": gid(shop.store)})
        await shop.followed(1)

        insert_order, insert_item = AS_THE_FIRST_RELEASE
        await shop.sql(insert_order, customer=shop.customer.id, order=key)
        for product in (elsewhere, shop.product):
            await shop.sql(insert_item, order=key, product=product.id)
        event = f"Placed {shop.store.id.hex} {key.hex}"
        await shop.sql("SELECT pg_notify('orders_api', :event)", event=event)

        told = (await owner.next())["storeOrderPlaced"]["storeOrder"]
        assert (told["customerName"], told["items"]) == (shop.customer.full_name, [{"quantity": 4}])


async def test_stock_that_is_counted_is_told(shop: Shop) -> None:
    async with connected(shop.address) as browser:
        await browser.subscribe(PRODUCT, {"id": gid(shop.product)})
        await browser.next()
        await set_stock(shop.api, shop.owner, shop.product, 7)
        assert (await browser.next())["productUpdated"]["product"]["stock"] == 7


async def test_a_product_that_is_deleted_with_its_store_ends_the_stream_of_everyone(shop: Shop) -> None:
    """Also of the owner, who may still look it up."""
    query = "subscription ($id: ID!) { productUpdated(productId: $id) { product { deletedAt } } }"
    async with connected(shop.address) as browser, connected(shop.address, shop.token(shop.owner)) as owner:
        for client in (browser, owner):
            await client.subscribe(query, {"id": gid(shop.product)})
            assert await client.next() == {"productUpdated": {"product": {"deletedAt": None}}}
        # From the second event on, it is read on the compiled path.
        await set_stock(shop.api, shop.owner, shop.product, 7)
        for client in (browser, owner):
            await client.next()

        await stores.delete(shop.api, shop.owner, shop.store)

        for client in (browser, owner):
            assert (await client.end())["code"] == "NOT_FOUND"
            await client.subscribe(query, {"id": gid(shop.product)}, id="again")
            assert await client.refusal() == "NOT_FOUND"
        await stores.restore(shop.api, shop.owner, shop.store)
        await owner.subscribe(query, {"id": gid(shop.product)}, id="restored")
        assert await owner.next("restored") == {"productUpdated": {"product": {"deletedAt": None}}}


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
        product = {"stock": 100, "price": {"amount": "11.00"}}
        assert await client.next("product") == {"productUpdated": {"product": product}}


SALE_AND_UPDATE = """
mutation ($items: [OrderItemInput!]!, $id: ID!) {
  placeOrder(input: { items: $items }) { __typename }
  updateProduct(input: { id: $id, price: "7" }) { __typename }
}
"""


async def undone_sale(shop: Shop) -> None:
    """A request that orders and whose commit fails: its transaction is undone."""
    async with triggered(shop.engine, "INSERT ON orders DEFERRABLE INITIALLY DEFERRED", "RAISE 'the disk is full'"):
        variables = {"items": [item(shop.product)], "id": gid(shop.product)}
        result = (await shop.api.send(SALE_AND_UPDATE, variables, user=shop.customer)).json()
    assert result["data"] is None
    assert result["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


async def test_a_sale_is_told_though_a_field_beside_it_failed(shop: Shop) -> None:
    async with connected(shop.address, shop.token(shop.owner)) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()

        variables = {"items": [item(shop.product)], "id": gid(shop.product)}
        result = await shop.api.execute(SALE_AND_UPDATE, variables, user=shop.customer)

        assert result["data"] == {"placeOrder": {"__typename": "PlaceOrderSuccess"}, "updateProduct": None}
        product = {"stock": 99, "price": {"amount": "10.00"}}
        assert await client.next() == {"productUpdated": {"product": product}}


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
        products = {message["id"]: message["payload"]["data"]["productUpdated"]["product"] for message in messages}
        told = {id: product["price"]["amount"] for id, product in products.items()}
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
                    assert message["payload"]["data"]["productUpdated"]["product"]["price"] == {"amount": "3.00"}
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


@pytest.mark.parametrize(
    "document",
    [
        "subscription ($id: ID!) { productUpdated(productId: $id) { product { __typename id name } } }",
        'subscription { productUpdated(productId: "%s") { product { name store { name owner { fullName } } } } }',
        """subscription A($id: ID!) { it: productUpdated(productId: $id) { product { ...Named price { currency } } } }
        fragment Named on Product { name }""",
        """subscription ($id: ID!) { productUpdated(productId: $id) { ...Event } }
        fragment Event on ProductUpdatedEvent { kind: __typename product { id } again: product { name } ...More }
        fragment More on ProductUpdatedEvent { product { store { orders { totalCount } } } }""",
        """subscription ($id: ID!, $no: Boolean = false) {
          productUpdated(productId: $id) { product { name stock @include(if: $no) } product @skip(if: $no) { id } }
        }""",
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


async def test_an_order_is_read_on_either_path_as_its_customer_sees_it(
    shop: Shop, changed_settings: dict[str, Any]
) -> None:
    query = """
    subscription ($id: ID!) {
      orderUpdated(orderId: $id) {
        order {
          id placedAt customer { email orders { totalCount } } items { product { store { orders { totalCount } } } }
        }
      }
    }
    """
    order = await shop.market.order(shop.customer, shop.product, await shop.market.product())
    with capture_logs() as entries:
        async with connected(shop.address, shop.token(shop.customer)) as client:
            await client.subscribe(query, {"id": gid(order)})
            first = await client.next()
            await fulfill(shop.api, shop.owner, await shop.market.store_order(order, shop.store))
            assert await client.next() == first
        await shop.followed(0)
    seen = first["orderUpdated"]["order"]
    assert seen["customer"] == {"email": shop.customer.email, "orders": {"totalCount": 1}}
    assert [item["product"]["store"] for item in seen["items"]] == [{"orders": None}] * 2
    paths = [entry["path"] for entry in subscriptions(entries)]
    assert paths == ["compiled" if changed_settings["compiled_path"] else "resolver"]


async def test_a_part_of_an_order_is_read_on_either_path_as_its_store_sees_it(
    shop: Shop, changed_settings: dict[str, Any]
) -> None:
    query = """
    subscription ($id: ID!) {
      storeOrderUpdated(storeOrderId: $id) {
        storeOrder {
          number customerName note total { amount } shippingAddress { recipient lines city postcode country phone }
          store { orders { totalCount } } items { product { store { owner { email orders { totalCount } } } } }
        }
      }
    }
    """
    address: dict[str, Any] = {"recipient": "Ada", "address_lines": ["Floor 3"], "city": "Berlin", "country": "DE"}
    elsewhere = await shop.market.product()
    order = await shop.market.order(shop.customer, shop.product, elsewhere, note="Ring twice", **address)
    part = await shop.market.store_order(order, shop.store)
    with capture_logs() as entries:
        async with connected(shop.address, shop.token(shop.owner)) as client:
            await client.subscribe(query, {"id": gid(part)})
            first = await client.next()
            await fulfill(shop.api, shop.owner, part)
            assert await client.next() == first
        await shop.followed(0)
    owner = {"email": shop.owner.email, "orders": {"totalCount": 0}}
    assert first["storeOrderUpdated"]["storeOrder"] == {
        "number": order.number,
        "customerName": shop.customer.full_name,
        "note": "Ring twice",
        "total": {"amount": "10.00"},
        "shippingAddress": {
            "recipient": "Ada",
            "lines": ["Floor 3"],
            "city": "Berlin",
            "postcode": None,
            "country": "DE",
            "phone": None,
        },
        "store": {"orders": {"totalCount": 1}},
        "items": [{"product": {"store": {"owner": owner}}}],
    }
    paths = [entry["path"] for entry in subscriptions(entries)]
    assert paths == ["compiled" if changed_settings["compiled_path"] else "resolver"]
