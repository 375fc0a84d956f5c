"""No request that is cheap to send is dear to answer: it is refused before anything runs, or remembered."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

import httpx2
import orjson
import pytest
from graphql import get_introspection_query
from sqlalchemy.ext.asyncio import AsyncConnection

from app.graphql.compiled import path
from app.graphql.compiled.compilation import MAX_COST
from app.graphql.compiled.compiler import compile_payload
from app.graphql.operations import documents
from app.graphql.operations.cache import Cache
from app.graphql.operations.documents import Documents
from app.graphql.operations.resolver_path import ResolverPath
from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid
from tests.statements import Statements


def repeated(number: int, field: str) -> str:
    """Return a field under so many aliases."""
    return " ".join(f"a{each}: {field}" for each in range(number))


SEARCH = 'products(first: 1, filter: { search: "a" }) { nodes { id } }'
PAST = 'products(after: "x", before: "y", filter: { search: "a" }) { pageInfo { hasNextPage } }'
PLACE_ORDER = 'placeOrder(input: { items: [{ productId: "Product_x", quantity: 1 }] })'
STORE = f"... on PlaceOrderSuccess {{ order {{ items {{ product {{ store {{ {repeated(20, SEARCH)} }} }} }} }} }}"
DESCRIPTIONS = f"fragment F on Product {{ {repeated(28, 'description')} }}"
RENAME = """
mutation ($id: ID!) {
  updateProduct(input: { id: $id, name: "Torch" }) { ... on UpdateProductSuccess { product { name } } }
}
"""
PRICES = f"fragment F on Product {{ {repeated(28, 'price { amount }')} }}"
TOO_DEAR: Mapping[str, str] = {
    "searches of stores": f"{{ stores(first: 100) {{ nodes {{ {SEARCH} }} }} }}",
    "searches under aliases": f"{{ {repeated(5, SEARCH)} }}",
    "searches in a payload": f"mutation {{ {PLACE_ORDER} {{ {STORE} }} }}",
    "descriptions within descriptions": (
        "{ products(first: 48) { nodes { store { products(first: 48) { nodes { ...F } } } } } }" + DESCRIPTIONS
    ),
    "descriptions in a payload": (
        f"mutation {{ {PLACE_ORDER} {{ ... on PlaceOrderSuccess {{ order {{ items {{ product {{ store {{ "
        f"products(first: 48) {{ nodes {{ ...F }} }} }} }} }} }} }} }} }} {DESCRIPTIONS}"
    ),
    "lists of the schema under aliases": (
        f"{{ __schema {{ {repeated(9, 'types { ...T }')} }} }} "
        f"fragment T on __Type {{ {repeated(9, 'fields { ...F }')} }} "
        f"fragment F on __Field {{ {repeated(12, 'type { name kind }')} }}"
    ),
    "what is past cursors, which is looked for": f"{{ {repeated(2, PAST)} }}",
    "long texts of the items of an order": (
        f"{{ orders(first: 1) {{ nodes {{ items {{ product {{ {repeated(13, 'description')} }} }} }} }} }}"
    ),
    "a long alias": f"{{ stores(first: 100) {{ nodes {{ products {{ nodes {{ {'a' * 10_000}: id }} }} }} }} }}",
}


@asynccontextmanager
async def opened(connection: AsyncConnection, settings: Settings, **changed: Any) -> AsyncIterator[Api]:
    """Open the application with other settings."""
    app = create_app(settings.model_copy(update=changed), SingleConnection(connection))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)


def code_of(result: Any) -> Any:
    """Return the code of the one error."""
    (error,) = result["errors"]
    return error["extensions"]["code"]


@pytest.mark.parametrize("name", TOO_DEAR)
async def test_what_would_take_long_is_refused(api: Api, statements: Statements, name: str) -> None:
    result = (await api.send(TOO_DEAR[name])).json()

    assert code_of(result) == "COST_LIMIT_EXCEEDED"
    assert "data" not in result
    assert statements == []


async def test_a_mutation_whose_response_is_too_large_is_not_done(
    connection: AsyncConnection, settings: Settings, market: Market
) -> None:
    user = await market.user()
    product = await market.product(await market.store(user), name="Lamp")
    for compiled in (False, True):
        async with opened(connection, settings, compiled_path=compiled, response_limit_mb=0) as api:
            result = await api.execute(RENAME, {"id": f"Product_{product.id}"}, user=user)

        assert (result["data"], code_of(result)) == (None, "RESPONSE_TOO_LARGE")
        assert (await market.reload(product)).name == "Lamp"


async def test_a_payload_has_a_limit_of_its_own(api: Api, market: Market, statements: Statements) -> None:
    user, product = await market.user(), await market.product()
    query = """
    mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { ... on PlaceOrderSuccess { order {
      customer { stores { totalCount nodes { products(first: 100) { nodes { id } } } } }
    } } } }"""
    item = {"productId": f"Product_{product.id}", "quantity": 1}
    statements.clear()

    result = await api.execute(query, {"input": {"items": [item]}}, user=user)

    assert code_of(result) == "COST_LIMIT_EXCEEDED"
    assert result["errors"][0]["extensions"]["cost"] == {"requested": 1 + 20 + 25 + 20 * 100, "limit": 1_000}
    assert statements == []


async def test_what_is_not_compiled_has_a_limit_of_its_own(
    connection: AsyncConnection, settings: Settings, statements: Statements
) -> None:
    query = f"{{ stores(first: 20) {{ nodes {{ products(first: 20) {{ nodes {{ ...F }} }} }} }} }} {PRICES}"
    async with opened(connection, settings, compiled_path=True) as api:
        assert "errors" not in (await api.send(query)).json()
        statements.clear()

        result = (await api.send('query { __type(name: "Store") { name } ' + query[1:])).json()

    assert code_of(result) == "VALUE_LIMIT_EXCEEDED"
    assert "isn't: __type" in result["errors"][0]["message"]
    assert statements == []


@pytest.mark.parametrize(("searches", "is_refused"), [(0, False), (2, True)])
async def test_what_is_not_compiled_has_room_for_fewer_values_the_more_it_reads(
    connection: AsyncConnection, settings: Settings, searches: int, is_refused: bool
) -> None:
    """So the server and Postgres together take no longer than for any other operation."""
    prices = "".join(f" p{each}: price {{ amount currency }}" for each in range(24))
    page = "products(first: 100) { nodes { ...F } }"
    not_compiled = f'__type(name: "Store") {{ name }} {page} b: {page} {repeated(searches, SEARCH)}'
    async with opened(connection, settings, compiled_path=True) as api:
        result = (await api.send(f"{{ {not_compiled} }} fragment F on Product {{ {prices} }}")).json()

    assert (code_of(result) if is_refused else result.get("errors")) == ("VALUE_LIMIT_EXCEEDED" if is_refused else None)


@pytest.mark.parametrize(
    ("query", "compiled", "reason"),
    [
        ("{ __schema { types { name } } }", True, "introspection never is"),
        ("{ stores { nodes { id } } }", False, "COMPILED_PATH is off"),
        ('mutation { logOut(input: {refreshToken: "x"}) { __typename } }', True, "only queries are"),
    ],
)
async def test_the_limit_says_why_the_operation_is_not_compiled(
    connection: AsyncConnection, settings: Settings, query: str, compiled: bool, reason: str
) -> None:
    async with opened(connection, settings, compiled_path=compiled, value_limit=0) as api:
        result = (await api.send(query)).json()

    assert code_of(result) == "VALUE_LIMIT_EXCEEDED"
    assert f"isn't: {reason}" in result["errors"][0]["message"]


async def test_a_large_mutation_has_that_limit_too(api: Api, market: Market, statements: Statements) -> None:
    products = [{"name": f"Lamp {number}", "price": 1} for number in range(900)]
    query = f"""
    mutation ($input: CreateProductsInput!) {{
      createProducts(input: $input) {{ ... on CreateProductsSuccess {{ products {{ ...F }} }} }}
    }} {PRICES}"""
    statements.clear()

    result = await api.execute(query, {"input": {"storeId": "Store_x", "products": products}})

    assert code_of(result) == "VALUE_LIMIT_EXCEEDED"
    assert statements == []


async def test_a_response_that_is_too_large_is_not_sent(
    connection: AsyncConnection, settings: Settings, market: Market
) -> None:
    await market.product(description="x" * 5_000)
    for compiled in (False, True):
        async with opened(connection, settings, compiled_path=compiled, response_limit_mb=0) as api:
            result = (await api.send("{ products { nodes { description } } }")).json()

        assert (result["data"], code_of(result)) == (None, "RESPONSE_TOO_LARGE")


@contextmanager
def counted(owner: Any, name: str) -> Iterator[list[Any]]:
    """Count how often something is called."""
    calls: list[Any] = []
    original = getattr(owner, name)

    def called(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return original(*arguments, **named)

    with patch.object(owner, name, called):
        yield calls


async def test_what_the_compiler_declines_is_remembered_whatever_the_numbers(
    connection: AsyncConnection, settings: Settings
) -> None:
    fields = repeated(700, "id")
    query = f"query ($n: Int) {{ products(first: $n) {{ nodes {{ {fields} }} }} }}"
    limits = {"alias_limit": 1_000, "token_limit": 10_000, "repetition_limit": 1_000, "value_limit": 10_000_000}
    async with opened(connection, settings, compiled_path=True, **limits) as api:
        with counted(path, "compile_plan") as compiled:
            for number in range(10):
                assert "errors" not in (await api.send(query, {"n": number})).json()

    assert len(compiled) == 1


async def test_what_is_known_of_the_schema_is_kept(connection: AsyncConnection, settings: Settings) -> None:
    query = get_introspection_query()
    async with opened(connection, settings, compiled_path=True) as api:
        with counted(ResolverPath, "execute") as executed:
            first, again = [(await api.send(query)).json() for _ in range(2)]

    assert first == again
    assert first["data"]["__schema"]["types"]
    assert len(executed) == 1


@pytest.mark.parametrize(
    ("query", "variables", "other"),
    [
        ("query ($name: String!) { __type(name: $name) { name } }", {"name": "Store"}, {"name": "Product"}),
        ("query ($no: Boolean!) { __schema { queryType { name @skip(if: $no) } } }", {"no": True}, {"no": False}),
    ],
)
async def test_what_is_kept_of_the_schema_depends_on_variables(
    connection: AsyncConnection, settings: Settings, query: str, variables: Any, other: Any
) -> None:
    async with opened(connection, settings, compiled_path=True) as api:
        first, second, third = [(await api.send(query, given)).json() for given in (variables, other, variables)]

    assert first == third != second
    assert "errors" not in (first | second)


def test_invalid_documents_displace_no_valid_one(settings: Settings) -> None:
    read = Documents(graphql_schema(schema), settings)
    with counted(documents, "parsed") as parsed:
        read.read("{ viewer { id } }")
        for number in range(600):
            assert read.read(f"{{ nothing{number} }}").errors
        known = len(parsed)
        read.read("{ viewer { id } }")

    assert len(parsed) == known


def test_documents_that_are_sent_once_displace_none_that_is_sent_again(settings: Settings) -> None:
    read = Documents(graphql_schema(schema), settings)
    with counted(documents, "parsed") as parsed:
        for _ in range(2):
            read.read("{ viewer { id } }")
        for number in range(600):
            read.read(f"{{ a{number}: viewer {{ id }} }}")
        known = len(parsed)
        read.read("{ viewer { id } }")

    assert len(parsed) == known


async def test_empty_pages_have_their_price_on_the_resolver_path(api: Api, market: Market) -> None:
    """981 bytes of them, 19,212 values by the old count, stopped the server for a second."""
    empty = " ".join(f"p{number}: products(first: 0) {{ nodes {{ id }} }}" for number in range(20))
    query = f"{{ products(first: 100) {{ nodes {{ store {{ {empty} }} }} }} }}"

    error = await api.error(query)

    assert error["code"] == "VALUE_LIMIT_EXCEEDED"
    assert error["extensions"]["requested"] > 50_000


async def test_selections_of_a_mutation_are_compiled_once_however_many(
    connection: AsyncConnection, settings: Settings, market: Market
) -> None:
    owner = await market.user()
    product = await market.product(store=await market.store(owner))
    inner = "store { products(first: 2) { nodes { id } } }"
    fields = " ".join(f"u{number}: updateProduct(input: $i) {{ ...P }}" for number in range(20))
    query = f"""mutation ($i: UpdateProductInput!) {{ {fields} }}
        fragment P on UpdateProductSuccess {{ product {{ {inner} }} }}"""
    limits = {"alias_limit": 100, "root_field_limit": 100, "cost_limit": 100_000, "payload_cost_limit": 100_000}
    async with opened(connection, settings, compiled_path=True, **limits) as api:
        numbers = []
        for _ in range(2):
            with counted(path, "compile_payload") as compiled:
                result = (await api.send(query, {"i": {"id": gid(product)}}, user=owner)).json()
            assert "errors" not in result
            numbers.append(len(compiled))

    assert numbers == [20, 0]


async def test_what_a_mutation_selects_costs_as_much_to_compile_as_a_query_at_most(
    connection: AsyncConnection, settings: Settings, market: Market
) -> None:
    """1,878 bytes of 17 root fields took half a second to compile, and again for each new document."""
    owner = await market.user()
    product = await market.product(store=await market.store(owner))
    inner = " ".join(
        f"s{number}: store {{ products {{ nodes {{ id name price {{ amount }} }} }} }}" for number in range(9)
    )
    fields = " ".join(f"u{number}: updateProduct(input: $i) {{ ...P }}" for number in range(20))
    query = f"""mutation ($i: UpdateProductInput!) {{ {fields} }}
        fragment P on UpdateProductSuccess {{ product {{ {inner} }} }}"""
    limits = {"alias_limit": 100, "cost_limit": 100_000, "payload_cost_limit": 100_000, "value_limit": 1_000_000}
    costs: list[int] = []

    def noted(*arguments: Any, **named: Any) -> Any:
        plan = compile_payload(*arguments, **named)
        costs.append(min(plan.cost, named["limit"]))
        return plan

    async with opened(connection, settings, compiled_path=True, **limits) as api:
        with patch.object(path, "compile_payload", noted):
            result = (await api.send(query, {"i": {"id": gid(product)}}, user=owner)).json()

    assert "errors" not in result
    assert len({orjson.dumps(field) for field in result["data"].values()}) == 1  # whoever has read them
    assert 0 < sum(costs) <= MAX_COST


async def test_plans_weigh_as_a_part_of_their_document(connection: AsyncConnection, settings: Settings) -> None:
    query = "query ($n: Int) { products(first: $n) { nodes { id } } }"
    async with opened(connection, settings, compiled_path=True) as api:
        with counted(Cache, "weigh") as weighed:
            for number in range(1, 12):
                await api.send(query, {"n": number})

    weights = [weight for cache, key, weight in weighed if key == query]
    assert weights == sorted(weights)
    assert weights[-1] > weights[0] + 9 * 500
