"""The same operation takes the same path over every transport, and the log says which."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.graphql.subscriptions.clients import connected, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.test_event_streams import stream
from tests.market import gid

QUERY = "query Stock($id: ID!) { product(id: $id) { stock store { name } } }"
DECLINED = "query Stock($id: ID!) { product(id: $id) { stock } __schema { queryType { name } } }"


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    return {"compiled_path": True}


async def over_http(shop: Shop, query: str, variables: dict[str, Any]) -> Any:
    response = await shop.api.client.post("/graphql", json={"query": query, "variables": variables})
    return response.json()


async def over_event_stream(shop: Shop, query: str, variables: dict[str, Any]) -> Any:
    async with stream(shop, query, variables) as events:
        name, result = await events.next()
        assert (name, await events.next()) == ("next", ("complete", None))
        return result


async def over_websocket(shop: Shop, query: str, variables: dict[str, Any]) -> Any:
    async with connected(shop.address) as client:
        await client.subscribe(query, variables)
        message = await client.receive()
        assert message["type"] == "next"
        assert await client.receive() == {"id": "1", "type": "complete"}
        return message["payload"]


TRANSPORTS = [over_http, over_event_stream, over_websocket]


@pytest.mark.parametrize(("query", "path"), [(QUERY, "compiled"), (DECLINED, "resolver")])
@pytest.mark.parametrize("send", TRANSPORTS)
async def test_a_query_takes_its_path_over_every_transport(shop: Shop, send: Any, query: str, path: str) -> None:
    variables = {"id": gid(shop.product)}
    with capture_logs() as entries:
        result = await send(shop, query, variables)
        await until(lambda: any(entry["event"] == "operation" for entry in entries))

    assert result["data"]["product"]["stock"] == 100
    assert result["extensions"]["cost"]["requested"] > 0
    (entry,) = (entry for entry in entries if entry["event"] == "operation")
    assert (entry["path"], entry["name"], entry["type"]) == (path, "Stock", "query")
    assert entry["statements"] == 1
    metrics = (await shop.api.client.get("/metrics")).text
    assert f'orders_api_operations_total{{code="",name="Stock",path="{path}",type="query"}} 1.0' in metrics


@pytest.mark.parametrize("send", TRANSPORTS)
async def test_a_query_has_the_same_response_over_every_transport(shop: Shop, send: Any) -> None:
    variables = {"id": gid(shop.product)}

    assert await send(shop, QUERY, variables) == await over_http(shop, QUERY, variables)


@pytest.mark.parametrize("send", [over_event_stream, over_websocket])
async def test_an_unforeseen_failure_is_reported_over_every_transport(
    shop: Shop, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the safe is behind the painting")

    monkeypatch.setattr(shop.services.documents, "requested", fail)
    with capture_logs() as entries:
        if send is over_websocket:
            async with connected(shop.address) as client:
                await client.subscribe(QUERY, {})
                assert await client.refusal() == "INTERNAL_SERVER_ERROR"
        else:
            response = await shop.api.client.post(
                "/graphql", json={"query": QUERY}, headers={"Accept": "text/event-stream"}
            )
            (error,) = response.json()["errors"]
            assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        await until(lambda: any(entry["event"] == "operation" for entry in entries))

    assert [entry["event"] for entry in entries if entry["log_level"] == "error"] == ["internal error"]
