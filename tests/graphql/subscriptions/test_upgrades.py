"""Processes of 2.0.0 and of this version, which serve the same database during an upgrade, hear each other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.events import legacy
from tests.events import driver_to
from tests.graphql.subscriptions.clients import PATIENCE, connected, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import PLACED
from tests.market import gid
from tests.orders.operations import item, place
from tests.products.changes import create_many, update
from tests.stores import operations as stores

Texts = asyncio.Queue[str]


@pytest.fixture
async def texts(shop: Shop, direct_url: str) -> AsyncIterator[Texts]:
    """What a process of 2.0.0 hears."""
    heard: Texts = asyncio.Queue()
    async with driver_to(direct_url) as driver:
        await driver.execute(f"SET application_name = '{legacy.APPLICATION_NAME}'")
        await driver.add_listener(legacy.CHANNEL, lambda *arguments: heard.put_nowait(str(arguments[-1])))
        await until(lambda: shop.live.events._is_upgrading)
        yield heard


async def parsed(texts: Texts) -> list[tuple[str, str, str]]:
    """Return the next text as 2.0.0 parses it, without the kind that it has no followers of."""
    async with asyncio.timeout(PATIENCE):
        text = await texts.get()
    assert len(text) < 8_000
    found = [line.split() for line in text.splitlines()]
    return sorted((kind, key, subject) for kind, key, subject in found if kind != "Log")


async def test_what_this_version_commits_is_told_to_2_0_0(shop: Shop, texts: Texts) -> None:
    await create_many(shop.api, shop.owner, gid(shop.store), [{"name": f"No. {n}", "price": "1"} for n in range(100)])
    await update(shop.api, shop.owner, id=gid(shop.product), price="2")
    product = ("Product", shop.product.id.hex, shop.product.id.hex)
    while not (found := await parsed(texts)):  # new products have no followers
        pass
    assert found == [product]

    placed = await place(shop.api, shop.customer, item(shop.product))
    key = placed["order"]["id"].removeprefix("Order_").replace("-", "")
    assert await parsed(texts) == [("Placed", shop.store.id.hex, key), product]

    await stores.delete(shop.api, shop.owner, shop.store)
    told = await parsed(texts) + await parsed(texts)
    assert len(told) == len(set(told)) == 101
    assert product in told


async def test_a_new_order_is_told_once_although_it_is_announced_to_both_versions(shop: Shop, texts: Texts) -> None:
    async with connected(shop.address, shop.token(shop.owner)) as owner:
        await owner.subscribe(PLACED, {"id": gid(shop.store)})
        await shop.followed(1)
        for quantity in (1, 2, 3):
            await place(shop.api, shop.customer, item(shop.product, quantity))
            await parsed(texts)
            assert (await owner.next())["storeOrderPlaced"]["storeOrder"]["items"] == [{"quantity": quantity}]
