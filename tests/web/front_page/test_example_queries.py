"""The queries that the front page offers: each is valid and answers, with what is in the shop."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import orjson
import pytest
from graphql import OperationDefinitionNode, parse, validate
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Product
from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from app.main import create_app
from app.settings import Environment, Settings, Trust
from app.users.demo import DEMO_ACCOUNTS, DEMO_PASSWORD
from app.web.front_page.example_queries import Card, cards
from app.web.front_page.repository import ListedProduct, Shop
from tests.api import Api
from tests.databases import committing
from tests.market import Market, gid
from tests.statements import Statements
from tests.web.front_page.test_front_page import BROWSER, OpenSite, open_site
from tools.demo import seed_demo

__all__ = ["open_site"]  # a fixture

LINK = re.compile(r'<a class="button" href="([^"]*\?[^"]*)"')


def linked(html: str) -> dict[str, dict[str, str]]:
    """Return the parameters of each link, by the name of the first operation."""
    links = [parse_qs(urlsplit(unescape(link)).query) for link in LINK.findall(html)]
    return {re.split(r"\W", link["query"][0])[1]: {key: value for key, (value,) in link.items()} for link in links}


@pytest.fixture
async def demo(committed_engine: AsyncEngine, settings: Settings) -> AsyncIterator[Api]:
    """The API over the demo shop, which compiles queries."""
    await seed_demo(committed_engine)
    app = create_app(settings.model_copy(update={"compiled_path": True}), committing(committed_engine))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)


async def ready(api: Api) -> dict[str, dict[str, str]]:
    return linked((await api.client.get("/", headers=BROWSER)).text)


CARDS = cards(None, is_demo=True)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_each_is_valid(card: Card) -> None:
    assert validate(graphql_schema(schema), parse(card.document)) == []


async def test_each_is_linked_and_opens_as_it_is_shown(demo: Api) -> None:
    links = await ready(demo)
    assert list(links) == ["Newest", "Search", "Stores", "LogIn", "Follow"]
    assert [link["query"] for link in links.values()] == [card.document for card in CARDS]
    html = unescape((await demo.client.get("/", headers=BROWSER)).text)
    for link in links.values():
        assert link["query"].strip() in html
        assert link.get("variables", "") in html


@pytest.mark.parametrize("name", ["Newest", "Search", "Stores"])
async def test_each_query_answers_in_one_statement(demo: Api, name: str, committed_engine: AsyncEngine) -> None:
    link = (await ready(demo))[name]
    response = await demo.client.get("/graphql", params=link, headers={"X-Explain": "true"})
    result = response.json()
    assert "errors" not in result
    (found,) = result["data"].values()
    assert found["nodes"]
    explained = result["extensions"]["explain"]
    assert (explained["path"], len(explained["statements"])) == ("compiled", 1)


async def test_whoever_logs_in_can_order(demo: Api, statements: Statements) -> None:
    link = (await ready(demo))["LogIn"]
    assert link["login"] == "1"
    variables = orjson.loads(link["variables"])
    assert variables["account"]["password"] == DEMO_PASSWORD
    assert variables["account"]["email"] in {account.email for account in DEMO_ACCOUNTS}

    async def run(name: str, **headers: str) -> Any:
        request = {"query": link["query"], "variables": variables, "operationName": name}
        result = (await demo.client.post("/graphql", json=request, headers=headers)).json()
        assert "errors" not in result
        return result["data"]

    token = (await run("LogIn"))["logIn"]["session"]["accessToken"]
    login = {"Authorization": f"Bearer {token}"}
    placed = (await run("PlaceOrder", **login))["placeOrder"]["order"]
    assert placed["status"] == "PLACED"
    mine = (await run("MyOrders", **login))["orders"]["nodes"]
    assert mine[0]["number"] == placed["number"]


async def test_what_is_followed_is_the_product_to_order(demo: Api) -> None:
    links = await ready(demo)
    ordered = orjson.loads(links["LogIn"]["variables"])["order"]["items"][0]["productId"]
    assert orjson.loads(links["Follow"]["variables"]) == {"product": ordered}
    product = await demo.data("query ($id: ID!) { product(id: $id) { name stock } }", {"id": ordered})
    assert product["product"]["stock"] > 0


def shop(*stocks: int | None) -> Shop:
    """Return a shop with products of these stocks."""
    values: dict[str, Any] = dict.fromkeys(ListedProduct._fields)
    return Shop({}, [ListedProduct(**{**values, "id": index, "stock": stock}) for index, stock in enumerate(stocks)])


@pytest.mark.parametrize(
    ("stocks", "chosen"), [((), None), ((0, 0), None), ((0, None, 5), 2), ((None, 0), 0), ((0, None), 1), ((2, 9), 0)]
)
def test_the_product_to_order_is_one_that_can_be(stocks: tuple[int | None, ...], chosen: int | None) -> None:
    example = shop(*stocks).example
    assert (example and example.id) == chosen


async def test_nothing_can_be_ordered_from_an_empty_shop(open_site: OpenSite, market: Market) -> None:
    await market.product(stock=0)
    async with open_site() as client:
        html = (await client.get("/")).text
    assert list(linked(html)) == ["Newest", "Search", "Stores"]
    assert html.count("This needs a product in stock") == 2


async def test_elsewhere_than_in_development_no_password_is_told(open_site: OpenSite, market: Market) -> None:
    product: Product = await market.product()
    async with open_site(app_env=Environment.QA) as client:
        html = (await client.get("/")).text
    assert DEMO_PASSWORD not in html
    variables = orjson.loads(linked(html)["LogIn"]["variables"])
    assert variables["order"]["items"] == [{"productId": gid(product), "quantity": 1}]
    assert variables["account"] == {"email": "you@example.com", "password": "…"}


@pytest.mark.parametrize("changed", [{"graphiql": False}, {"trusted_documents": Trust.REQUIRE}])
async def test_without_graphiql_there_are_no_links_to_it(open_site: OpenSite, changed: dict[str, Any]) -> None:
    async with open_site(**changed) as client:
        html = (await client.get("/")).text
        text = (await client.get("/", headers={"Accept": "*/*"})).text
    assert 'href="/graphql' not in html
    assert "GraphiQL" not in html + text
    assert "query Newest" in html
    assert "POST /graphql" in html


async def test_the_page_says_where_the_schema_is(open_site: OpenSite) -> None:
    async with open_site(introspection=False, graphiql=False) as client:
        assert "The schema is <code>schema.graphql</code>" in (await client.get("/")).text
    async with open_site() as client:
        assert "Introspection returns the schema, and GraphiQL shows it" in (await client.get("/")).text


def test_every_document_is_on_a_card() -> None:
    names = [
        definition.name.value
        for card in CARDS
        for definition in parse(card.document).definitions
        if isinstance(definition, OperationDefinitionNode) and definition.name
    ]
    assert names == ["Newest", "Search", "Stores", "LogIn", "PlaceOrder", "MyOrders", "Follow"]
