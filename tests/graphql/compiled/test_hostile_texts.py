"""Texts that look like JSON or SQL stay texts: in rows and in arguments."""

from collections.abc import AsyncIterator

import httpx2
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.texts import QUOTE
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.graphql.compiled.world import Population
from tests.market import Market, gid
from tests.paths import Paths, Watch

INJECTIONS = [
    '","admin":true,"x":"',
    '"},{"name":"b',
    "\\",
    '\\"',
    "\\u0022,",
    "\x01\x1f\b\t\n\r",
    "\u0080\u009f\u2028\u2029\ufeff\U0001f600",
    "'; DROP TABLE orders; --",
    "$1 :viewer_id %s {0} ${x}",
    "null",
]
PRODUCT = "query ($id: ID!) { product(id: $id) { name description store { name city owner { fullName } } } }"
ARGUMENTS = {
    "search": "query ($v: String) { products(filter: {search: $v}) { nodes { name } } }",
    "store search": "query ($v: String) { stores(filter: {search: $v}) { nodes { name } totalCount } }",
    "city": "query ($v: String) { stores(filter: {city: $v}) { nodes { name } } }",
    "country": "query ($v: CountryCode) { stores(filter: {country: $v}) { nodes { name } } }",
    "currency": "query ($v: CurrencyCode) { stores(filter: {currency: $v}) { nodes { name } } }",
    "id": "query ($v: ID!) { store(id: $v) { name } }",
    "storeId": "query ($v: ID) { products(filter: {storeId: $v}) { nodes { name } } }",
    "after": "query ($v: String) { products(after: $v) { nodes { name } } }",
    "before": "query ($v: String) { stores { nodes { products(before: $v) { nodes { name } } } } }",
    "date": "query ($v: DateTime) { orders(filter: {placedAt: {gte: $v}}) { totalCount } }",
    "price": "query ($v: Decimal) { products(filter: {price: {gte: $v}}) { totalCount } }",
}


@pytest.fixture
async def compiled(connection: AsyncConnection, settings: Settings, watch: Watch) -> AsyncIterator[Api]:
    """The application with the compiled path, in the transaction of the test."""
    app = create_app(settings.model_copy(update={"compiled_path": True}), SingleConnection(connection))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)


@pytest.mark.parametrize("text", INJECTIONS)
async def test_a_text_in_a_row_is_answered_as_it_is(
    api: Api, compiled: Api, market: Market, watch: Watch, text: str
) -> None:
    owner = await market.user(full_name=text)
    store = await market.store(owner, name=text, city=text)
    variables = {"id": gid(await market.product(store, name=text, description=text))}

    response = await compiled.send(PRODUCT, variables)

    shown = {"name": text, "city": text, "owner": {"fullName": text}}
    assert orjson.loads(response.content)["data"]["product"] == {"name": text, "description": text, "store": shown}
    assert response.content == (await api.send(PRODUCT, variables)).content
    assert watch.answered


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_hostile_argument_changes_nothing_but_the_answer(
    paths: Paths, population: Population, name: str
) -> None:
    before = await paths.agree("{ products(first: 100) { nodes { id name } } }")

    for text in [*INJECTIONS, QUOTE, "%", "_", "x" * 20_000, "a\0", "' OR true --", "Store_' OR 1=1"]:
        await paths.agree(ARGUMENTS[name], {"v": text}, user=population.viewers["customer"])

    assert await paths.agree("{ products(first: 100) { nodes { id name } } }") == before


@pytest.mark.parametrize("text", INJECTIONS)
async def test_an_argument_is_bound_and_never_written_into_the_statement(paths: Paths, text: str) -> None:
    for name in ("search", "city", "country"):
        literal = orjson.dumps(f"{text} needle").decode().replace("\x7f", "\\u007f")
        await paths.agree(ARGUMENTS[name], {"v": f"{text} needle"})
        await paths.agree(ARGUMENTS[name].partition(") ")[2].replace("$v", literal))
        assert len(paths.watch.statements) == 1
        assert "needle" not in paths.watch.statements[0].lower()
