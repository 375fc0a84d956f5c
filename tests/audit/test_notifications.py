"""Every change notifies the followers of what it changed, and of nothing else, once it is committed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Order, OrderItem, Product, Store, StoreOrder, User
from app.events.catalog import followed
from tests.api import Api
from tests.events import Log
from tests.market import Market, gid
from tests.orders.operations import cancel, delete, item, place
from tests.orders.store_orders import decline, fulfill
from tests.products.changes import adjust_stock, set_stock, update_many
from tests.stores.operations import delete as delete_store
from tests.stores.operations import restore as restore_store


@pytest.fixture
async def heard(committed_engine: AsyncEngine, direct_url: str) -> AsyncIterator[Log]:
    async with Log.opened(direct_url) as log:
        yield log


async def notified(log: Log) -> set[str]:
    """Return whose followers the new events notify."""
    found = [
        (event, followed(event.type, event.entity_id, event.store_id, event.payload)) for event in await log.events()
    ]
    assert len({(event.type, event.entity_id) for event, _ in found}) == len(found)
    topics = [each for _, each in found if each is not None]
    return {f"{topic.kind}_{topic.key}" + (f" {subject}" if topic.key != subject else "") for topic, subject in topics}


@dataclass
class Fair:
    """An order of bread and cake from one store and of wine from another; the stock of cake isn't tracked any more."""

    api: Api
    superuser: User
    bakery: Store
    cellar: Store
    bread: Product
    cake: Product
    wine: Product
    order: Order
    bread_item: OrderItem
    baked: StoreOrder
    pressed: StoreOrder


@pytest.fixture
async def fair(committed_api: Api, committed_market: Market) -> Fair:
    market = committed_market
    superuser, bakery, cellar = await market.superuser(), await market.store(), await market.store()
    bread, cake = await market.product(bakery, stock=8), await market.product(bakery)
    wine = await market.product(cellar, stock=8)
    order = await market.order(await market.user())
    bread_item = await market.item(order, bread)
    await market.item(order, cake)
    await market.item(order, wine)
    baked, pressed = await market.store_order(order, bakery), await market.store_order(order, cellar)
    return Fair(committed_api, superuser, bakery, cellar, bread, cake, wine, order, bread_item, baked, pressed)


Step = Callable[[Fair], Awaitable[Any]]
STEPS: dict[str, tuple[Step, list[str]]] = {
    "fulfill some": (lambda fair: fulfill(fair.api, fair.superuser, fair.baked, fair.bread_item), ["order", "baked"]),
    "fulfill all": (lambda fair: fulfill(fair.api, fair.superuser, fair.pressed), ["order", "pressed"]),
    "decline": (lambda fair: decline(fair.api, fair.superuser, fair.pressed), ["order", "pressed", "wine"]),
    "cancel": (
        lambda fair: cancel(fair.api, fair.superuser, fair.order),
        ["order", "baked", "pressed", "bread", "wine"],
    ),
    "delete": (
        lambda fair: delete(fair.api, fair.superuser, fair.order),
        ["order", "baked", "pressed", "bread", "wine"],
    ),
    "adjust stock": (
        lambda fair: adjust_stock(fair.api, fair.superuser, productId=gid(fair.bread), delta=1),
        ["bread"],
    ),
    "adjust stock by nothing": (
        lambda fair: adjust_stock(fair.api, fair.superuser, productId=gid(fair.bread), delta=0),
        [],
    ),
    "set stock": (lambda fair: set_stock(fair.api, fair.superuser, productId=gid(fair.wine), stock=1), ["wine"]),
    "set the same stock": (lambda fair: set_stock(fair.api, fair.superuser, productId=gid(fair.wine), stock=8), []),
    "update products": (
        lambda fair: update_many(
            fair.api,
            fair.superuser,
            {"id": gid(fair.bread), "price": 3},
            {"id": gid(fair.cake), "name": fair.cake.name},
            {"id": gid(fair.wine), "name": "Wine"},
        ),
        ["bread", "wine"],
    ),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_notifies_of_everything_that_it_changed_and_of_nothing_else(
    fair: Fair, heard: Log, step: str
) -> None:
    take, changed = STEPS[step]

    result = await take(fair)

    assert result["__typename"].endswith("Success")
    assert await notified(heard) == {gid(getattr(fair, name)) for name in changed}


async def test_a_new_order_notifies_its_stores_and_the_followers_of_what_it_took(fair: Fair, heard: Log) -> None:
    placed = await place(fair.api, fair.superuser, item(fair.wine), item(fair.cake), item(fair.bread, 2))

    key = placed["order"]["id"].removeprefix("Order_")
    stores = {f"Placed_{store.id} {key}" for store in (fair.bakery, fair.cellar)}
    assert await notified(heard) == {*stores, gid(fair.wine), gid(fair.bread)}


async def test_a_store_is_one_event_however_many_products_it_has(fair: Fair, heard: Log) -> None:
    for change, type_ in ((delete_store, "store.deleted"), (restore_store, "store.restored")):
        await change(fair.api, fair.superuser, fair.bakery)

        (event,) = await heard.events()
        assert (event.type, event.entity_id, event.store_id) == (type_, fair.bakery.id, fair.bakery.id)


async def test_what_fails_notifies_of_nothing(fair: Fair, heard: Log) -> None:
    results = [
        await fulfill(fair.api, fair.superuser, fair.baked, fair.bread_item, fair.bread_item),
        await decline(fair.api, fair.superuser, fair.baked, ""),
        await adjust_stock(fair.api, fair.superuser, productId=gid(fair.bread), delta=-9),
        await set_stock(fair.api, fair.superuser, productId=gid(fair.bread), stock=1, expectedStock=9),
        await update_many(fair.api, fair.superuser, {"id": gid(fair.bread), "price": 3, "expectedVersion": 9}),
        await place(fair.api, fair.superuser, item(fair.cake), item(fair.bread, 9)),
    ]

    assert not [result for result in results if result["__typename"].endswith("Success")]
    assert await notified(heard) == set()
