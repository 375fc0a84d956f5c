"""Subscriptions as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.db.models import User
from tests.graphql.subscriptions.clients import PATIENCE, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PRODUCT
from tests.market import gid
from tests.orders.operations import PLACE, item
from tests.orders.store_orders import fulfill
from tests.products.changes import update


class Stream:
    """The events of one response."""

    def __init__(self, response: httpx2.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        """Return the name and the data of the next event."""
        name = ""
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key.startswith("data"):
                    return name, json.loads(value) if value else None
        raise EOFError


@asynccontextmanager
async def stream(shop: Shop, query: str, variables: Any, user: User | None = None) -> AsyncIterator[Stream]:
    headers = {"Accept": "text/event-stream"} | ({"Authorization": f"Bearer {shop.token(user)}"} if user else {})
    body = {"query": query, "variables": variables}
    async with shop.api.client.stream("POST", "/graphql", json=body, headers=headers, timeout=PATIENCE) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


async def test_a_stream_tells_what_is_so_and_what_follows(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    async with stream(shop, ORDER, {"id": gid(order)}, shop.customer) as events:
        name, first = await events.next()
        assert name == "next"
        assert first["data"]["orderUpdated"]["order"]["status"] == "PLACED"
        await fulfill(shop.api, shop.owner, await shop.market.store_order(order, shop.store))
        assert (await events.next())[1]["data"]["orderUpdated"]["order"]["status"] == "FULFILLED"
    await shop.followed(0)


async def test_who_takes_both_is_sent_a_stream_only_of_a_subscription(shop: Shop) -> None:
    takes_both = {"Accept": "application/graphql-response+json, application/json, text/event-stream"}
    query = {"query": "{ __typename }"}
    followed = {"query": PRODUCT, "variables": {"id": gid(shop.product)}}

    whole = await shop.api.client.post("/graphql", json=query, headers=takes_both)
    assert whole.json()["data"] == {"__typename": "Query"}
    rather = {"Accept": "application/json;q=0.5, text/event-stream"}
    assert (await shop.api.client.post("/graphql", json=query, headers=rather)).text.startswith("event: next")
    async with shop.api.client.stream("POST", "/graphql", json=followed, headers=takes_both) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-request-id"]
        assert (await Stream(response).next())[0] == "next"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"query": 5}'])
async def test_what_is_malformed_is_no_stream(shop: Shop, body: bytes) -> None:
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    response = await shop.api.client.post("/graphql", content=body, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json; charset=utf-8")
    assert response.json().keys() == {"errors"}


async def test_what_changes_something_is_not_got(shop: Shop) -> None:
    mutation = 'mutation { logOut(input: { refreshToken: "x" }) { __typename } }'
    response = await shop.api.client.get(
        "/graphql", params={"query": mutation}, headers={"Accept": "text/event-stream"}
    )
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"


async def test_a_stream_that_may_not_be_ends_with_its_reason(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    async with stream(shop, ORDER, {"id": gid(order)}, await shop.market.user()) as events:
        name, refused = await events.next()
        assert name == "next"
        assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        assert await events.next() == ("complete", None)


async def test_nothing_is_left_of_clients_that_are_gone(shop: Shop) -> None:
    async with stream(shop, PRODUCT, {"id": gid(shop.product)}) as events:
        await events.next()
    await shop.followed(0)
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        async with (
            stream(shop, PRODUCT, {"id": gid(shop.product)}, shop.customer) as first,
            stream(shop, PRODUCT, {"id": gid(shop.product)}, shop.customer) as second,
        ):
            for events in (first, second):
                await events.next()
            await update(shop.api, shop.owner, id=gid(shop.product), price="4")
        await shop.followed(0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert not shop.live._of_client


async def test_at_the_end_a_stream_breaks_off_so_that_clients_connect_again(shop: Shop) -> None:
    async with stream(shop, PRODUCT, {"id": gid(shop.product)}) as events:
        await events.next()
        await shop.live.end()
        with pytest.raises(EOFError):
            await events.next()


async def test_a_mutation_is_a_stream_of_one_event_and_happens_once_for_a_key(shop: Shop) -> None:
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {shop.token(shop.customer)}",
        "Idempotency-Key": "an-order-of-bread",
    }
    body = {"query": PLACE, "variables": {"items": [item(shop.product)]}}
    answers = [await shop.api.client.post("/graphql", json=body, headers=headers) for _ in range(2)]
    assert answers[0].text == answers[1].text
    assert answers[0].text.startswith("event: next")
    assert await shop.sql("SELECT count(*) FROM orders") == [(1,)]


@pytest.mark.parametrize("query", [PRODUCT, "{ stores { totalCount } }"])
async def test_with_a_bad_token_a_stream_says_so_and_ends(shop: Shop, query: str) -> None:
    headers = {"Accept": "text/event-stream", "Authorization": "Bearer bad"}
    body = {"query": query, "variables": {"id": gid(shop.product)}}
    answer = (await shop.api.client.post("/graphql", json=body, headers=headers)).text
    lines = [line for line in answer.splitlines() if line and not line.startswith(":")]
    assert [line for line in lines if line.startswith("event")] == ["event: next", "event: complete"]
    result = json.loads(lines[1].removeprefix("data: "))
    assert [error["extensions"]["code"] for error in result["errors"]] == ["UNAUTHENTICATED"]
    assert "data" not in result


async def test_nothing_is_left_of_a_client_that_took_nothing(shop: Shop) -> None:
    await update(shop.api, shop.owner, id=gid(shop.product), description="x" * 5_000)
    query = "subscription ($id: ID!) { productUpdated(productId: $id) { product { " + "".join(
        f"d{number}: description " for number in range(30)
    )
    body = json.dumps({"query": query + "} } }", "variables": {"id": gid(shop.product)}}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: {shop.address}\r\nAccept: text/event-stream\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(*shop.address.split(":"), limit=1_000)
    writer.write(head.encode() + body)
    await shop.followed(1)
    for number in range(100):  # 150 kB each
        await update(shop.api, shop.owner, id=gid(shop.product), price=f"{1 + number}")
    assert shop.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pool that it is
    writer.transport.abort()
    await shop.followed(0)
    assert reader is not None
