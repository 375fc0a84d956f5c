"""The page at `/`: the shop as it is, whatever is in it, and whether or not there is a database."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from time import monotonic
from typing import Any
from unittest.mock import Mock

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from app.db.engine import open_database
from app.main import create_app
from app.settings import Environment, Settings
from app.web.front_page import page
from app.web.front_page.example_queries import cards
from app.web.static import integrity
from tests.api import Api
from tests.databases import SingleConnection
from tests.faults.conftest import OpenShop, open_shop
from tests.market import Market
from tests.statements import Statements

__all__ = ["open_shop"]  # a fixture

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"
HOSTILE = "</bdi><script>alert('1')</script><img src=x onerror=\"alert(1)\">&amp;{{ 7 * 7 }}"

OpenSite = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def open_site(connection: AsyncConnection, settings: Settings) -> OpenSite:
    """Opens the application with settings of its own, in the transaction of the test."""

    @asynccontextmanager
    async def opened(**changed: Any) -> AsyncIterator[httpx2.AsyncClient]:
        app = create_app(settings.model_copy(update=changed), SingleConnection(connection))
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://test", headers=BROWSER
        ) as client:
            yield client

    return opened


def figures(html: str) -> dict[str, str]:
    """Return the figures that a page shows."""
    return dict(re.findall(r'<dt>([^<]*)</dt><dd data-key="[^"]*">([^<]*)</dd>', html))


async def test_it_shows_the_shop(open_site: OpenSite, market: Market) -> None:
    paris = await market.store(name="Chez Nous", city="Paris", country="FR")
    await market.product(paris, name="Old", stock=0)
    await market.product(paris, name="New", price=Decimal("1234.50"), stock=1200, description="Shiny.")
    await market.product(await market.store(), name="Untracked")
    lyon = await market.store(name="Chez Eux", city="Lyon", country="FR")
    await market.order(await market.user(), await market.product(lyon, name="Newest", stock=3))

    async with open_site() as client:
        response = await client.get("/")

    html = response.text
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert figures(html) == {"Stores": "3", "Countries": "2", "Products": "4", "In stock": "3", "Orders placed": "1"}
    names = re.findall(r"<strong><bdi>(.*?)</bdi></strong>", html)
    assert names == ["Newest", "Untracked", "New", "Old"]
    for shown in ("1,234.50&nbsp;EUR", "1,200 left", "sold out", "in stock", "Shiny.", "Chez Nous", "Paris"):
        assert shown in html, shown


async def test_the_newest_products_come_from_several_stores(open_site: OpenSite, market: Market) -> None:
    stores = [await market.store(name=name) for name in ("First", "Second", "Third", "Fourth", "Fifth")]
    for store in stores:
        for number in (1, 2, 3):
            await market.product(store, name=f"{store.name} {number}")

    async with open_site() as client:
        html = (await client.get("/")).text

    assert re.findall(r"<strong><bdi>(.*?)</bdi></strong>", html) == [
        f"{name} {number}" for name in ("Fifth", "Fourth", "Third", "Second") for number in (3, 2)
    ]


@pytest.mark.parametrize("graphiql", [True, False])
async def test_one_button_is_the_primary_one(open_site: OpenSite, market: Market, *, graphiql: bool) -> None:
    await market.product()
    async with open_site(graphiql=graphiql) as client:
        html = (await client.get("/")).text
    (primary,) = re.findall(r'<a class="button primary"[^>]*>([^<]*)</a>', html)
    assert primary == ("Open GraphiQL" if graphiql else "How to call it")


async def test_what_is_deleted_is_not_shown(open_site: OpenSite, market: Market, api: Api) -> None:
    store = await market.store(name="Gone for good")
    await market.product(store, name="Unwanted")
    await api.data(
        f'mutation {{ deleteStore(input: {{ id: "Store_{store.id}" }}) {{ __typename }} }}',
        user=await market.superuser(),
    )
    async with open_site() as client:
        html = (await client.get("/")).text
    assert "Unwanted" not in html
    assert figures(html) == dict.fromkeys(("Stores", "Countries", "Products", "In stock", "Orders placed"), "0")
    assert "Nothing is for sale yet" in html


@pytest.mark.parametrize("environment", [Environment.QA, Environment.PRODUCTION])
async def test_how_much_is_ordered_is_nobodys_business(
    open_site: OpenSite, market: Market, environment: Environment
) -> None:
    await market.order(await market.user(), await market.product())
    async with open_site(app_env=environment) as client:
        for path, accept in (("/", "text/html"), ("/", "*/*"), ("/welcome/shop", "text/html")):
            answer = await client.get(path, headers={"Accept": accept})
            assert answer.status_code == 200
            assert "rders placed" not in answer.text


async def test_nothing_from_the_database_is_taken_for_html(open_site: OpenSite, market: Market) -> None:
    store = await market.store(name=HOSTILE, city=HOSTILE)
    await market.product(store, name=HOSTILE, description=HOSTILE)
    async with open_site() as client:
        pages = [(await client.get(path)).text for path in ("/", "/welcome/shop")]
    for html in pages:
        assert html.count("&lt;script&gt;alert(&#39;1&#39;)") == 4
        assert "&amp;amp;{{ 7 * 7 }}" in html
        assert "alert('1')" not in html
        assert "<img" not in html


async def test_long_names_are_shown_and_long_descriptions_cut(open_site: OpenSite, market: Market) -> None:
    await market.product(name="n" * 200, description="d" * 5_000)
    async with open_site() as client:
        html = (await client.get("/")).text
    assert "n" * 200 in html
    assert "d" * 100 in html
    assert "d" * 130 not in html


async def test_however_many_come_the_database_is_asked_once(
    open_site: OpenSite, market: Market, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = Mock(wraps=cards)
    monkeypatch.setattr("app.web.front_page.page.cards", rendered)
    await market.product()
    async with open_site() as client:
        statements.clear()
        await asyncio.gather(*(client.get(path) for path in ("/", "/welcome/shop") * 20))
        assert len(statements) == 2
        await client.get("/")
        assert len(statements) == 2
    assert rendered.call_count == 2  # the page, and the part of it


async def test_who_hangs_up_takes_nothing_from_others(open_site: OpenSite, statements: Statements) -> None:
    async with open_site() as client:
        statements.clear()
        first, second = (asyncio.create_task(client.get("/")) for _ in range(2))
        while not statements:  # noqa: ASYNC110  # which nothing announces
            await asyncio.sleep(0)
        first.cancel()
        assert (await second).status_code == 200
    assert first.cancelled()


async def test_it_is_looked_at_again_after_a_while(
    open_site: OpenSite, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(page, "monotonic", lambda: now)
    async with open_site() as client:
        before = (await client.get("/")).headers["etag"]
        await market.product(name="Brand-new")
        now += 0.9
        assert "Brand-new" not in (await client.get("/")).text
        now += 0.2
        response = await client.get("/", headers={"If-None-Match": before})
    assert response.status_code == 200
    assert "Brand-new" in response.text


async def test_what_takes_long_is_asked_seldom(
    open_site: OpenSite, monkeypatch: pytest.MonkeyPatch, statements: Statements
) -> None:
    now = 1000.0

    def monotonic() -> float:
        nonlocal now
        now += 0.5
        return now

    monkeypatch.setattr(page, "monotonic", monotonic)
    async with open_site() as client:
        await client.get("/")  # took half a second
        statements.clear()
        now += 9
        await client.get("/")
        assert statements == []
        now += 1
        await client.get("/")
        assert len(statements) == 2


@pytest.mark.parametrize("known", ["{}", "W/{}", '"another", {}'])
async def test_what_has_not_changed_is_not_sent_again(open_site: OpenSite, known: str) -> None:
    async with open_site() as client:
        first = await client.get("/")
        second = await client.get("/", headers={"If-None-Match": known.format(first.headers["etag"])})
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == first.headers["etag"]


async def test_the_page_is_confined_to_its_own_host(open_site: OpenSite) -> None:
    async with open_site() as client:
        response = await client.get("/")
        files = re.findall(r'(?:src|href)="(/welcome/assets/[^"]*)" integrity="([^"]*)"', response.text)
        assert len(files) == 2
        for url, expected in files:
            file = await client.get(url)
            assert integrity(file.content) == expected
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert not re.search(r"//\w|@import", file.text)
        for path in ("", "welcome.css", "../site.py", "%2e%2e/site.py", "page@0/welcome.css"):
            assert (await client.get(f"/welcome/assets/{path}")).status_code == 404
    policy = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
    nowhere = ("default-src", "base-uri", "form-action", "frame-ancestors")
    assert [policy[name] for name in nowhere] == ["'none'"] * 4
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["vary"] == "Accept"
    assert not re.search(r"<script>|<script [^>]*>[^<]|<style|\son\w+=|\sstyle=", response.text)
    assert not re.search(r"https?://\w", response.text.replace("http://www.w3.org/2000/svg", ""))


async def test_without_a_browser_it_is_plain_text(open_site: OpenSite, market: Market) -> None:
    await market.product()
    async with open_site() as client:
        response = await client.get("/", headers={"Accept": "*/*"})
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Replace HOST:PORT with the address of this page." in response.text
    assert response.headers["vary"] == "Accept"
    assert re.search(r"^  Products +1$", response.text, re.MULTILINE)
    assert "POST to /graphql" in response.text
    assert "<" not in response.text


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
async def test_head_tells_the_same_without_the_page(open_site: OpenSite, accept: str) -> None:
    async with open_site() as client:
        head = await client.head("/", headers={"Accept": accept})
        page = await client.get("/", headers={"Accept": accept})
        assert (await client.post("/")).status_code == 405
    assert head.content == b""
    shown_headers = ("content-type", "content-length", "etag", "content-security-policy")
    assert [head.headers[name] for name in shown_headers] == [page.headers[name] for name in shown_headers]


async def test_without_its_database_the_page_is_there_and_says_so(settings: Settings) -> None:
    app = create_app(settings, open_database(NOWHERE, settings))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        for path, accept in (("/", "text/html"), ("/", "*/*"), ("/welcome/shop", "text/html")):
            response = await client.get(path, headers={"Accept": accept})
            assert response.status_code == 503
            assert response.headers["retry-after"]
            assert response.headers["cache-control"] == "no-store"
            assert "its database does not answer" in response.text
            assert "127.0.0.1" not in response.text
        page = (await client.get("/", headers=BROWSER)).text
    assert "Example queries" in page
    assert page.count("This needs a product in stock") == 2


async def test_a_fault_that_nobody_foresaw_is_logged_and_not_shown(
    open_site: OpenSite, connection: AsyncConnection
) -> None:
    await connection.execute(text("ALTER TABLE products RENAME COLUMN stock TO stck"))
    async with open_site() as client:
        with capture_logs() as logs:
            response = await client.get("/")
    assert response.status_code == 503
    assert "stck" not in response.text
    assert "Traceback" not in response.text
    (entry,) = [entry for entry in logs if entry["event"] == "the front page cannot read the shop"]
    assert entry["log_level"] == "error"


async def test_nobody_waits_long_for_a_shop_that_cannot_be_read_and_it_is_asked_again_when_the_page_has_said_so(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0
    monkeypatch.setattr(page, "monotonic", lambda: monotonic() + later)
    async with open_shop(operation_timeout_seconds=60, statement_timeout_seconds=60) as shop:
        async with shop.unreadable():
            with monkeypatch.context() as impatient:
                impatient.setattr(page, "_PATIENCE_SECONDS", 0.1)
                away = await shop.api.client.get("/", headers=BROWSER)
            assert away.status_code == 503
            assert await shop.statements() == []
        assert shop.taken == 0
        later = int(away.headers["retry-after"])
        assert (await shop.api.client.get("/", headers=BROWSER)).status_code == 200
