"""What stands between the API and Postgres is found out without asking anyone who could be wrong."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from app.db.engine import driver_arguments
from app.db.poolers import Pooling, pooling_between
from app.process.readiness import why_not_ready
from tests.poolers.conftest import Open
from tools.pgbouncer import PgBouncer

CLIENTS = 6


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
        clients = [await asyncpg.connect(**driver_arguments(url, "test")) for _ in range(CLIENTS)]
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


async def test_a_process_is_ready_only_behind_a_pooler_that_keeps_clients_apart(opened: Open, direct_url: str) -> None:
    for url in (direct_url, opened(), opened(pool_mode="session")):
        assert await why_not_ready(make_url(url)) is None
    for options in ({"max_prepared_statements": 0}, {"pool_mode": "statement"}):
        assert "behind a pooler that pools" in str(await why_not_ready(make_url(opened(**options))))
