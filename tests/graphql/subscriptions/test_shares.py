"""What one client may take of what all share: turns to read, points, subscriptions and connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app import clients
from app.events.following import Subscription
from app.security.viewer import Viewer
from tests.graphql.subscriptions.clients import PROTOCOL, Client, connected, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import PRODUCT
from tests.market import gid

ELSEWHERE = ("127.0.0.2", 0)


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    return {"compiled_path": True}


def heavy(number: int) -> str:
    """Return a subscription that reads users, and that nobody shares."""
    return f"""subscription ($id: ID!) {{
      productUpdated(productId: $id) {{ product {{ stock store {{ owner {{ a{number}: fullName }} }} }} }}
    }}"""


@asynccontextmanager
async def locked(engine: AsyncEngine, table: str) -> AsyncIterator[None]:
    """Let whoever reads the table wait meanwhile."""
    async with engine.connect() as connection:
        await connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield
        await connection.rollback()


async def changed(shop: Shop, stock: int) -> None:
    """Change the stock of the product without reading a user, and notify its followers."""
    await shop.sql("UPDATE products SET stock = :stock WHERE id = :id", stock=stock, id=shop.product.id)
    await shop.sql(
        "SELECT pg_notify('orders_api', :event)", event=f"Product {shop.product.id.hex} {shop.product.id.hex}"
    )


async def test_heavy_reads_of_one_client_delay_no_other(shop: Shop) -> None:
    async with (
        connected(shop.address, max_queue=None) as greedy,
        connected(shop.address, local_addr=ELSEWHERE) as other,
    ):
        for number in range(30):
            await greedy.subscribe(heavy(number), {"id": gid(shop.product)}, id=str(number))
            await greedy.next(str(number))
        await other.subscribe(PRODUCT, {"id": gid(shop.product)})
        await other.next()
        async with locked(shop.engine, "users"):
            for stock in (7, 8):
                await changed(shop, stock)
                assert (await other.next())["productUpdated"]["product"]["stock"] == stock
            assert len(shop.live.turns) == 28
        await until(lambda: len(shop.live.turns) == 0)


async def test_a_read_that_others_wait_for_is_not_behind_their_heavy_ones(shop: Shop) -> None:
    async with connected(shop.address) as greedy, connected(shop.address, local_addr=ELSEWHERE) as other:
        for number in range(5):
            await greedy.subscribe(heavy(number), {"id": gid(shop.product)}, id=str(number))
            await greedy.next(str(number))
        for client in (greedy, other):
            await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id="shared")
            await client.next("shared")
        async with locked(shop.engine, "users"):
            await changed(shop, 7)
            for client in (greedy, other):
                assert (await client.next("shared"))["productUpdated"]["product"]["stock"] == 7


@pytest.mark.parametrize(
    ("changed_settings", "whose"),
    [
        ({"subscriptions_per_address": 2}, "An address without a login"),
        ({"anonymous_subscriptions": 2}, "All clients without a login together"),
    ],
)
async def test_an_address_without_a_login_has_so_many_subscriptions(shop: Shop, whose: str) -> None:
    async with connected(shop.address) as first, connected(shop.address) as second:
        for client in (first, second):
            await client.subscribe(PRODUCT, {"id": gid(shop.product)})
            await client.next()
        await second.subscribe(PRODUCT, {"id": gid(shop.product)}, id="too many")
        message = await second.receive()
        assert message["payload"][0]["extensions"] == {"code": "SUBSCRIPTION_LIMIT", "limit": 2}
        assert message["payload"][0]["message"].startswith(whose)

        async with connected(shop.address, shop.token(shop.customer)) as user:
            await user.subscribe(PRODUCT, {"id": gid(shop.product)})
            await user.next()
        async with connected(shop.address, local_addr=ELSEWHERE) as other:
            await other.subscribe(PRODUCT, {"id": gid(shop.product)})
            assert ((await other.receive())["type"] == "next") == whose.startswith("An address")

        await first.send({"type": "complete", "id": "1"})
        await until(lambda: shop.live._of_client[clients.Client.of(None, "127.0.0.1")] == 1)
        await second.subscribe(PRODUCT, {"id": gid(shop.product)}, id="another")
        await second.next("another")
    await until(lambda: not shop.live._of_client and not shop.live._anonymous)


@pytest.mark.parametrize("changed_settings", [{"subscription_cost_limit": 9}])
async def test_what_a_subscription_costs_is_limited_by_itself(shop: Shop) -> None:
    selection = "product { store { products(first: 10) { nodes { name } } } }"
    query = f"($id: ID!) {{ productUpdated(productId: $id) {{ {selection} }} }}"
    async with connected(shop.address) as client:
        await client.subscribe(f"subscription {query}", {"id": gid(shop.product)})
        (error,) = (await client.receive())["payload"]
        assert error["extensions"] == {"code": "COST_LIMIT_EXCEEDED", "cost": {"requested": 12, "limit": 9}}
        await client.subscribe("{ products(first: 12) { nodes { name } } }", id="query")
        await client.next("query")


# A subscription costs 1 point, and so does each event.
@pytest.mark.parametrize("changed_settings", [{"rate_limit": "4/hour", "compiled_path": True}])
async def test_each_event_costs_what_the_subscription_costs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    refilled = asyncio.Event()

    async def pause(_: Subscription, seconds: float) -> None:
        assert seconds > 3_000
        await refilled.wait()

    monkeypatch.setattr(Subscription, "pause", pause)
    async with connected(shop.address) as client, connected(shop.address, shop.token(shop.customer)) as user:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        for stock in (1, 2, 3):
            await changed(shop, stock)
            assert (await client.next())["productUpdated"]["product"]["stock"] == stock

        await user.subscribe(PRODUCT, {"id": gid(shop.product)})
        await user.next()
        for stock in (4, 5, 6):
            await changed(shop, stock)
            assert (await user.next())["productUpdated"]["product"]["stock"] == stock

        await shop.services.rate_limits._points._limiter.storage.reset()
        refilled.set()
        assert (await client.next())["productUpdated"]["product"]["stock"] == 6


@pytest.mark.parametrize("changed_settings", [{"rate_limit": "1/hour"}])
async def test_who_waits_for_points_is_told_of_the_end(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        await changed(shop, 1)
        await shop.live.end()
        assert await client.close_code() == 1012
    await shop.followed(0)


FEW = {"connections_per_user": 2, "connections_per_address": 2, "trusted_proxies": ""}


def forwarded(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


@pytest.mark.parametrize("changed_settings", [FEW])
async def test_the_connections_of_users_are_not_those_of_their_address(shop: Shop) -> None:
    async with AsyncExitStack() as stack:
        for user in (shop.customer, shop.customer, shop.owner):
            await stack.enter_async_context(connected(shop.address, shop.token(user)))
        client = await stack.enter_async_context(connected(shop.address))
        assert len(shop.services.connections) == 4

        async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
            third = Client(websocket)
            authorization = f"Bearer {shop.token(shop.customer)}"
            await third.send({"type": "connection_init", "payload": {"Authorization": authorization}})
            assert await third.close_code() == 1013
            assert websocket.close_reason == "CONNECTION_LIMIT"
        await client.subscribe("{ __typename }")
        await client.next()
    await until(lambda: len(shop.services.connections) <= 1)  # the one that the fixture keeps


@pytest.mark.parametrize("changed_settings", [{"connections_per_process": 4, "trusted_proxies": "127.0.0.1"}])
async def test_the_users_of_an_address_have_at_most_half_of_the_connections(shop: Shop) -> None:
    here = {"additional_headers": forwarded("192.0.2.1")}
    async with AsyncExitStack() as stack:
        for user in (shop.customer, shop.owner):
            await stack.enter_async_context(connected(shop.address, shop.token(user), **here))
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(connected(shop.address, shop.token(shop.customer), **here))
        assert refused.value.response.status_code == 429
        await stack.enter_async_context(connected(shop.address, additional_headers=forwarded("192.0.2.2")))
        assert shop.services.connections.refused == {"site": 1}


@pytest.mark.parametrize("changed_settings", [FEW])
async def test_a_stream_of_a_user_counts_for_the_user_and_its_connection_for_the_address_again(shop: Shop) -> None:
    connections = shop.services.connections
    user = clients.Client.of(Viewer(id=shop.customer.id), "")
    address = clients.Client.of(None, "127.0.0.1")
    query = {"query": PRODUCT, "variables": {"id": gid(shop.product)}}
    accept = {"Accept": "text/event-stream", "Authorization": f"Bearer {shop.token(shop.customer)}"}
    limits = httpx2.Limits(max_connections=1)
    async with httpx2.AsyncClient(base_url=f"http://{shop.address}", limits=limits, headers=accept) as client:
        async with client.stream("POST", "/graphql", json=query) as response:
            await anext(response.aiter_lines())
            assert connections._of_client[user] == 1
            assert connections._of_client[address] == 0
        await until(lambda: len(connections) == 0)
        finished = await client.post("/graphql", json={"query": "{ __typename }"})
        assert finished.text.startswith("event: next")
        assert connections._of_client[address] == 1
    await until(lambda: len(connections) == 0)


@pytest.mark.parametrize("changed_settings", [FEW | {"trusted_proxies": "127.0.0.1"}])
async def test_clients_behind_a_proxy_have_so_many_streams_each(shop: Shop, changed_settings: dict[str, Any]) -> None:
    address = shop.address
    async with AsyncExitStack() as stack:
        for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
            await stack.enter_async_context(connected(address, additional_headers=forwarded(host)))
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(connected(address, additional_headers=forwarded("192.0.2.1")))
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "1"
        (error,) = json.loads(refused.value.response.body or b"")["errors"]
        assert error["extensions"] == {"code": "CONNECTION_LIMIT", "limit": 2}

        query, headers = {"query": "{ __typename }"}, forwarded("192.0.2.1")
        streamed = {**headers, "Accept": "text/event-stream"}
        response = await shop.api.client.post("/graphql", json=query, headers=streamed)
        assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (429, "CONNECTION_LIMIT")
        assert response.headers["Retry-After"] == "1"
        response = await shop.api.client.post("/graphql", json=query, headers=headers)
        assert response.json()["data"] == {"__typename": "Query"}


async def test_a_websocket_answers_a_few_queries_at_once(shop: Shop) -> None:
    """The others wait, so that a client that reads nothing piles up few responses."""
    async with connected(shop.address, shop.token(shop.customer)) as client, shop.engine.begin() as blocking:
        await blocking.execute(text("LOCK TABLE stores IN ACCESS EXCLUSIVE MODE"))
        for number in range(10):
            await client.subscribe("{ stores(first: 1) { nodes { id } } }", {}, id=str(number))
        await asyncio.sleep(0.3)
        pool = shop.services.database.engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() <= 4 + 1  # and the one that blocks
        await blocking.rollback()
        answered = [await client.receive() for _ in range(20)]
    assert [message["type"] for message in answered].count("next") == 10
