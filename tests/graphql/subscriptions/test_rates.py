"""Operations on websockets and streams of events cost points, too."""

from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from tests.graphql.subscriptions.clients import connected
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import PRODUCT
from tests.market import gid

QUERY = "{ products(first: 60) { nodes { id } } }"


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    return {"rate_limit": "100/hour"}


async def test_a_websocket_has_no_share_of_its_own(shop: Shop) -> None:
    async with connected(shop.address) as one, connected(shop.address) as other:
        await one.subscribe(QUERY)
        assert len((await one.next())["products"]["nodes"]) == 1
        await other.subscribe(QUERY)
        assert await other.refusal() == "RATE_LIMIT_EXCEEDED"
        assert (await one.receive())["type"] == "complete"
        await one.subscribe("{ products(first: 40) { nodes { id } } }", id="2")
        await one.next(id="2")
        await other.subscribe(PRODUCT, {"id": gid(shop.product)}, id="2")
        assert await other.refusal() == "RATE_LIMIT_EXCEEDED"


async def test_neither_has_a_stream_of_events(shop: Shop) -> None:
    headers = {"Accept": "text/event-stream"}
    with capture_logs() as entries:
        async with httpx2.AsyncClient(base_url=f"http://{shop.address}", headers=headers) as client:
            answers = [(await client.post("/graphql", json={"query": QUERY})).text for _ in range(2)]

    assert ["RATE_LIMIT_EXCEEDED" in answer for answer in answers] == [False, True]
    told = [entry for entry in entries if entry["event"] == "operation"]
    assert [[*entry["codes"]] for entry in told] == [[], ["RATE_LIMIT_EXCEEDED"]]


async def test_a_subscription_is_counted_once_whatever_else_its_client_takes(shop: Shop) -> None:
    headers = {"Accept": "application/json, text/event-stream"}
    subscription = {"query": PRODUCT, "variables": {"id": gid(shop.product)}}
    async with httpx2.AsyncClient(base_url=f"http://{shop.address}", headers=headers) as client:
        async with client.stream("POST", "/graphql", json=subscription) as response:
            assert "text/event-stream" in response.headers["Content-Type"]
            await anext(response.aiter_lines())
        left = await client.post("/graphql", json={"query": "{ viewer { id } }"})

    assert left.headers["RateLimit"].startswith('"points";r=98;')
