"""After a migration has changed a type, statements are prepared anew, also those that a pooler keeps by their text."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.db.asyncpg_internals import PooledConnection
from app.db.engine import Database, open_database
from app.db.statements import Record
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import committed, empty
from tests.market import Market, gid
from tests.poolers.conftest import Open

ROW = "SELECT version FROM products"


class Shop(NamedTuple):
    """Two processes that share one server, and the server itself."""

    apis: list[Api]
    databases: list[Database]
    market: Market
    engine: AsyncEngine


@pytest.fixture(params=["pooled", "direct"])
async def shop(
    request: pytest.FixtureRequest, opened: Open, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    monkeypatch.setattr(PooledConnection, "edition", 0)
    url = opened(default_pool_size=1) if request.param == "pooled" else direct_url
    settings = Settings(database_url=url, database_direct_url=direct_url, compiled_path=False, attempt_limit="")
    databases = [open_database(url, settings.model_copy(update={"database_pool_size": 1})) for _ in range(2)]
    transports = [httpx2.ASGITransport(app=create_app(settings, database)) for database in databases]
    clients = [httpx2.AsyncClient(transport=transport, base_url="http://test") for transport in transports]
    engine = create_async_engine(direct_url)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield Shop([Api(client, settings) for client in clients], databases, Market(session), engine)
    await committed(engine, "ALTER TABLE products ALTER COLUMN version TYPE integer")
    for database in databases:
        await database.close()
    await empty(engine)
    await engine.dispose()


async def test_no_request_notices_that_a_type_has_changed(shop: Shop) -> None:
    owner = await shop.market.user()
    product = await shop.market.product(await shop.market.store(owner), stock=5)
    read = "query ($id: ID!) { product(id: $id) { version } }"
    write = """mutation ($id: ID!, $stock: Int!) {
      a: setStock(input: { productId: $id, stock: $stock }) { ... on SetStockSuccess { product { version } } }
      b: setStock(input: { productId: $id, stock: $stock }) { ... on SetStockSuccess { product { version } } }
    }"""
    for stock, type_ in enumerate(("bigint", "integer", "bigint", "integer")):
        for api in shop.apis:
            written = await api.data(write, {"id": gid(product), "stock": stock}, user=owner)
            assert written["b"]["product"] == {"version": product.version}
            assert await api.data(read, {"id": gid(product)}, user=owner) == {"product": {"version": product.version}}
        await committed(shop.engine, f"ALTER TABLE products ALTER COLUMN version TYPE {type_}")


async def test_a_process_that_starts_later_finds_what_is_current(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.market.product(stock=5)
    for type_ in ("bigint", "numeric"):
        for database in shop.databases:
            assert int((await database.driver_row(ROW, []))["version"]) == 1
        await committed(shop.engine, f"ALTER TABLE products ALTER COLUMN version TYPE {type_}")
    monkeypatch.setattr(PooledConnection, "edition", 0)
    assert int((await shop.databases[0].driver_row(ROW, []))["version"]) == 1


async def test_records_keep_their_class(shop: Shop) -> None:
    await shop.market.product(stock=5)
    connection = await shop.databases[0].engine.raw_connection()
    driver = connection.driver_connection
    for type_ in ("bigint", "numeric"):
        (row,) = await driver.fetch(ROW, record_class=Record)  # type: ignore[union-attr]
        assert int(row.version) == 1
        await committed(shop.engine, f"ALTER TABLE products ALTER COLUMN version TYPE {type_}")
    connection.close()
