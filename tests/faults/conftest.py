"""A shop that is served as it is in production, on a pool and with limits that a test may change."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from starlette.types import ASGIApp

from app.db.engine import Database, open_database
from app.db.models import Order, Product, User
from app.main import application, create_services
from app.settings import Settings
from tests.api import Api
from tests.databases import committed
from tests.faults.postgres import Postgres
from tests.graphql.subscriptions.clients import PATIENCE, serving
from tests.market import Market
from tests.orders.operations import PLACE, item, number_of
from tests.triggers import triggered
from tools.postgres import embedded_postgres, home_of

READ = "{ products { nodes { name } } }"
PATHS = {"compiled": True, "resolver": False}


@dataclass
class Shop:
    """A product, a customer of it, and where the API is served; `engine` is the test's own way to the database."""

    app: ASGIApp
    address: str
    api: Api
    market: Market
    engine: AsyncEngine
    database: Database
    customer: User
    product: Product

    @property
    def taken(self) -> int:
        """How many connections of the pool are out."""
        pool = self.database.engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout()

    async def read(self) -> httpx2.Response:
        return await self.api.send(READ)

    async def order(self, query: str = PLACE, **headers: str) -> httpx2.Response:
        return await self.api.send(query, {"items": [item(self.product)]}, user=self.customer, headers=headers)

    async def state(self) -> tuple[int, int | None]:
        """Return how many orders there are, and how many of the product are left."""
        async with self.engine.connect() as connection:
            orders = await number_of(connection, Order)
        return orders, (await self.market.reload(self.product)).stock

    async def sql(self, statement: str) -> Any:
        """Run a statement and commit it; return its rows, if it has any."""
        return await committed(self.engine, statement)

    @asynccontextmanager
    async def at_commit(self, call: str) -> AsyncIterator[None]:
        """Have Postgres call a function whenever it commits an order."""
        async with triggered(self.engine, "INSERT ON orders DEFERRABLE INITIALLY DEFERRED", f"PERFORM {call}"):
            yield

    @asynccontextmanager
    async def unreadable(self) -> AsyncIterator[None]:
        """Let whoever reads products wait."""
        async with self.engine.begin() as connection:
            await connection.execute(text("LOCK TABLE products IN ACCESS EXCLUSIVE MODE"))
            yield

    def in_process(self) -> httpx2.AsyncClient:
        """Return a client whose task is the application's: to cancel it is what a server does that must end."""
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), base_url=f"http://{self.address}")

    async def until_waiting(self, number: int) -> None:
        """Return once so many of the application's connections wait for a lock."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'orders-api'"
            " AND datname = current_database()"
        )
        async with asyncio.timeout(PATIENCE):
            while await self.sql(waiting) != [(number,)]:
                pass

    async def statements(self) -> list[str]:
        """Return what the application's connections run at this moment."""
        rows = await self.sql(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND application_name = 'orders-api'"
        )
        return [row[0] for row in rows]


OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def open_shop(
    committed_engine: AsyncEngine, committed_market: Market, settings: Settings, database_url: str
) -> OpenShop:
    """Opens a shop with settings of its own."""

    @asynccontextmanager
    async def opened(url: str = database_url, **changed: Any) -> AsyncIterator[Shop]:
        customer, product = await committed_market.user(), await committed_market.product(stock=100)
        own = settings.model_copy(update={"compiled_path": True, **changed})
        database = open_database(url, own)
        services = create_services(own, database)
        app = application(services)
        async with serving(app) as address, httpx2.AsyncClient(base_url=f"http://{address}", timeout=30) as client:
            if url == database_url:
                await services.subscriptions.events.heard()  # behind a pooler, that takes a connection of the pool
            yield Shop(app, address, Api(client, own), committed_market, committed_engine, database, customer, product)

    return opened


def fault(response: httpx2.Response) -> str:
    """Return the code of the one error of a response that has nothing else."""
    result = response.json()
    assert result["data"] is None
    (error,) = result["errors"]
    retry_after = response.headers.get("Retry-After")
    assert (response.status_code, retry_after is not None) in ((200, False), (503, True))
    return str(error["extensions"]["code"])


def kind(response: httpx2.Response) -> str:
    """Return the type of what placeOrder returned."""
    result = response.json()
    assert "errors" not in result, result
    return str(result["data"]["placeOrder"]["__typename"])


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with ExitStack() as users:
        yield Postgres(users.enter_context(embedded_postgres(tmp_path)), tmp_path, users)
    shutil.rmtree(home_of(tmp_path), ignore_errors=True)
