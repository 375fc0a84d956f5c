"""A process is ready where its database answers and lacks no migration that this version knows of."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from alembic import command
from fastapi import Response
from fastapi.routing import APIRoute
from sqlalchemy import Connection, make_url, text

from app.db.migrations import alembic_config
from app.process.probes import probes
from app.process.readiness import why_not_ready
from tests.databases import create_database, drop_database, run_on
from tests.faults.conftest import OpenShop

LACKING = "migrations are missing"


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_readiness_{os.getpid()}")
    yield url
    drop_database(url)


def be_ahead(connection: Connection) -> None:
    """Have a migration that this version does not know of."""
    connection.execute(text("UPDATE alembic_version SET version_num = 'of_another_version'"))
    connection.commit()


def test_the_database_must_be_at_head_or_ahead(empty_database: str) -> None:
    url, config = make_url(empty_database), alembic_config(empty_database)

    assert asyncio.run(why_not_ready(url)) == LACKING
    command.upgrade(config, "head")
    assert asyncio.run(why_not_ready(url)) is None
    command.downgrade(config, "-1")
    assert asyncio.run(why_not_ready(url)) == LACKING
    run_on(empty_database, be_ahead)
    assert asyncio.run(why_not_ready(url)) is None


async def test_however_many_ask_one_looks() -> None:
    looks = 0

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal looks
        looks += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        routes = probes(make_url(f"postgresql+asyncpg://ann@127.0.0.1:{port}/shop?ssl=disable")).routes
        (ask,) = [route.endpoint for route in routes if isinstance(route, APIRoute) and route.path == "/readyz"]

        reasons = await asyncio.gather(*(ask(Response()) for _ in range(50)))
        assert looks == 1
        assert {await ask(Response()), *reasons} == {"the database does not answer"}
        assert looks == 2


async def test_a_process_whose_pool_is_busy_is_ready(open_shop: OpenShop) -> None:
    async with open_shop(database_pool_size=1, database_pool_queue=0) as shop:
        connection = await shop.database.take()
        ready = await shop.api.client.get("/readyz")
        connection.close()
    assert (ready.status_code, ready.text) == (200, "ready")
