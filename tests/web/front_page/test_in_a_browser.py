"""The front page in a real browser."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.main import create_app
from app.settings import Settings
from tests.browser import barriers, watch
from tests.web.test_graphiql import browser_page, serve
from tools.demo import seed_demo

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["browser_page"]  # a fixture

STILL_FRESH = 3_500  # milliseconds of the page's own clock, in which it looks once


@pytest.fixture
async def demo_shop(committed_engine: AsyncEngine) -> None:
    await seed_demo(committed_engine)


@pytest.fixture
def site(settings: Settings, demo_shop: None) -> Iterator[str]:
    """The URL of the API itself, with the demo shop."""
    with serve(create_app(settings)) as url:
        yield url


def another_page(page: "Page", **options: Any) -> "Page":
    """Return a page of the same browser, whose complaints nobody minds."""
    assert page.context.browser is not None
    return page.context.browser.new_page(**options)


def open_ready(page: "Page", title: str) -> "Page":
    with page.expect_popup() as opened:
        page.get_by_role("link", name=f"Open in GraphiQL: {title}").click()
    return opened.value


def test_a_ready_query_is_answered_after_two_clicks(site: str, browser_page: "Page") -> None:
    from playwright.sync_api import expect

    browser_page.goto(site)
    graphiql = open_ready(browser_page, "Search for products")
    complaints = watch(graphiql)
    graphiql.get_by_role("button", name="Execute query").click()
    expect(graphiql.locator(".graphiql-response .CodeMirror")).to_contain_text("Crème brûlée torch")
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_a_barrier(site: str, browser_page: "Page", scheme: Literal["light", "dark"]) -> None:
    browser_page.emulate_media(color_scheme=scheme)
    browser_page.goto(site)
    assert barriers(browser_page) == []


def test_the_command_can_be_copied_as_it_is(site: str, browser_page: "Page") -> None:
    browser_page.goto(site)
    shown = browser_page.get_by_label("With curl").inner_text()
    answered = subprocess.run(["sh", "-c", f"{shown} --silent"], capture_output=True, text=True, check=True).stdout
    assert len(json.loads(answered)["data"]["products"]["nodes"]) == 3


def test_whoever_logs_in_orders_and_the_front_page_tells(site: str, browser_page: "Page") -> None:
    from playwright.sync_api import expect

    browser_page.clock.install()
    browser_page.goto(site)
    orders = browser_page.locator('[data-key="Orders placed"]')
    expect(orders).to_have_text("60")

    graphiql = open_ready(browser_page, "Log in and order")
    complaints = watch(graphiql)
    answer = graphiql.locator(".graphiql-response .CodeMirror")
    for operation, expected in (
        ("MyOrders", "You must be logged in"),
        ("LogIn", "Cosmo Bellandi"),
        ("PlaceOrder", "PLACED"),
        ("MyOrders", "Letter opener"),
    ):
        graphiql.locator(".graphiql-execute-button[aria-haspopup=menu]").click()  # once it has read the document
        graphiql.get_by_role("menuitem", name=operation).click()
        expect(answer).to_contain_text(expected)
    assert "eyJ" not in graphiql.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    assert complaints == []

    for _ in range(10):  # on a busy machine, the first look may find what the server still keeps
        browser_page.clock.run_for(STILL_FRESH)
        with suppress(AssertionError):
            expect(orders).to_have_text("61", timeout=1_000)
            break
    expect(orders).to_have_text("61")
    expect(browser_page.locator(".changed")).to_have_text(["61", "14 left"])


def test_a_page_that_nobody_sees_asks_for_nothing(site: str, browser_page: "Page") -> None:
    asked: list[str] = []
    browser_page.clock.install()
    browser_page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isHidden ?? false })")
    browser_page.goto(site)
    browser_page.on("request", lambda request: asked.append(request.url))

    browser_page.evaluate("window.isHidden = true; document.dispatchEvent(new Event('visibilitychange'))")
    browser_page.clock.run_for(10 * STILL_FRESH)
    assert asked == []
    with browser_page.expect_response("**/welcome/shop"):
        browser_page.evaluate("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("status", [502, 503])
def test_what_is_old_is_told_to_be_old(site: str, browser_page: "Page", status: int) -> None:
    from playwright.sync_api import expect

    page = another_page(browser_page)  # as the browser itself complains of what is not answered
    page.clock.install()
    page.goto(site)
    state = page.locator("#shop .state")
    page.route("**/welcome/shop", lambda route: route.fulfill(status=status, body="no gateway"))
    page.clock.run_for(STILL_FRESH)
    expect(state).to_have_text("a while ago")
    page.unroute("**/welcome/shop")
    page.clock.run_for(STILL_FRESH)
    expect(state).to_have_text("now")
    expect(page.locator('[data-key="Stores"]')).to_have_text("8")


def test_without_javascript_the_page_is_whole(site: str, browser_page: "Page") -> None:
    from playwright.sync_api import expect

    page = another_page(browser_page, java_script_enabled=False)
    complaints = watch(page)
    page.goto(site)
    expect(page.locator('[data-key="Products"]')).to_have_text("71")
    expect(page.get_by_role("link", name="Open in GraphiQL: ")).to_have_count(5)
    assert complaints == []
