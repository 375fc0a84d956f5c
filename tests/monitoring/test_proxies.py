"""A proxy that isn't trusted is noticed: all its clients would share one address, and the attempts of one."""

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from websockets.asyncio.client import connect

from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.graphql.subscriptions.clients import PROTOCOL, serving

PROXY, CLIENT = "10.0.0.5", "192.0.2.7"
NOTICED = "forwarded headers ignored"
QUERY = {"query": "{ __typename }"}


def behind(trusted: str, app: Any) -> Any:
    """Return the application as uvicorn serves it with these TRUSTED_PROXIES."""
    return ProxyHeadersMiddleware(app, trusted)


async def noticed(app: Any, headers: Mapping[str, str], times: int = 1) -> tuple[list[Any], float]:
    """Return the warnings after so many requests through the proxy, and how many the metrics have counted."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, client=(PROXY, 1)), base_url="http://test"
    ) as client:
        with capture_logs() as entries:
            for _ in range(times):
                await client.post("/graphql", json=QUERY, headers=headers)
        families = text_string_to_metric_families((await client.get("/metrics")).text)
    (counted,) = (
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "orders_api_untrusted_forwards_total"
    )
    return [entry for entry in entries if entry["event"] == NOTICED], counted


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-For": CLIENT}, {"Forwarded": f"for={CLIENT}"}, {"X-Forwarded-For": f"1.2.3.4, {CLIENT}"}]
)
async def test_without_trusted_proxies_it_is_noticed_once(
    connection: Any, settings: Settings, headers: dict[str, str]
) -> None:
    (warning,), counted = await noticed(create_app(settings, SingleConnection(connection)), headers, times=3)

    assert (warning["log_level"], warning["peer"]) == ("warning", PROXY)
    assert "TRUSTED_PROXIES" in warning["advice"]
    assert counted == 3


async def test_a_proxy_that_is_not_among_the_trusted_is_noticed(connection: Any, settings: Settings) -> None:
    app = behind("10.0.0.9", create_app(settings, SingleConnection(connection)))

    warnings, counted = await noticed(app, {"X-Forwarded-For": CLIENT})

    assert (len(warnings), counted) == (1, 1)


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": CLIENT}, {"X-Forwarded-For": CLIENT, "Forwarded": "for=a"}])
async def test_a_proxy_that_is_trusted_is_not(connection: Any, settings: Settings, headers: dict[str, str]) -> None:
    app = behind(PROXY, create_app(settings, SingleConnection(connection)))

    assert await noticed(app, headers) == ([], 0)


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-For": ""}])
async def test_who_comes_without_a_proxy_is_not(api: Api, headers: dict[str, str]) -> None:
    with capture_logs() as entries:
        await api.send("{ __typename }", headers=headers)

    assert [entry["event"] for entry in entries] == ["operation"]


async def test_a_websocket_is_noticed_too(connection: Any, settings: Settings) -> None:
    app = create_app(settings, SingleConnection(connection))
    with capture_logs() as entries:
        async with (
            serving(app) as address,
            connect(
                f"ws://{address}/graphql", subprotocols=[PROTOCOL], additional_headers={"Forwarded": f"for={CLIENT}"}
            ),
        ):
            pass

    assert [entry["event"] for entry in entries if entry["event"] == NOTICED] == [NOTICED]
