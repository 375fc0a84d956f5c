"""Which pages of other hosts may call the API, and whose word is taken for where a request comes from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.cli.serving import configured
from app.main import create_app
from app.settings import Settings
from tests.databases import SingleConnection

SHOP = "https://shop.example.com"
QUERY = {"query": "{ __typename }"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, x-request-id",
}


@asynccontextmanager
async def shared_with(
    connection: AsyncConnection, settings: Settings, origins: str
) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings.model_copy(update={"cors_origins": origins}), SingleConnection(connection))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield client


@pytest.fixture
async def client(connection: AsyncConnection, settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser whose pages are of any origin; the application is shared with two."""
    async with shared_with(connection, settings, f"{SHOP}, https://admin.example.com") as client:
        yield client


async def test_pages_of_the_origin_may_send_what_the_api_takes(client: httpx2.AsyncClient) -> None:
    response = await client.options("/graphql", headers={"Origin": SHOP, **PREFLIGHT})

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert "Origin" in response.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in response.headers


async def test_pages_of_the_origin_may_read_every_response(client: httpx2.AsyncClient) -> None:
    for origin in (SHOP, "https://admin.example.com"):
        for sent in (QUERY, {"query": "{"}, {}):
            response = await client.post("/graphql", json=sent, headers={"Origin": origin})

            assert response.headers["Access-Control-Allow-Origin"] == origin
            exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"X-Request-ID", "Idempotency-Replayed", "Retry-After", "RateLimit"} <= set(exposed)
            assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example.com", f"{SHOP}.evil.com", "http://shop.example.com", "null"])
async def test_pages_of_another_origin_may_not(client: httpx2.AsyncClient, origin: str) -> None:
    preflight = await client.options("/graphql", headers={"Origin": origin, **PREFLIGHT})
    response = await client.post("/graphql", json=QUERY, headers={"Origin": origin})

    assert preflight.status_code == 400
    assert not {name for name in preflight.headers if name == "access-control-allow-origin"}
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    "asked", [{"Access-Control-Request-Method": "DELETE"}, {"Access-Control-Request-Headers": "x-other"}]
)
async def test_pages_of_the_origin_may_do_no_more(client: httpx2.AsyncClient, asked: dict[str, str]) -> None:
    response = await client.options("/graphql", headers={"Origin": SHOP, **PREFLIGHT, **asked})

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("trusted", "client"),
    [
        ("", "10.0.0.9"),
        ("10.0.0.8", "10.0.0.9"),
        ("10.0.0.9", "203.0.113.7"),
        ("192.0.2.1, 10.0.0.0/24", "203.0.113.7"),
        ("*", "198.51.100.1"),
    ],
)
async def test_only_named_proxies_tell_who_the_client_is(trusted: str, client: str) -> None:
    clients = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        clients.append(scope["client"][0])

    scope = {
        "type": "http",
        "client": ("10.0.0.9", 5000),
        "headers": [(b"x-forwarded-for", b"198.51.100.1, 203.0.113.7")],
    }
    settings = Settings(trusted_proxies=trusted, secret_key=SecretStr("0123456789abcdef" * 2))
    await served_by(application, settings)(scope, receive_nothing, send_nothing)

    assert clients == [client]


def served_by(application: ASGIApp, settings: Settings) -> ASGIApp:
    """What uvicorn calls with these settings, were this the application."""
    config = configured(settings, "127.0.0.1", 0, workers=1)
    config.app, config.factory = application, False
    config.load()
    loaded: ASGIApp = config.loaded_app
    return loaded


async def receive_nothing() -> Message:
    raise AssertionError("there is nothing to receive")


async def send_nothing(_: Message) -> None:
    raise AssertionError("there is nothing to send")


async def test_any_origin_may_be_named(connection: AsyncConnection, settings: Settings) -> None:
    async with shared_with(connection, settings, "*") as client:
        response = await client.post("/graphql", json=QUERY, headers={"Origin": SHOP})

    assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_unless_origins_are_named_there_are_none(connection: AsyncConnection, settings: Settings) -> None:
    async with shared_with(connection, settings, "") as client:
        response = await client.post("/graphql", json=QUERY, headers={"Origin": SHOP})
        preflight = await client.options("/graphql", headers={"Origin": SHOP, **PREFLIGHT})

    assert preflight.status_code == 405
    for headers in (response.headers, preflight.headers):
        assert not [name for name in headers if name.startswith("access-control")]
