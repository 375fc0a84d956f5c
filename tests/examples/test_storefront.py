"""The storefront, walked through in a real browser."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.browser import chromium, watch
from tests.databases import create_database, drop_database
from tests.examples.storefront import Shop, compiled, demo_shop, require_packages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request

Visit = Callable[[str], "Page"]

PATIENCE = 15_000  # milliseconds, for what the page shows


@pytest.fixture(scope="module")
def shop(server_url: str) -> Iterator[Shop]:
    require_packages()
    database_url = create_database(server_url, f"orders_storefront_{os.getpid()}")
    with demo_shop(database_url) as shop:
        yield shop
    drop_database(database_url)


@pytest.fixture(scope="module")
def browser(shop: Shop) -> Iterator["Browser"]:  # it ends before the shop does
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(shop: Shop, browser: "Browser") -> Iterator[Visit]:
    """Opens a page of the storefront, each as if in a browser of its own, where nothing may go wrong."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    complaints: list[list[str]] = []
    with ExitStack() as contexts:

        def open_page(path: str) -> "Page":
            context = contexts.enter_context(browser.new_context(viewport={"width": 1200, "height": 800}))
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            complaints.append(watch(page))
            page.goto(shop.url + path)
            return page

        yield open_page
        assert not any(complaints), complaints


def fulfill(store: "Locator", what: str) -> None:
    store.get_by_role("listitem").filter(has_text=what).get_by_role("button", name="Fulfill").click()


def log_in(page: "Page", account: str) -> None:
    page.get_by_role("button", name=account).click()
    page.get_by_role("button", name="Log out").wait_for()


def asks_for(request: "Request", operation: str) -> bool:
    body = request.post_data
    return body is not None and json.loads(body)["operationName"] == operation


def requests_of(page: "Page", operation: str) -> list[dict[str, str]]:
    """The headers of each request with this operation, from now on: a list that grows."""
    sent: list[dict[str, str]] = []
    page.on("request", lambda request: sent.append(request.headers) if asks_for(request, operation) else None)
    return sent


def change_login(page: "Page", **change: str) -> None:
    """Change what the tab keeps of the login, which it reads when it is loaded."""
    page.evaluate(
        """change => {
          const login = JSON.parse(sessionStorage.getItem("login"));
          sessionStorage.setItem("login", JSON.stringify({ ...login, ...change }));
        }""",
        change,
    )


def refresh_token(page: "Page") -> str:
    token: str = page.evaluate("JSON.parse(sessionStorage.getItem('login')).refreshToken")
    return token


@pytest.mark.usefixtures("shop")
def test_it_is_typed() -> None:
    checked = compiled()
    assert checked.returncode == 0, checked.stdout


def test_an_order_is_placed_and_seen_to_be_fulfilled(shop: Shop, visit: Visit) -> None:
    from playwright.sync_api import expect

    customer = visit("/")
    expect(customer.get_by_role("listitem")).to_have_count(12)
    customer.get_by_role("button", name="More").click()
    expect(customer.get_by_role("listitem")).to_have_count(24)

    customer.get_by_role("searchbox", name="Search the catalog").fill("tea")
    expect(customer.get_by_text("4 products")).to_be_visible()
    customer.get_by_role("button", name="Add Milk-first teapot to the basket").click()
    customer.get_by_role("searchbox").fill("creme bru")
    customer.get_by_role("link", name="Crème brûlée torch").click()
    expect(customer.get_by_text("42 in stock")).to_be_visible()
    customer.get_by_role("button", name="Add Crème brûlée torch to the basket").click()

    customer.get_by_role("link", name="Basket").click()
    customer.get_by_role("spinbutton", name="Crème brûlée torch").fill("2")
    customer.get_by_role("link", name="Log in to order").click()
    log_in(customer, "Cosmo, a customer")
    owner = visit("/stores")
    log_in(owner, "Odile, who owns three stores")
    bakery, teas = (owner.get_by_role("region", name=name) for name in ("Le Fouet Distrait", "The Quibbling Kettle"))
    expect(teas.get_by_text("Milk-first teapot")).to_have_count(0)

    shop.wait_for_subscribers(3)
    customer.get_by_role("button", name="Place the order").click()
    status = customer.get_by_role("status").filter(has_text="This order is")
    expect(status).to_have_text("This order is Placed")
    expect(customer.get_by_text("Waiting for Le Fouet Distrait")).to_be_visible()

    expect(bakery.get_by_role("status")).to_have_text("New order from Cosmo Bellandi")
    fulfill(bakery, "2 × Crème brûlée torch")
    expect(status).to_have_text("This order is Partly fulfilled")
    expect(customer.get_by_text("Sent by Le Fouet Distrait")).to_be_visible()
    expect(customer.get_by_text("Waiting for The Quibbling Kettle")).to_be_visible()

    fulfill(teas, "1 × Milk-first teapot")
    expect(status).to_have_text("This order is Fulfilled")
    expect(bakery.get_by_role("listitem").first).to_contain_text("Fulfilled")

    customer.get_by_role("link", name="My orders").click()
    newest = customer.get_by_role("main").get_by_role("listitem").first
    expect(newest).to_contain_text("2 × Crème brûlée torch")
    expect(newest).to_contain_text("Fulfilled")

    customer.get_by_role("button", name="Log out").click()
    expect(customer.get_by_role("heading", name="Log in")).to_be_visible()
    expect(customer.get_by_text("Crème brûlée torch")).to_have_count(0)
    assert customer.evaluate("sessionStorage.getItem('login')") == "null"


def test_what_is_short_is_told_and_nothing_is_ordered(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/?search=bonsai")
    page.get_by_role("button", name="Add Bonsai, almost finished to the basket").click()
    page.goto(page.url.replace("/?search=bonsai", "/checkout"))
    log_in(page, "Cosmo, a customer")
    placed = requests_of(page, "PlaceOrder")

    page.get_by_role("spinbutton").fill("5")
    page.get_by_role("button", name="Place the order").click()
    shortage = "You asked for 5 of Bonsai, almost finished, but only 3 are left."
    expect(page.get_by_role("alert")).to_contain_text(shortage)
    with page.expect_response(lambda response: asks_for(response.request, "PlaceOrder")):
        page.get_by_role("button", name="Place the order").click()
    page.get_by_role("button", name="Take the remaining ones").click()
    expect(page.get_by_role("spinbutton")).to_have_value("3")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_text("3 × Bonsai, almost finished")).to_be_visible()

    keys = [headers["idempotency-key"] for headers in placed]
    assert len(set(keys)) == len(keys) == 3


def test_an_order_whose_answer_was_lost_is_sent_again_under_the_same_key(visit: Visit) -> None:
    from playwright.sync_api import Route, expect

    page = visit("/?search=haiku")
    page.get_by_role("button", name="Add Haiku ruler to the basket").click()
    page.goto(page.url.replace("/?search=haiku", "/checkout"))
    log_in(page, "Cosmo, a customer")
    placed = requests_of(page, "PlaceOrder")

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.fulfill(status=200, content_type="text/plain", body="")

    page.route("**/graphql", lose_the_answer)
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_role("alert")).to_contain_text("The shop isn't responding")
    page.unroute("**/graphql")
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_text("1 × Haiku ruler")).to_be_visible()
    assert len({headers["idempotency-key"] for headers in placed}) == 1 < len(placed)

    page.get_by_role("link", name="My orders").click()
    expect(page.get_by_role("main").get_by_role("listitem").filter(has_text="1 × Haiku ruler")).to_have_count(1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"accessToken": "no-good"}, id="refused"),
        pytest.param({"expiresAt": "2020-01-01T00:00:00Z"}, id="expired"),
    ],
)
def test_tokens_that_are_no_good_any_more_are_renewed(visit: Visit, change: dict[str, str]) -> None:
    from playwright.sync_api import expect

    page = visit("/stores")
    log_in(page, "Odile, who owns three stores")
    expect(page.get_by_role("heading", name="Le Fouet Distrait")).to_be_visible()
    old = refresh_token(page)
    change_login(page, **change)
    renewed = requests_of(page, "RefreshSession")
    page.reload()
    expect(page.get_by_role("heading", name="Le Fouet Distrait")).to_be_visible()
    assert len(renewed) == 1
    assert refresh_token(page) != old


def test_those_who_need_new_tokens_at_once_share_them(visit: Visit) -> None:
    from playwright.sync_api import Route, expect

    page = visit("/orders")
    log_in(page, "Cosmo, a customer")
    page.get_by_role("main").get_by_role("link").first.click()
    expect(page.get_by_text("This order is")).to_be_visible()
    change_login(page, expiresAt="2020-01-01T00:00:00Z")
    renewals: list[Route] = []
    page.route(
        "**/graphql",
        lambda route: renewals.append(route) if asks_for(route.request, "RefreshSession") else route.continue_(),
    )
    with page.expect_request(lambda request: asks_for(request, "RefreshSession")):
        page.reload()  # upon which the websocket needs a token
    page.get_by_role("link", name="My orders").click()
    expect(page.get_by_role("heading", name="My orders")).to_be_visible()
    renewals[0].continue_()
    expect(page.get_by_role("main").get_by_role("listitem").first).to_be_visible()
    assert len(renewals) == 1


def test_a_copy_of_a_tab_shares_its_tokens(visit: Visit) -> None:
    from playwright.sync_api import expect

    first = visit("/orders")
    log_in(first, "Cosmo, a customer")
    change_login(first, expiresAt="2020-01-01T00:00:00Z")
    kept = first.evaluate("sessionStorage.getItem('login')")
    copy = visit("/")
    copy.evaluate("login => sessionStorage.setItem('login', login)", kept)

    for tab in (first, copy):
        tab.goto(first.url)
        expect(tab.get_by_role("main").get_by_role("listitem").first).to_be_visible()
    assert refresh_token(first) == refresh_token(copy) not in kept


def test_what_could_not_be_read_can_be_tried_again(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/log-in")
    page.route("**/graphql", lambda route: route.fulfill(status=200, content_type="text/plain", body=""))
    page.get_by_role("link", name="Catalog").click()
    expect(page.get_by_role("alert")).to_contain_text("The shop isn't responding")
    page.unroute("**/graphql")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("listitem")).to_have_count(12)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_wrong_password_is_told(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/log-in")
    page.get_by_label("Email").fill("customer@example.com")
    page.get_by_label("Password").fill("no-good")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Log out")).to_have_count(0)
