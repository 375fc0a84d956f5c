"""What stands between the API and Postgres is found out without asking anyone who could be wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from app.db import poolers
from app.db.engine import Database, connect, open_database
from app.db.poolers import Pooling, pooling_between, pooling_of
from app.process.readiness import Readiness
from app.replicas.reading import Replicas
from app.settings import Settings
from tests.poolers.conftest import Open
from tests.servers import free_port
from tools.pgbouncer import PgBouncer, pooled

CLIENTS = 6
PATIENCE = 10


async def test_a_server_is_no_pooler(direct_url: str) -> None:
    assert await pooling_between(make_url(direct_url)) is Pooling.NONE


@pytest.mark.parametrize("servers", [1, 5])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Pooling.TRACKED),
        ({"max_prepared_statements": 0}, Pooling.MIXED),
        ({"max_prepared_statements": 0, "server_round_robin": 1}, Pooling.MIXED),
        ({"pool_mode": "session"}, Pooling.SESSION),
        ({"pool_mode": "statement"}, Pooling.STATEMENT),
    ],
)
async def test_a_pooler_is_told_from_what_it_does(
    opened: Open, servers: int, options: dict[str, object], expected: Pooling
) -> None:
    url = make_url(opened(default_pool_size=servers, **options))
    assert await pooling_between(url) is expected


@pytest.mark.parametrize("servers", [1, 5])
async def test_an_old_pooler_does_not_track(opened: Open, oldest: PgBouncer, servers: int) -> None:
    url = make_url(opened(pgbouncer=oldest, default_pool_size=servers))
    assert await pooling_between(url) is Pooling.MIXED


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Pooling.TRACKED),
        ({"max_prepared_statements": 0}, Pooling.MIXED),
        ({"pool_mode": "session", "default_pool_size": 10}, Pooling.SESSION),
    ],
)
async def test_the_verdict_is_the_same_while_others_use_the_pool(
    opened: Open, options: dict[str, object], expected: Pooling
) -> None:
    url = make_url(opened(**{"default_pool_size": 3, **options}))
    over = asyncio.Event()

    async def use(client: "asyncpg.Connection[Any]") -> None:
        while not over.is_set():
            await client.execute("BEGIN; SELECT pg_sleep(0.001); COMMIT")

    async with AsyncExitStack() as stack:
        clients = [await connect(url, "test", PATIENCE) for _ in range(CLIENTS)]
        for client in clients:
            stack.push_async_callback(client.close)
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(use(client))
            try:
                verdicts = [await pooling_between(url) for _ in range(5)]
            finally:
                over.set()
    assert set(verdicts) == {expected}


@asynccontextmanager
async def process(url: str, direct_url: str) -> AsyncIterator[tuple[Database, Readiness]]:
    """The pool of a process, and whether it is ready."""
    settings = Settings(database_url=url, database_direct_url=direct_url)
    database = open_database(url, settings)
    yield database, Readiness(database, Replicas(database, settings))
    await database.close()


async def test_a_process_is_ready_only_behind_a_pooler_that_keeps_clients_apart(opened: Open, direct_url: str) -> None:
    for url in (direct_url, opened(), opened(pool_mode="session")):
        async with process(url, direct_url) as (_, readiness):
            assert await readiness.why_not() is None
    for options in ({"max_prepared_statements": 0}, {"pool_mode": "statement"}):
        async with process(opened(**options), direct_url) as (_, readiness):
            assert "behind a pooler that pools" in str(await readiness.why_not())


async def test_a_pooler_that_is_restarted_with_another_mode_is_noticed(direct_url: str, newest: PgBouncer) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        with pooled(direct_url, newest, port, pool_mode="transaction") as url:
            database, readiness = await stack.enter_async_context(process(url, direct_url))
            await database.driver_row("SELECT 1", [])
            assert await readiness.why_not() is None
        with pooled(direct_url, newest, port, pool_mode="transaction", max_prepared_statements=0):
            await database.driver_row("SELECT 1", [])
            assert "behind a pooler that pools transactions" in str(await readiness.why_not())
        with pooled(direct_url, newest, port, pool_mode="transaction"):
            assert await readiness.why_not() is None


async def test_a_process_asks_what_is_in_between_once_and_again_after_a_while(
    opened: Open, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def counted(*arguments: Any) -> Pooling:
        nonlocal asked
        asked += 1
        return await pooling_of(*arguments)

    monkeypatch.setattr(poolers, "pooling_of", counted)
    async with process(opened(), direct_url) as (_, readiness):
        assert [await readiness.why_not() for _ in range(3)] == [None] * 3
        assert asked == 1
        monkeypatch.setattr(readiness._verdict, "_ends_at", 0.0)
        assert await readiness.why_not() is None
        assert asked == 2
