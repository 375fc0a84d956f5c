"""Every change notifies the followers of what it changed, and of nothing else, once it is committed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Order, OrderItem, Product, Store, StoreOrder, User
from app.db.notifications import CHANNEL, EVENTS_PER_TEXT, Event
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import cancel, delete, item, place
from tests.orders.store_orders import decline, fulfill
from tests.products.changes import adjust_stock, set_stock, update_many
from tests.stores.operations import delete as delete_store
from tests.stores.operations import restore as restore_store

SECONDS = 10
END = "the end"


class Heard:
    """The events that were delivered since this was asked for last."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.sizes: list[int] = []
        """How many events each text had."""

    async def events(self) -> set[str]:
        """Return what the events are about; a note of our own, sent last, tells that there are no others."""
        async with self.engine.begin() as connection:
            await connection.execute(text("SELECT pg_notify(:channel, :end)"), {"channel": CHANNEL, "end": END})
        texts: list[str] = []
        async with asyncio.timeout(SECONDS):
            while (packed := await self.texts.get()) != END:
                texts.append(packed)
        heard = [Event.parse(line) for packed in texts for line in packed.splitlines()]
        self.sizes = [len(packed.splitlines()) for packed in texts]
        assert len(heard) == len(set(heard))
        return {
            f"{event.topic.kind}_{event.topic.key}" + (f" {event.subject}" if event.topic.key != event.subject else "")
            for event in heard
        }


@pytest.fixture
async def heard(committed_engine: AsyncEngine, direct_url: str) -> AsyncIterator[Heard]:
    url = make_url(direct_url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection, heard = await asyncpg.connect(url), Heard(committed_engine)
    await connection.add_listener(CHANNEL, lambda _, __, ___, packed: heard.texts.put_nowait(packed))
    yield heard
    await connection.close()


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
        ["order", "baked", "pressed", "bread", "cake", "wine"],
    ),
    "delete": (
        lambda fair: delete(fair.api, fair.superuser, fair.order),
        ["order", "baked", "pressed", "bread", "cake", "wine"],
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
    fair: Fair, heard: Heard, step: str
) -> None:
    take, changed = STEPS[step]

    result = await take(fair)

    assert result["__typename"].endswith("Success")
    assert await heard.events() == {gid(getattr(fair, name)) for name in changed}


async def test_a_new_order_notifies_its_stores_and_the_followers_of_what_it_took(fair: Fair, heard: Heard) -> None:
    placed = await place(fair.api, fair.superuser, item(fair.wine), item(fair.cake), item(fair.bread, 2))

    key = placed["order"]["id"].removeprefix("Order_")
    stores = {f"Placed_{store.id} {key}" for store in (fair.bakery, fair.cellar)}
    assert await heard.events() == {*stores, gid(fair.wine), gid(fair.bread)}


async def test_a_store_notifies_of_its_products_in_few_texts(
    fair: Fair, heard: Heard, committed_market: Market
) -> None:
    market = committed_market
    products = [fair.bread, fair.cake, *[await market.product(fair.bakery) for _ in range(EVENTS_PER_TEXT)]]

    for change in (delete_store, restore_store):
        await change(fair.api, fair.superuser, fair.bakery)

        assert await heard.events() == {gid(product) for product in products}
        assert sorted(heard.sizes) == [2, EVENTS_PER_TEXT]


async def test_what_fails_notifies_of_nothing(fair: Fair, heard: Heard) -> None:
    results = [
        await fulfill(fair.api, fair.superuser, fair.baked, fair.bread_item, fair.bread_item),
        await decline(fair.api, fair.superuser, fair.baked, ""),
        await adjust_stock(fair.api, fair.superuser, productId=gid(fair.bread), delta=-9),
        await set_stock(fair.api, fair.superuser, productId=gid(fair.bread), stock=1, expectedStock=9),
        await update_many(fair.api, fair.superuser, {"id": gid(fair.bread), "price": 3, "expectedVersion": 9}),
        await place(fair.api, fair.superuser, item(fair.cake), item(fair.bread, 9)),
    ]

    assert not [result for result in results if result["__typename"].endswith("Success")]
    assert await heard.events() == set()
