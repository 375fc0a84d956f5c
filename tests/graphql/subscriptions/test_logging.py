"""What the log tells of operations over websockets and of streams: one line each, when they are over."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.graphql.subscriptions.clients import connected, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PRODUCT
from tests.graphql.subscriptions.test_event_streams import stream
from tests.market import gid
from tests.products.changes import update

NAMED = PRODUCT.replace("subscription", "subscription Stock")


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    return {"slow_operation_milliseconds": 0.001}  # to which every operation is slow, but none that is followed


def operations(entries: list[Any]) -> list[Any]:
    return [entry for entry in entries if entry["event"] == "operation" and entry["type"] == "subscription"]


async def test_a_subscription_over_a_websocket_is_one_line(shop: Shop) -> None:
    with capture_logs() as entries:
        async with connected(shop.address, shop.token(shop.owner)) as client:
            await client.subscribe(NAMED, {"id": gid(shop.product)})
            await client.next()
            await update(shop.api, shop.owner, id=gid(shop.product), price="7")
            await client.next()
            assert operations(entries) == []
        await until(lambda: len(operations(entries)) == 1)

    (entry,) = operations(entries)
    assert (entry["name"], entry["viewer"], entry["results"]) == ("Stock", shop.owner.id, 2)
    assert (entry["status"], list(entry["codes"]), entry["log_level"]) == (None, [], "info")
    assert entry["statements"] >= 2


async def test_a_stream_is_one_line(shop: Shop) -> None:
    with capture_logs() as entries:
        async with stream(shop, NAMED, {"id": gid(shop.product)}, shop.owner) as events:
            await events.next()
        await until(lambda: len(operations(entries)) == 1)

    (entry,) = operations(entries)
    assert (entry["name"], entry["viewer"], entry["results"]) == ("Stock", shop.owner.id, 1)


async def test_a_subscription_that_is_refused_is_told_with_its_code(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    with capture_logs() as entries:
        async with connected(shop.address) as client:
            await client.subscribe(ORDER, {"id": gid(order)})
            assert await client.refusal() == "UNAUTHENTICATED"

    (entry,) = operations(entries)
    assert list(entry["codes"]) == ["UNAUTHENTICATED"]


async def test_a_query_over_a_websocket_is_told_as_a_query(shop: Shop) -> None:
    with capture_logs() as entries:
        async with connected(shop.address) as client:
            await client.subscribe("query Catalogue { products { totalCount } }")
            await client.next()
            await client.receive()

    (entry,) = (entry for entry in entries if entry["event"] == "operation")
    assert (entry["name"], entry["type"], entry["results"]) == ("Catalogue", "query", 1)
