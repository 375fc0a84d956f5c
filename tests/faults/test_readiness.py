"""A process is ready where its database answers and lacks no migration that this version knows of."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from alembic import command
from sqlalchemy import Connection, make_url, text

from app.db.engine import Database, open_database
from app.db.migrations import alembic_config
from app.errors import Overloaded
from app.process.readiness import Readiness, why_not_ready
from app.replicas.reading import Replicas
from app.settings import Settings
from tests.databases import create_database, drop_database, run_on
from tests.faults.conftest import OpenShop

LACKING = "migrations are missing"


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_readiness_{os.getpid()}")
    yield url
    drop_database(url)


def readiness_of(database: Database) -> Readiness:
    return Readiness(database, Replicas(database, Settings()))


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
        url = f"postgresql+asyncpg://ann@127.0.0.1:{port}/shop?ssl=disable"
        readiness = readiness_of(open_database(url, Settings()))

        reasons = await asyncio.gather(*(readiness.why_not() for _ in range(50)))
        assert looks == 1
        assert {await readiness.why_not(), *reasons} == {"the database does not answer"}
        assert looks == 2


async def test_a_process_whose_pool_is_busy_is_ready(open_shop: OpenShop) -> None:
    async with open_shop(database_pool_size=1, database_pool_queue=0) as shop:
        connection = await shop.database.take()
        ready = await shop.api.client.get("/readyz")
        connection.close()
    assert (ready.status_code, ready.text.split(",")[0]) == (200, "ready")


@pytest.fixture
def limited(database_url: str) -> Iterator[str]:
    """The database as a role that may have one connection."""
    role = f"limited_{os.getpid()}"

    def create(connection: Connection) -> None:
        for statement in (
            f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1 PASSWORD 'secret'",
            f"GRANT USAGE ON SCHEMA public TO {role}",
            f"GRANT SELECT ON alembic_version TO {role}",
        ):
            connection.execute(text(statement))
        connection.commit()

    def drop(connection: Connection) -> None:
        for statement in (f"DROP OWNED BY {role}", f"DROP ROLE {role}"):
            connection.execute(text(statement))
        connection.commit()

    run_on(database_url, create)
    yield make_url(database_url).set(username=role, password="secret").render_as_string(hide_password=False)
    run_on(database_url, drop)


@pytest.mark.direct("Postgres refuses connections to the API, not to a pooler")
async def test_a_process_that_has_its_connections_is_ready_while_there_are_no_others(limited: str) -> None:
    database = open_database(limited, Settings())
    readiness = readiness_of(database)
    try:
        assert await readiness.why_not() is None
        await until_connected(database)
        assert await readiness.why_not() is None
        assert await readiness_of(database).why_not() == "the database has no connections left", "it was never ready"
    finally:
        await database.close()
    assert await readiness.why_not() is None


async def until_connected(database: Database) -> None:
    """Fill the pool, once Postgres has noticed that the other connection was closed."""
    for _ in range(500):
        with suppress(Overloaded):
            await database.driver_row("SELECT 1", [])
            return
    raise AssertionError("there are no connections")
