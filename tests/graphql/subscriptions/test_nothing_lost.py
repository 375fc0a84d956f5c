"""Changes and broken connections at random, two processes: every follower ends with what is so."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from random import Random

import httpx2
import pytest

from app.db.engine import Database, open_database
from app.db.models import Product, User
from app.main import application, create_services
from app.settings import Settings
from tests.api import Api
from tests.graphql.subscriptions.clients import connected, serving, until
from tests.graphql.subscriptions.operations import PRODUCT, set_stock
from tests.market import Market, gid

CHANGES = 60
FOLLOWERS = 12
BREAKS = {0.15: "application_name = 'orders-api event log'", 0.10: "application_name LIKE 'orders-api%'"}


class Process:
    """One of several that serve the same database."""

    def __init__(self, settings: Settings) -> None:
        assert settings.database_url is not None
        self.database: Database = open_database(settings.database_url, settings)
        services = create_services(settings, self.database)
        self.app = application(services)
        self.live = services.subscriptions
        self.address = ""


@pytest.fixture
async def processes(settings: Settings) -> AsyncIterator[list[Process]]:
    started = [Process(settings.model_copy(update={"compiled_path": path})) for path in (False, True)]
    async with AsyncExitStack() as stack:
        for process in started:
            process.address = await stack.enter_async_context(serving(process.app))
            await process.live.events.heard()
        yield started


async def follow(process: Process, product: Product, told: dict[int, int], number: int) -> None:
    """Note what one client is told, for as long as it goes on; it must not end."""
    async with connected(process.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(product)})
        async for text in client.websocket:
            payload = json.loads(text)["payload"]
            assert "errors" not in payload
            told[number] = payload["data"]["productUpdated"]["product"]["stock"]


async def change(process: Process, settings: Settings, owner: User, product: Product, stock: int) -> None:
    """Change the stock, or fail to: the connection may break meanwhile."""
    async with httpx2.AsyncClient(base_url=f"http://{process.address}") as client:
        with suppress(AssertionError):
            await set_stock(Api(client, settings), owner, product, stock)


# The pool finds an idle connection broken where it cannot connect anew, and does so a moment later.
@pytest.mark.filterwarnings("ignore:coroutine 'connect' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("seed", range(3))
async def test_every_follower_ends_with_what_is_so(
    processes: list[Process], committed_market: Market, settings: Settings, seed: int
) -> None:
    random, told = Random(seed), dict[int, int]()
    owner = await committed_market.user()
    store = await committed_market.store(owner)
    products = [await committed_market.product(store, stock=0) for _ in range(3)]
    followed = [products[number % 3] for number in range(FOLLOWERS)]
    followers = [
        asyncio.create_task(follow(processes[number % 2], product, told, number))
        for number, product in enumerate(followed)
    ]
    await until(lambda: len(told) == FOLLOWERS)

    for stock in range(1, CHANGES):
        await change(random.choice(processes), settings, owner, random.choice(products), stock)
        for chance, which in BREAKS.items():
            if random.random() < chance:
                await break_connections(committed_market, which)
        await asyncio.sleep(random.random() / 50)

    stocks = {product.id: (await committed_market.reload(product)).stock for product in products}
    await until(lambda: all(told[number] == stocks[product.id] for number, product in enumerate(followed)))
    assert not any(follower.done() for follower in followers)
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    await until(lambda: not any(len(process.live.events) for process in processes))


async def break_connections(market: Market, which: str) -> None:
    connection = await market.session.connection()
    await connection.exec_driver_sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND {which}"
    )
    await market.session.commit()
