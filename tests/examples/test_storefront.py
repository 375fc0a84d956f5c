"""The storefront, walked through in a real browser."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx2
import pytest

from tests.browser import barriers, chromium, watch
from tests.databases import create_database, drop_database
from tests.examples.storefront import Shop, compiled, demo_shop, developed, require_packages

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


def order_of(page: "Page", what: str) -> "Locator":
    """The open order of a store that contains this."""
    return page.get_by_role("main").locator(".lines > li").filter(has_text=what)


def log_in(page: "Page", account: str) -> None:
    page.get_by_role("button", name=account).click()
    page.get_by_role("button", name="Log out").wait_for()


def origin(page: "Page") -> str:
    return "/".join(page.url.split("/")[:3])


def basket_of(visit: Visit, *names: str) -> "Page":
    """The basket of Cosmo with one of each of these products."""
    page = visit("/log-in")
    log_in(page, "Cosmo, a customer")
    for name in names:
        page.goto(f"{origin(page)}/?{urlencode({'search': name})}")
        page.get_by_role("link", name=name).click()
        page.get_by_role("button", name=f"Add {name} to the basket").click()
    page.get_by_role("link", name="Basket").click()
    return page


def selling(visit: Visit, store: str) -> "Page":
    """The page with the open orders of one of Odile's stores."""
    page = visit("/selling")
    log_in(page, "Odile, who owns three stores")
    page.get_by_role("link", name=store).click()
    page.get_by_role("heading", name=store).wait_for()
    return page


def open_orders(store: "Page") -> int:
    return store.locator(".lines > li").count()


def withdraw(shop: Shop, product_id: str) -> None:
    """Remove a product of Odile's from the catalog."""
    document = """mutation LogIn { logIn(input: { email: "owner@example.com", password: "open-sesame" }) {
      ... on LogInSuccess { session { accessToken } } } }"""
    logged_in = httpx2.post(f"{shop.api}/graphql", json={"query": document}).json()["data"]["logIn"]
    document = "mutation ($id: ID!) { deleteProduct(input: { id: $id }) { __typename } }"
    headers = {"Authorization": f"Bearer {logged_in['session']['accessToken']}"}
    request = {"query": document, "variables": {"id": product_id}}
    answer = httpx2.post(f"{shop.api}/graphql", json=request, headers=headers).json()
    assert answer["data"] == {"deleteProduct": {"__typename": "DeleteProductSuccess"}}


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


def test_nothing_is_left_when_it_is_terminated(shop: Shop) -> None:
    with developed(shop.api) as (npm, url):
        npm.terminate()
        npm.wait(timeout=30)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url)


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
    teas, bakery = selling(visit, "The Quibbling Kettle"), selling(visit, "Le Fouet Distrait")
    expect(order_of(teas, "Milk-first teapot")).to_have_count(0)

    shop.wait_for_subscribers(2 + open_orders(teas) + open_orders(bakery))
    customer.get_by_role("button", name="Place the order").click()
    status = customer.get_by_role("status").filter(has_text="This order is")
    expect(status).to_have_text("This order is Placed")
    number = customer.get_by_role("heading", level=1).inner_text().removeprefix("Order ")
    sweet, bitter = (
        customer.get_by_role("region", name=name) for name in ("Le Fouet Distrait", "The Quibbling Kettle")
    )
    expect(sweet.get_by_role("heading")).to_contain_text("Open")

    expect(bakery.get_by_text("New order from Cosmo Bellandi")).to_be_visible()
    order = order_of(bakery, number)
    expect(order).to_contain_text("2 × Crème brûlée torch")
    expect(order).not_to_contain_text("Milk-first teapot")
    order.get_by_role("button", name="Fulfill all").click()
    expect(order).to_have_count(0)
    expect(status).to_have_text("This order is Partly fulfilled")
    expect(sweet.get_by_role("heading")).to_contain_text("Fulfilled")
    expect(sweet.get_by_text("Sent")).to_be_visible()
    expect(bitter.get_by_role("heading")).to_contain_text("Open")

    order_of(teas, number).get_by_role("button", name="Fulfill all").click()
    expect(status).to_have_text("This order is Fulfilled")
    expect(customer.get_by_role("button", name="Cancel the order")).to_have_count(0)

    customer.get_by_role("link", name="My orders").click()
    newest = customer.get_by_role("main").get_by_role("listitem").first
    expect(newest).to_contain_text(number)
    expect(newest).to_contain_text("2 × Crème brûlée torch")
    expect(newest).to_contain_text("Fulfilled")

    customer.get_by_role("button", name="Log out").click()
    expect(customer.get_by_role("heading", name="Log in")).to_be_visible()
    expect(customer.get_by_text("Crème brûlée torch")).to_have_count(0)
    assert customer.evaluate("sessionStorage.getItem('login')") == "null"


def test_what_is_short_is_told_and_nothing_is_ordered(visit: Visit) -> None:
    from playwright.sync_api import expect

    page, other = (basket_of(visit, "Bonsai, almost finished") for _ in range(2))
    placed = requests_of(page, "PlaceOrder")
    place = page.get_by_role("button", name="Place the order")
    alert = page.get_by_role("alert")

    page.get_by_role("spinbutton").fill("5")
    expect(alert).to_contain_text("You want 5 of Bonsai, almost finished, but the store has only 3.")
    expect(place).to_be_disabled()
    page.get_by_role("button", name="Take the remaining ones").click()
    expect(page.get_by_role("spinbutton")).to_have_value("3")
    expect(alert).to_have_count(0)

    other.get_by_role("button", name="Place the order").click()
    expect(other.get_by_text("1 × Bonsai, almost finished")).to_be_visible()
    place.click()  # what was quoted isn't there any more
    expect(alert).to_contain_text("You want 3 of Bonsai, almost finished, but the store has only 2.")
    page.get_by_role("button", name="Take the remaining ones").click()
    expect(alert).to_have_count(0)
    place.click()
    expect(page.get_by_text("2 × Bonsai, almost finished")).to_be_visible()

    keys = [headers["idempotency-key"] for headers in placed]
    assert len(set(keys)) == len(keys) == 2


def test_the_basket_tells_what_each_line_costs_and_the_total_of_each_currency(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/")
    for search, name in (("madeleine", "Madeleine tin"), ("haiku", "Haiku ruler"), ("whisk", "Absent-minded whisk")):
        page.get_by_role("searchbox").fill(search)
        expect(page.get_by_text("1 product", exact=True)).to_be_visible()
        page.get_by_role("button", name=f"Add {name} to the basket").click()
    page.get_by_role("link", name="3 items in the basket").click()
    line = page.get_by_role("listitem").filter(has_text="Madeleine tin")
    total = page.get_by_role("listitem", name="Total")
    expect(line).to_contain_text("€21.00")
    page.get_by_role("spinbutton", name="Madeleine tin").fill("3")
    expect(line).to_contain_text("€63.00")
    expect(total.locator(".price")).to_have_text(["€77.50", "¥880"])
    page.get_by_role("button", name="Remove Haiku ruler").click()
    expect(total.locator(".price")).to_have_text(["€77.50"])


def test_what_is_no_longer_for_sale_leaves_the_basket(shop: Shop, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = basket_of(visit, "Biscuit rescue tongs", "Forgiving cactus")
    product = page.get_by_role("link", name="Biscuit rescue tongs").get_attribute("href")
    assert product is not None
    withdraw(shop, product.removeprefix("/products/"))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("A product is no longer for sale.")
    expect(page.get_by_role("button", name="Place the order")).to_be_disabled()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("listitem", name="Total")).to_contain_text("$12.00")
    expect(page.get_by_role("button", name="Place the order")).to_be_enabled()


def test_an_order_is_cancelled_and_its_store_sees_it_go(shop: Shop, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = basket_of(visit, "Rolling pin «Le Pacifiste»")
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_text("This order is Placed")).to_be_visible()
    number = page.get_by_role("heading", level=1).inner_text().removeprefix("Order ")
    store = selling(visit, "Le Fouet Distrait")
    expect(order_of(store, number)).to_be_visible()
    shop.wait_for_subscribers(2 + open_orders(store))

    page.get_by_role("button", name="Cancel the order").click()  # which it doesn't, unless it is confirmed
    expect(page.get_by_text("This order is Placed")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_text("This order is Cancelled")).to_be_visible()
    expect(order_of(store, number)).to_have_count(0)
    page.get_by_role("link", name="Rolling pin «Le Pacifiste»").click()
    expect(page.get_by_text("48 in stock")).to_be_visible()


def test_a_store_fulfills_single_items_or_declines_with_a_reason(visit: Visit) -> None:
    from playwright.sync_api import expect

    both = basket_of(visit, "Inland anchor", "Bathtub sextant")
    both.get_by_role("button", name="Place the order").click()
    other = basket_of(visit, "Deck chair without deck")
    other.get_by_role("button", name="Place the order").click()
    numbers = []
    for page in (both, other):
        expect(page.get_by_text("This order is Placed")).to_be_visible()
        numbers.append(page.get_by_role("heading", level=1).inner_text().removeprefix("Order "))
    store = selling(visit, "Łódź Harbour Supplies")

    pair, chair = (order_of(store, number) for number in numbers)
    pair.get_by_role("button", name="Fulfill Inland anchor").click()
    expect(pair).to_contain_text("1 × Inland anchor ✓")
    expect(pair.get_by_text("Decline")).to_have_count(0)
    expect(both.get_by_text("This order is Partly fulfilled")).to_be_visible()

    chair.get_by_text("Decline", exact=True).click()
    chair.get_by_role("textbox", name="Reason for the customer").fill("The deck is missing.")
    chair.get_by_role("button", name="Decline the order").click()
    expect(chair).to_have_count(0)
    expect(other.get_by_role("heading", name="Łódź Harbour Supplies")).to_contain_text("Declined")
    expect(other.get_by_text("The deck is missing.")).to_be_visible()
    expect(other.get_by_text("This order is Cancelled")).to_be_visible()


def test_a_seller_finds_the_open_orders_of_one_store_and_nobody_elses(visit: Visit) -> None:
    from playwright.sync_api import expect

    seller = selling(visit, "The Quibbling Kettle")
    expect(seller.get_by_role("heading", level=1)).to_have_text("Open orders of The Quibbling Kettle")
    stranger = visit(seller.url.removeprefix(origin(seller)))
    log_in(stranger, "Cosmo, a customer")
    expect(stranger.get_by_role("heading", name="Store not found")).to_be_visible()


def test_who_signs_up_can_order_at_once(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/?search=haiku")
    page.get_by_role("button", name="Add Haiku ruler to the basket").click()
    expect(page.get_by_role("status", name="1 item in the basket")).to_be_visible()
    page.goto(page.url.replace("/?search=haiku", "/checkout"))
    page.get_by_role("button", name="Create an account").click()
    page.get_by_label("Full name").fill("Nora Neu")
    page.get_by_label("Email").fill("Customer@example.com")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("8 characters")
    page.get_by_label("Password").fill("long enough")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_label("Email")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Email").fill("nora@example.com")
    page.get_by_role("button", name="Sign up").click()
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_text("1 × Haiku ruler")).to_be_visible()


def test_a_product_leads_to_its_store(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/?search=haiku")
    page.get_by_role("link", name="Haiku ruler").click()
    page.get_by_role("link", name="猫の手文具店 Neko no Te Stationery").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("猫の手文具店 Neko no Te Stationery")
    expect(page.get_by_role("link", name="Haiku ruler")).to_be_visible()
    expect(page.get_by_role("link", name="Milk-first teapot")).to_have_count(0)


NONE = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (f"/products/Product_{NONE}", "Product"),
        ("/products/no-id", "Product"),
        (f"/stores/Store_{NONE}", "Store"),
        (f"/orders/Order_{NONE}", "Order"),
        (f"/selling/Store_{NONE}", "Store"),
    ],
)
def test_what_is_missing_has_a_page_that_leads_on(visit: Visit, path: str, what: str) -> None:
    from playwright.sync_api import expect

    page = visit(path)
    if what == "Order" or "selling" in path:
        log_in(page, "Cosmo, a customer")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{what} not found")
    page.get_by_role("link", name="Browse the catalog").click()
    expect(page.get_by_role("listitem")).to_have_count(12)


def test_a_search_that_finds_nothing_leads_back(visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/?search=zeppelin")
    expect(page.get_by_text("Nothing matches “zeppelin”.")).to_be_visible()
    expect(page.get_by_text("0 products")).to_be_visible()
    page.get_by_role("button", name="Show all products").click()
    expect(page.get_by_role("listitem")).to_have_count(12)


def test_no_page_has_a_barrier(visit: Visit) -> None:
    page = basket_of(visit, "Forgiving cactus")
    page.get_by_role("spinbutton").wait_for()
    assert barriers(page) == []
    page.get_by_role("button", name="Place the order").click()
    page.get_by_text("This order is Placed").wait_for()
    assert barriers(page) == []
    assert barriers(selling(visit, "The Quibbling Kettle")) == []
    page = visit("/log-in")
    page.get_by_role("button", name="Create an account").click()
    assert barriers(page) == []


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

    page = visit("/selling")
    log_in(page, "Odile, who owns three stores")
    expect(page.get_by_role("link", name="Le Fouet Distrait")).to_be_visible()
    old = refresh_token(page)
    change_login(page, **change)
    renewed = requests_of(page, "RefreshSession")
    page.reload()
    expect(page.get_by_role("link", name="Le Fouet Distrait")).to_be_visible()
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


def test_a_copy_of_a_tab_takes_over_its_new_tokens(visit: Visit) -> None:
    """If it used the old one minutes later, the session would end."""
    from playwright.sync_api import expect

    first = visit("/orders")
    log_in(first, "Cosmo, a customer")
    kept = first.evaluate("sessionStorage.getItem('login')")
    copy = first.context.new_page()
    copy.goto(f"{origin(first)}/log-in")
    copy.evaluate("login => sessionStorage.setItem('login', login)", kept)
    copy.goto(f"{origin(first)}/orders")
    expect(copy.get_by_role("button", name="Log out")).to_be_visible()

    change_login(first, expiresAt="2020-01-01T00:00:00Z")
    first.reload()
    expect(first.get_by_role("main").get_by_role("listitem").first).to_be_visible()

    copy.wait_for_function("kept => sessionStorage.getItem('login') !== kept", arg=kept)
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
