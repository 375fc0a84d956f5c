"""What a websocket may be used for, and how it ends."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from app.errors import Restarting
from app.events.catalog import Topic
from tests.events import legacy_text
from tests.graphql.subscriptions.clients import PROTOCOL, Client, connected, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import PLACED, PRODUCT
from tests.market import gid
from tests.orders.operations import PLACE, item
from tests.products.changes import update
from tests.servers import served
from tests.triggers import renamed

ALLOWED = Origin("https://shop.example.com")


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    return {
        "websocket_origins": ALLOWED,
        "websocket_idle_seconds": 0.3,
        "operations_per_websocket": 3,
        "subscriptions_per_user": 2,
    }


async def test_the_legacy_protocol_is_refused(shop: Shop) -> None:
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[Subprotocol("graphql-ws")]) as websocket:
        assert await Client(websocket).close_code() == 4406


async def test_pages_of_other_origins_are_refused(shop: Shop) -> None:
    with capture_logs() as entries, pytest.raises(InvalidStatus) as refused:
        async with connected(shop.address, origin=Origin("https://evil.example.com")):
            pass
    assert refused.value.response.status_code == 403
    assert [entry["origin"] for entry in entries if "WEBSOCKET_ORIGINS" in entry["event"]] == [
        "https://evil.example.com"
    ]
    for origin in (ALLOWED, Origin(f"http://{shop.address}")):
        async with connected(shop.address, origin=origin):
            pass


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "7",
        "[]",
        "{}",
        '{"type": "unknown"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": [], "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}',
        '{"type": "complete", "id": {}}',
        '{"type": "connection_init", "payload": 1}',
    ],
)
async def test_what_is_no_message_closes_the_websocket(shop: Shop, text: str) -> None:
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
        await websocket.send(text)
        assert await Client(websocket).close_code() == 4400


async def test_who_has_nothing_to_say_of_themselves_may_say_null(shop: Shop) -> None:
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
        client = Client(websocket)
        await client.send({"type": "connection_init", "payload": None})
        assert await client.receive() == {"type": "connection_ack"}


async def test_a_byte_order_mark_before_a_message_is_skipped(shop: Shop) -> None:
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
        await websocket.send('\ufeff{"type": "connection_init"}')
        assert await Client(websocket).receive() == {"type": "connection_ack"}


async def test_bytes_are_no_message(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.websocket.send(b"{}")
        assert await client.close_code() == 4400


async def test_nothing_begins_before_the_connection_is_acknowledged(shop: Shop) -> None:
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
        client = Client(websocket)
        await client.subscribe("{ __typename }")
        assert await client.close_code() == 4401


async def test_an_id_is_used_once_at_a_time(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        assert await client.close_code() == 4409
    await shop.followed(0)


async def test_a_ping_is_answered(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.send({"type": "ping"})
        assert await client.receive() == {"type": "pong"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription ($id: ID!) { productUpdated(productId: $id) { product { name } } }", "BAD_USER_INPUT"),
        (
            'subscription { a: productUpdated(productId: "1") { ...E } b: productUpdated(productId: "2") { ...E } }'
            " fragment E on ProductUpdatedEvent { __typename }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ],
)
async def test_an_operation_that_cannot_run_is_an_error_of_its_own(shop: Shop, query: str, code: str) -> None:
    async with connected(shop.address) as client:
        await client.subscribe(query)
        assert await client.refusal() == code
        await client.subscribe("{ __typename }")
        assert await client.next() == {"__typename": "Query"}


async def test_queries_and_mutations_run_as_over_http(shop: Shop) -> None:
    async with connected(shop.address, shop.token(shop.customer)) as client:
        await client.subscribe(PLACE, {"items": [item(shop.product, 2)]}, id="place")
        order = (await client.next("place"))["placeOrder"]["order"]
        assert (await client.receive())["type"] == "complete"
        assert await shop.sql("SELECT quantity FROM order_items") == [(2,)]
        await client.subscribe("query ($id: ID!) { order(id: $id) { status } }", {"id": order["id"]}, id="read")
        assert await client.next("read") == {"order": {"status": "PLACED"}}
    ids = await shop.sql("SELECT count(DISTINCT request_id) FROM audit_entries")
    assert ids == [(1,)]


async def test_what_was_not_foreseen_is_not_told(shop: Shop) -> None:
    event = legacy_text(Topic("Product", shop.product.id))
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        async with renamed(shop.engine, "products"):
            await shop.sql("SELECT pg_notify('orders_api', :event)", event=event)
            error = await client.end()
        assert error["code"] == "INTERNAL_SERVER_ERROR"
        assert "relation" not in json.dumps(error)


async def test_a_subscription_that_is_completed_is_over(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        await client.send({"type": "complete", "id": "1"})
        await shop.followed(0)
        await update(shop.api, shop.owner, id=gid(shop.product), price="3")
        await client.send({"type": "ping"})
        assert await client.receive() == {"type": "pong"}


async def test_a_websocket_runs_so_many_operations(shop: Shop) -> None:
    async with connected(shop.address) as client:
        for number in range(3):
            await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id=str(number))
            await client.next(str(number))
        await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id="too many")
        assert await client.refusal() == "SUBSCRIPTION_LIMIT"
        await client.send({"type": "complete", "id": "0"})
        await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id="again")
        await client.next("again")


async def test_a_user_has_so_many_subscriptions(shop: Shop) -> None:
    token = shop.token(shop.owner)
    async with connected(shop.address, token) as first, connected(shop.address, token) as second:
        for client in (first, second):
            await client.subscribe(PRODUCT, {"id": gid(shop.product)})
            await client.next()
        await second.subscribe(PLACED, {"id": gid(shop.store)}, id="too many")
        assert await second.refusal() == "SUBSCRIPTION_LIMIT"
        async with connected(shop.address, shop.token(shop.customer)) as other:
            await other.subscribe(PRODUCT, {"id": gid(shop.product)})
            await other.next()
        await first.send({"type": "complete", "id": "1"})
        await shop.followed(1)
        await second.subscribe(PRODUCT, {"id": gid(shop.product)}, id="another")
        await second.next("another")


async def test_a_websocket_without_operations_is_closed(shop: Shop) -> None:
    async with connected(shop.address) as busy, connected(shop.address) as idle:
        await busy.subscribe(PRODUCT, {"id": gid(shop.product)})
        await busy.next()
        assert await idle.close_code() == 1000
        await update(shop.api, shop.owner, id=gid(shop.product), price="3")
        assert (await busy.next())["productUpdated"]["product"]["price"] == {"amount": "3.00"}
        await busy.send({"type": "complete", "id": "1"})
        assert await busy.close_code() == 1000


async def test_at_the_end_clients_are_told_to_connect_again(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        await shop.live.end()
        assert await client.close_code() == 1012
        assert client.websocket.close_reason == str(Restarting())
    await until(lambda: len(shop.live.events) == 0)


async def test_a_subscription_over_plain_http_is_refused(shop: Shop) -> None:
    query = f'subscription {{ productUpdated(productId: "{gid(shop.product)}") {{ __typename }} }}'
    response = await shop.api.send(query)
    assert response.status_code == 406
    response = await shop.api.client.get("/graphql", params={"query": query}, headers={"Accept": "application/json"})
    assert response.status_code == 406


async def test_a_message_may_be_as_large_as_a_request(database_url: str) -> None:
    with served(DATABASE_URL=database_url, BODY_LIMIT_KB="1") as (_, url):
        async with connected(url.removeprefix("http://")) as client:
            await client.subscribe(f"{{ __typename }} #{'x' * 800}")
            assert await client.next() == {"__typename": "Query"}
            await client.subscribe(f"{{ __typename }} #{'x' * 1024}", id="2")
            assert await client.close_code() == 1009
