"""A client that has gone takes its query with it; a mutation that has begun is done."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app.db.unit_of_work import UnitOfWork
from tests.faults.conftest import PATHS, READ, OpenShop, Shop, kind
from tests.graphql.subscriptions.clients import until
from tests.locks import held
from tests.orders.operations import PLACE, item


async def connected(shop: Shop) -> asyncio.StreamWriter:
    host, _, port = shop.address.partition(":")
    return (await asyncio.open_connection(host, int(port)))[1]


async def sent(
    shop: Shop, query: str, variables: dict[str, Any] | None = None, accept: str = "*/*"
) -> asyncio.StreamWriter:
    """Send an operation, and return the connection that nobody reads an answer from."""
    writer = await connected(shop)
    body = json.dumps({"query": query, "variables": variables}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: {shop.address}\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nAuthorization: Bearer {shop.api.token(shop.customer)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    return writer


@pytest.mark.parametrize("path", PATHS)
async def test_the_query_of_a_client_that_hangs_up_ends_in_postgres(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path], database_pool_size=1) as shop:
        async with shop.unreadable():
            client = await sent(shop, READ)
            await shop.until_waiting(1)
            with capture_logs() as entries:
                client.transport.abort()
                await shop.until_waiting(0)
                await until(lambda: shop.taken == 0)
                await until(lambda: len(entries) > 0)
        assert [(entry["path"], entry["codes"]) for entry in entries] == [("disconnected", ["CLIENT_DISCONNECTED"])]
        for _ in range(3):  # on the same connection, to which no late cancellation may come
            assert (await shop.read()).json()["data"]


async def test_a_query_by_get_ends_alike(open_shop: OpenShop, caplog: pytest.LogCaptureFixture) -> None:
    async with open_shop() as shop, shop.unreadable():
        client = await connected(shop)
        client.write(f"GET /graphql?query={quote(READ)} HTTP/1.1\r\nHost: {shop.address}\r\n\r\n".encode())
        await shop.until_waiting(1)
        client.transport.abort()
        await shop.until_waiting(0)
        await until(lambda: shop.taken == 0)
    assert "Traceback" not in caplog.text


async def test_a_stream_gives_its_connection_back(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever streams is cancelled at every turn of the event loop, also while it waits for what still loads.
    given_back: list[UnitOfWork] = []
    give_back = UnitOfWork._release

    async def noting(work: UnitOfWork) -> None:
        given_back.append(work)
        await give_back(work)

    monkeypatch.setattr(UnitOfWork, "_release", noting)
    async with open_shop(compiled_path=False) as shop:
        async with shop.engine.begin() as connection:
            await connection.execute(text("LOCK TABLE stores IN ACCESS EXCLUSIVE MODE"))
            client = await sent(shop, "{ products { nodes { store { name } } } }", accept="text/event-stream")
            await shop.until_waiting(1)
            client.transport.abort()
            await until(lambda: len(given_back) == 1)
        assert shop.taken == 0


async def test_a_query_that_waits_for_a_connection_is_given_up_as_well(open_shop: OpenShop) -> None:
    async with open_shop(database_pool_size=1, database_pool_queue=1) as shop:
        async with shop.unreadable():
            first = asyncio.create_task(shop.read())
            await shop.until_waiting(1)
            client = await sent(shop, READ)
            await until(lambda: shop.database.waiting == 1)
            client.transport.abort()
            await until(lambda: shop.database.waiting == 0)
        assert (await first).json()["data"]


async def test_an_order_that_waits_for_a_connection_is_not_placed_for_who_hung_up(open_shop: OpenShop) -> None:
    limits = dict.fromkeys(("operation_timeout_seconds", "statement_timeout_seconds", "database_pool_wait_seconds"), 60)
    async with open_shop(database_pool_size=1, database_pool_queue=1, **limits) as shop:
        async with shop.unreadable():
            first = asyncio.create_task(shop.read())
            await shop.until_waiting(1)
            client = await sent(shop, PLACE, {"items": [item(shop.product)]})
            await until(lambda: shop.database.waiting == 1)
            client.transport.abort()
            await until(lambda: shop.database.waiting == 0)
        await first
        assert await shop.state() == (0, 100)


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_a_mutation_that_has_begun_is_done_though_its_client_hangs_up(open_shop: OpenShop, accept: str) -> None:
    async with open_shop() as shop:
        async with held(shop.engine, shop.product):
            client = await sent(shop, PLACE, {"items": [item(shop.product)]}, accept)
            await shop.until_waiting(1)
            client.transport.abort()
            beside = await sent(shop, READ)  # when this one is given up, the other would have been
            beside.close()
            await asyncio.sleep(0.2)  # some looks at who has hung up
            assert shop.taken == 1
        await until(lambda: shop.taken == 0)
        assert await shop.state() == (1, 99)


async def test_a_client_that_waits_is_answered(open_shop: OpenShop) -> None:
    async with open_shop() as shop:
        async with held(shop.engine, shop.product):
            order = asyncio.create_task(shop.order())
            await shop.until_waiting(1)
            await asyncio.sleep(0.15)  # until it is listened to
        assert kind(await order) == "PlaceOrderSuccess"
        assert (await shop.read()).json()["data"]
