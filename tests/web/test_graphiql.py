"""GraphiQL: complete without another host, installed as pinned or not at all, usable in a real browser."""

import re
import socket
import tarfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import httpx2
import pytest
import strawberry
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.http.base import BaseRequestProtocol
from typer.testing import CliRunner, Result

from app.db import models
from app.main import create_app
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings
from app.web import graphiql
from app.web.graphiql import Asset, fetch
from app.web.static import integrity
from tests.browser import barriers, chromium, watch
from tests.market import Market, gid

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
GRAPHIQLS_OWN = (".CodeMirror", ".graphiql-explorer-root", ".graphiql-tab")
DEBOUNCE = 700  # milliseconds; GraphiQL takes note of what is typed, and stores it, after 500


@strawberry.type
class Money:
    amount: str
    currency: str


@strawberry.type
class Store:
    name: str
    city: str
    country: str


@strawberry.type
class Product:
    id: strawberry.ID
    name: str
    price: Money
    store: Store


@strawberry.type
class PageInfo:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class Products:
    total_count: int
    nodes: list[Product]
    page_info: PageInfo


STORE = Store(name="Nordlicht", city="Kiel", country="DE")
KETTLE = Product(id=strawberry.ID("1"), name="Kettle", price=Money(amount="49.90", currency="EUR"), store=STORE)


@strawberry.type
class Query:
    @strawberry.field
    def products(self, first: int) -> Products:
        return Products(total_count=1, nodes=[KETTLE][:first], page_info=PageInfo(has_next_page=False, end_cursor=None))


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def authorization(self, info: strawberry.Info[dict[str, Any]]) -> AsyncGenerator[str]:
        yield info.context["connection_params"]["Authorization"]


class View(GraphQL[dict[str, Any], None]):
    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        return request.method == "GET" and "text/html" in request.headers.get("accept", "")

    async def render_graphql_ide(self, request: Request) -> Response:
        return graphiql.page()


def small_app() -> FastAPI:
    view = View(strawberry.Schema(Query, subscription=Subscription))
    endpoint = [Route("/graphql", view), WebSocketRoute("/graphql", view)]
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=endpoint)
    app.include_router(graphiql.files())
    return app


@pytest.fixture
def client() -> TestClient:
    return TestClient(small_app())


@pytest.fixture
def empty_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The assets folder of a checkout in which nothing is installed."""
    folder = tmp_path / "assets"
    monkeypatch.setattr(graphiql, "ASSETS", folder)
    return folder


@pytest.fixture
def some_assets(empty_assets: Path) -> Path:
    """An assets folder with a fake for every file."""
    for asset in graphiql.assets():
        asset.location.parent.mkdir(parents=True, exist_ok=True)
        asset.location.write_text(asset.path)
    return empty_assets


def loaded_files(html: str) -> dict[str, str]:
    """The URL of every script and style sheet, and its integrity."""
    return dict(re.findall(r'<(?:script|link)[^>]* (?:src|href)="(/[^"]*)" integrity="([^"]*)"', html))


@pytest.mark.usefixtures("some_assets")
def test_nothing_is_loaded_from_another_host(client: TestClient) -> None:
    html = client.get("/graphql", headers=BROWSER).text
    own_files = [client.get(url).text for url in loaded_files(html) if "/page@" in url]
    assert len(own_files) == 2
    for text in [html, *own_files]:
        assert not re.search(r"//\w", text.replace("http://www.w3.org/2000/svg", ""))


@pytest.mark.usefixtures("some_assets")
def test_every_file_is_served_for_good_and_pinned_by_its_hash(client: TestClient) -> None:
    html = client.get("/graphql", headers=BROWSER).text
    files = loaded_files(html)
    assert len(files) == len(graphiql.assets()) + 2 == html.count("integrity=")
    for url, expected in files.items():
        response = client.get(url)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(("text/css", "text/javascript"))
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert expected == integrity(response.content) or "/page@" not in url


@pytest.mark.usefixtures("some_assets")
def test_page_is_confined_to_its_own_host(client: TestClient) -> None:
    response = client.get("/graphql", headers=BROWSER)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "same-origin"
    policy = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"


@pytest.mark.usefixtures("some_assets")
def test_a_link_with_a_query_opens_the_page_for_a_browser_only(client: TestClient) -> None:
    query = {"query": "{ products(first: 1) { totalCount } }"}
    page = client.get("/graphql", params=query, headers=BROWSER)
    assert "<title>Orders API · GraphiQL</title>" in page.text
    assert client.get("/graphql", params=query).json()["data"] == {"products": {"totalCount": 1}}


@pytest.mark.usefixtures("some_assets")
@pytest.mark.parametrize(
    "path",
    [
        "",
        "page.html",
        "../fetch.py",
        "%2e%2e/fetch.py",
        "..%2ffetch.py",
        "graphiql@4.1.2/../../fetch.py",
        "graphiql@4.1.2/%2e%2e/%2e%2e/fetch.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "page@000000000000/graphiql.js",
    ],
)
def test_only_files_of_the_page_are_served(client: TestClient, path: str) -> None:
    assert client.get(f"/graphql/assets/{path}").status_code == 404


@pytest.mark.usefixtures("empty_assets")
def test_without_its_files_the_page_says_how_to_get_them(client: TestClient) -> None:
    response = client.get("/graphql", headers=BROWSER)
    assert response.status_code == 503
    assert "make graphiql" in response.text
    assert not loaded_files(response.text)
    assert client.get(f"/graphql/assets/{graphiql.assets()[0].path}").status_code == 404
    answer = client.post("/graphql", json={"query": "{ products(first: 1) { totalCount } }"})
    assert answer.json()["data"] == {"products": {"totalCount": 1}}


Npm = Callable[[str], None]


@pytest.fixture
def tarballs(empty_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pinned packages, whose tarballs a working npm would put into the folder."""
    left = Asset("left", "1.0.0", "dist/left.js", integrity(b"left"))
    right = Asset("@scope/right", "2.0.0", "right.css", integrity(b"right"))
    monkeypatch.setattr(fetch, "assets", lambda: (left, right))
    folder = tmp_path / "tarballs"
    folder.mkdir()
    pack(folder / "left-1.0.0.tgz", "package/dist/left.js", b"left")
    pack(folder / "scope-right-2.0.0.tgz", "package/right.css", b"right")
    return folder


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    """Make `npm` a shell script with the given commands; without any, there is no npm."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def replace(commands: str) -> None:
        script = folder / "npm"
        script.write_text(f"#!/bin/sh\n{commands}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    monkeypatch.setenv("PATH", str(folder))
    return replace


def pack(tarball: Path, name: str, content: bytes) -> None:
    with tarfile.open(tarball, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, BytesIO(content))


def run_fetch(*arguments: str) -> Result:
    return CliRunner().invoke(fetch.cli, arguments)


def test_pinned_files_are_installed_once(tarballs: Path, npm: Npm, empty_assets: Path) -> None:
    npm(f'echo "$@" >> {tarballs}/calls; cp {tarballs}/*.tgz .')
    assert run_fetch().stdout == "GraphiQL: installed.\n"
    assert run_fetch().stdout == "GraphiQL: already installed.\n"
    installed = {str(file.relative_to(empty_assets)) for file in empty_assets.rglob("*") if file.is_file()}
    assert installed == {"left@1.0.0/dist/left.js", "@scope/right@2.0.0/right.css"}
    [call] = (tarballs / "calls").read_text().splitlines()
    assert call.startswith("pack --ignore-scripts ")
    assert call.endswith(" @scope/right@2.0.0 left@1.0.0")


@pytest.mark.parametrize("name", ["package/right.css", "package/other.css"])
def test_a_tampered_package_is_refused_and_nothing_installed(
    tarballs: Path, npm: Npm, empty_assets: Path, name: str
) -> None:
    pack(tarballs / "scope-right-2.0.0.tgz", name, b"right, and something more")
    npm(f"cp {tarballs}/*.tgz .")
    result = run_fetch("--optional")
    assert result.exit_code == 1
    assert "right.css" in result.stderr
    assert not empty_assets.exists()


@pytest.mark.usefixtures("tarballs")
@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        (None, "npm is not installed"),
        ("echo 'cannot reach example.com' >&2; exit 1", "could not download"),
        ("exec sleep 30", "did not finish"),
    ],
)
def test_without_npm_or_network_one_line_tells_so(
    npm: Npm, monkeypatch: pytest.MonkeyPatch, commands: str | None, reason: str
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.5)
    if commands:
        npm(commands)
    result = run_fetch()
    assert (result.exit_code, run_fetch("--optional").exit_code) == (1, 0)
    [line] = result.output.splitlines()
    assert reason in line
    assert "make graphiql" in line
    assert "example.com" not in line


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """The base URL of a real server of `app`, on a free port of this machine only."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def recording(app: ASGIApp, received: list[Headers]) -> ASGIApp:
    async def record(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            received.append(Headers(scope=scope))
        await app(scope, receive, send)

    return record


@pytest.fixture
def received() -> list[Headers]:
    """The headers of each request that came to `graphiql_server`."""
    return []


@pytest.fixture
async def kettle(committed_market: Market) -> models.Product:
    """Something for the first query to find."""
    store = await committed_market.store(name="Nordlicht")
    return await committed_market.product(store, name="Kettle, whistling")


@pytest.fixture
def graphiql_server(settings: Settings, kettle: models.Product, received: list[Headers]) -> Iterator[str]:
    """The base URL of the API itself, with a product in its database."""
    with serve(recording(create_app(settings), received)) as url:
        yield url


@pytest.fixture
def subscription_server() -> Iterator[str]:
    with serve(small_app()) as url:
        yield url


@pytest.fixture
def browser_page() -> Iterator["Page"]:
    """A page of a real browser; it fails the test if it meets an error or asks another host for anything."""
    if not all(asset.location.is_file() for asset in graphiql.assets()):
        pytest.skip("GraphiQL is not installed: make graphiql")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = watch(page)
        yield page
    assert complaints == []


def write_headers(page: "Page", headers: str) -> None:
    page.get_by_role("button", name="Headers").click()
    page.locator(".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror").click()
    page.keyboard.insert_text(headers)
    page.wait_for_timeout(DEBOUNCE)


def test_in_a_browser_queries_headers_and_explorer_work(
    graphiql_server: str, browser_page: "Page", received: list[Headers]
) -> None:
    from playwright.sync_api import expect

    page = browser_page
    page.goto(f"{graphiql_server}/graphql")
    editor = page.locator(".graphiql-query-editor .CodeMirror")
    answer = page.locator(".graphiql-response .CodeMirror")
    expect(page).to_have_title("Orders API · GraphiQL")
    expect(editor).to_contain_text("query Catalog")

    editor.click()
    page.keyboard.press("Control+Enter")
    expect(answer).to_contain_text('"name": "Kettle, whistling"')
    expect(answer).to_contain_text('"totalCount": 1')

    write_headers(page, '{"Authorization": "Bearer written-in-the-tab"}')
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.get_by_role("button", name="Execute query").click()
    assert "Bearer written-in-the-tab" in [headers.get("authorization") for headers in received]

    page.get_by_role("button", name="Show GraphiQL Explorer").click()
    page.locator(".graphiql-explorer-root").get_by_text("totalCount", exact=True).click()
    expect(editor).not_to_contain_text("totalCount")

    page.get_by_role("button", name="Open settings dialog").click()
    expect(page.get_by_text("Persist headers")).to_be_visible()
    page.keyboard.press("Escape")


def test_in_a_browser_a_linked_subscription_sends_the_headers_and_none_are_stored(
    browser_page: "Page", subscription_server: str
) -> None:
    from playwright.sync_api import expect

    document = "query First { products(first: 1) { totalCount } } subscription Second { authorization }"
    link = urlencode({"query": document, "operationName": "Second"})
    browser_page.goto(f"{subscription_server}/graphql?{link}")
    write_headers(browser_page, '{"Authorization": "Bearer for-the-socket"}')
    browser_page.get_by_role("button", name="Execute query").click()
    answer = browser_page.locator(".graphiql-response .CodeMirror")
    expect(answer).to_contain_text('"authorization": "Bearer for-the-socket"')

    browser_page.wait_for_timeout(DEBOUNCE)
    stored = browser_page.evaluate("JSON.stringify(localStorage)")
    assert "subscription Second" in stored
    assert "for-the-socket" not in stored


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_nothing_of_ours_is_a_barrier(
    browser_page: "Page", subscription_server: str, scheme: Literal["light", "dark"]
) -> None:
    from playwright.sync_api import expect

    browser_page.emulate_media(color_scheme=scheme)
    browser_page.goto(f"{subscription_server}/graphql")
    browser_page.get_by_role("button", name="Execute query").click()
    expect(browser_page.locator(".graphiql-response .CodeMirror")).to_contain_text("Kettle")
    assert barriers(browser_page, *GRAPHIQLS_OWN) == []


def test_in_a_browser_a_phone_has_room_for_the_result(browser_page: "Page", subscription_server: str) -> None:
    from playwright.sync_api import expect

    browser_page.set_viewport_size({"width": 390, "height": 844})
    browser_page.goto(f"{subscription_server}/graphql")
    browser_page.get_by_role("button", name="Execute query").click()
    expect(browser_page.locator(".graphiql-response .CodeMirror")).to_contain_text("Kettle")
    for pane in (".graphiql-query-editor", ".graphiql-response"):
        box = browser_page.locator(pane).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= 844
        assert box["width"] >= 280, pane
        assert box["height"] >= 200, pane
    assert browser_page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.fixture
async def owners_token(settings: Settings, committed_market: Market, kettle: models.Product) -> str:
    """A token of who may change the kettle."""
    store = await committed_market.session.get_one(models.Store, kettle.store_id)
    tokens = AccessTokens(settings.secret_keys, timedelta(minutes=5))
    return tokens.issue(Viewer(id=store.owner_id), store.owner_id)[0]


def test_in_a_browser_a_subscription_shows_each_change(
    graphiql_server: str, kettle: models.Product, owners_token: str, browser_page: "Page"
) -> None:
    from playwright.sync_api import expect

    endpoint, kettle_id = f"{graphiql_server}/graphql", gid(kettle)
    shown = "{ product { name price { amount } } }"
    document = f'subscription Kettle {{ productUpdated(productId: "{kettle_id}") {shown} }}'
    browser_page.goto(f"{endpoint}?{urlencode({'query': document})}")
    browser_page.get_by_role("button", name="Execute query").click()
    answer = browser_page.locator(".graphiql-response .CodeMirror")
    expect(answer).to_contain_text('"name": "Kettle, whistling"')

    change = f'mutation {{ updateProduct(input: {{ id: "{kettle_id}", price: "77.70" }}) {{ __typename }} }}'
    httpx2.post(endpoint, json={"query": change}, headers={"Authorization": f"Bearer {owners_token}"})
    expect(answer).to_contain_text('"amount": "77.70"')
    browser_page.get_by_role("button", name="Stop query").click()
