"""What followers are told: what is so now, and after each change that was committed."""

from tests.live.clients import connected
from tests.live.conftest import Shop
from tests.market import gid
from tests.orders.operations import cancel, fulfil, item, place

ORDER = "subscription ($id: ID!) { orderUpdated(orderId: $id) { id status items { quantity product { name } } } }"
PRODUCT = "subscription ($id: ID!) { productUpdated(productId: $id) { stock price { amount } } }"
PLACED = "subscription ($id: ID!) { storeOrderPlaced(storeId: $id) { id customer { id } items { quantity } } }"


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
    async with (
        connected(shop.address) as browser,
        connected(shop.address, shop.token(shop.owner)) as owner,
    ):
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
