"""What is over the capacity of the pool is refused, and says so; what waits is served in its turn."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.faults.conftest import PATHS, OpenShop, fault, kind
from tests.graphql.subscriptions.clients import until


@pytest.mark.parametrize("path", PATHS)
async def test_requests_over_the_queue_are_refused_at_once(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path], database_pool_size=1, database_pool_queue=2) as shop:
        async with shop.unreadable():
            served = [asyncio.create_task(shop.read()) for _ in range(3)]
            await until(lambda: shop.database.waiting == 2)
            for refused in (await shop.read(), await shop.order()):
                assert fault(refused) == "OVERLOADED"
                assert refused.status_code == 503
                assert refused.headers["Retry-After"] == "1"
        for response in await asyncio.gather(*served):
            assert response.json()["data"]
        assert shop.taken == 0


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_does_not_wait_longer_than_it_may(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path], database_pool_size=1, database_pool_wait_seconds=0.05) as shop:
        async with shop.unreadable():
            served = asyncio.create_task(shop.read())
            await shop.until_waiting(1)
            assert fault(await shop.read()) == "OVERLOADED"
            assert fault(await shop.order()) == "OVERLOADED"
        assert (await served).json()["data"]


async def test_a_query_by_get_is_refused_alike(open_shop: OpenShop) -> None:
    async with open_shop(database_pool_size=1, database_pool_queue=0) as shop:
        async with shop.unreadable():
            served = asyncio.create_task(shop.read())
            await shop.until_waiting(1)
            got = await shop.api.client.get("/graphql", params={"query": "{ products { totalCount } }"})
            assert fault(got) == "OVERLOADED"
            assert got.status_code == 503
        await served


async def test_those_who_wait_are_served_in_their_turn(open_shop: OpenShop) -> None:
    async with open_shop(database_pool_size=1) as shop:
        database, order = shop.database, list[int]()

        async def take(number: int) -> None:
            connection = await database.take()
            order.append(number)
            connection.close()

        first = await database.take()
        waiting = [asyncio.create_task(take(number)) for number in range(3)]
        await until(lambda: database.waiting == 3)
        first.close()
        await take(3)  # comes when there is a connection, but others have waited for it
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3]


async def test_a_database_that_cannot_be_reached_is_unavailable(open_shop: OpenShop) -> None:
    nowhere = "postgresql+asyncpg://postgres@127.0.0.1:1/nowhere"
    for compiled_path in PATHS.values():
        async with open_shop(nowhere, compiled_path=compiled_path) as shop:
            for response in (await shop.read(), await shop.order()):
                assert fault(response) == "DATABASE_UNAVAILABLE"
                assert response.status_code == 503
            assert shop.taken == 0
            ready = await shop.api.client.get("/readyz")
            assert (ready.status_code, ready.text) == (503, "the database does not answer")
            assert (await shop.api.client.get("/livez")).status_code == 200


async def test_a_database_that_lets_nobody_in_is_unavailable_and_says_no_more(
    open_shop: OpenShop, database_url: str
) -> None:
    missing = make_url(database_url).set(database="no_such_database").render_as_string(hide_password=False)
    async with open_shop(missing) as shop:
        response = await shop.read()
        assert fault(response) == "DATABASE_UNAVAILABLE"
        assert "no_such" not in response.text


@pytest.fixture
async def short_of_connections(committed_engine: AsyncEngine, database_url: str) -> AsyncIterator[str]:
    """The URL for somebody whom Postgres gives three connections and no more: one listens for events."""
    role = f"orders_test_{os.getpid()}"
    async with committed_engine.begin() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'test' CONNECTION LIMIT 3"))
        await connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
    yield make_url(database_url).set(username=role, password="test").render_as_string(hide_password=False)
    async with committed_engine.begin() as connection:
        await connection.execute(text(f"DROP OWNED BY {role}"))
        await connection.execute(text(f"DROP ROLE {role}"))


@pytest.mark.direct("Postgres refuses connections to the API, not to a pooler")
async def test_where_postgres_gives_fewer_connections_than_the_pool_has_the_rest_is_refused(
    open_shop: OpenShop, short_of_connections: str
) -> None:
    async with open_shop(short_of_connections, database_pool_size=10) as shop:
        responses = await asyncio.gather(*(shop.order() for _ in range(20)))
        placed = [response for response in responses if response.status_code == 200]
        assert placed
        assert all(kind(response) == "PlaceOrderSuccess" for response in placed)
        assert {fault(response) for response in responses if response not in placed} == {"OVERLOADED"}
        assert await shop.state() == (len(placed), 100 - len(placed))
        assert kind(await shop.order()) == "PlaceOrderSuccess"


STORES = "{ stores { nodes { name } } }"
SEARCH = '{ products(filter: { search: "a" }) { nodes { name } } }'


@pytest.mark.parametrize("path", PATHS)
async def test_clients_without_a_login_leave_connections_to_others(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path], database_pool_size=4) as shop:
        async with shop.unreadable():
            strangers = [asyncio.create_task(shop.read()) for _ in range(6)]
            await until(lambda: shop.database.waiting == 3)

            async with asyncio.timeout(3):
                assert (await shop.api.send(STORES, user=shop.customer)).json()["data"]
            assert shop.taken == 3
        for response in await asyncio.gather(*strangers):
            assert response.json()["data"]
        assert shop.taken == 0


@pytest.mark.parametrize("path", PATHS)
async def test_expensive_operations_of_a_client_leave_connections_to_others(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path], database_pool_size=4) as shop:
        async with shop.unreadable():
            dear = [asyncio.create_task(shop.api.send(SEARCH, user=shop.customer)) for _ in range(4)]
            strangers = [asyncio.create_task(shop.api.send(SEARCH)) for _ in range(4)]
            await until(lambda: shop.database.waiting == 6)

            async with asyncio.timeout(3):
                assert (await shop.api.send(STORES)).json()["data"]
            assert shop.taken == 2
        for response in await asyncio.gather(*dear, *strangers):
            assert response.json()["data"]
