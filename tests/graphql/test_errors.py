"""Every failure has a stable code; what was not foreseen is logged whole and shown to nobody."""

from time import process_time
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.api import Api
from tests.market import Market, gid
from tests.triggers import create_trigger, renamed

ORDERS = "query ($filter: OrderFilter) { orders(filter: $filter) { totalCount } }"
PRODUCTS = "query ($first: Int, $filter: ProductFilter) { products(first: $first, filter: $filter) { totalCount } }"
NODE = "query ($id: ID!) { node(id: $id) { id } }"
CREATE_STORE = """
mutation {
  createStore(input: { name: "A", street: "B", postcode: "1", city: "C", country: "DE", currency: "EUR" }) {
    __typename
  }
}
"""
SECRET = "the safe is behind the painting"


async def code_of(api: Api, document: str, variables: dict[str, Any] | None = None) -> Any:
    return (await api.error(document, variables))["code"]


@pytest.mark.parametrize(
    "document", ["{", "query {", "{ a(", "}", "nonsense", '{ node(id: "\\uD800") { id } }', "{ a " * 3000]
)
async def test_a_document_that_does_not_parse(api: Api, document: str) -> None:
    assert await code_of(api, document) == "GRAPHQL_PARSE_FAILED"


@pytest.mark.parametrize(
    "document",
    [
        "{ nothing }",
        "{ stores }",
        "{ viewer { password } }",
        '{ stores(first: "2") { totalCount } }',
        "{ stores(first: 2147483648) { totalCount } }",
        f"{{ stores(first: {'9' * 5000}) {{ totalCount }} }}",
        "{ orders(filter: { status: [LOST] }) { totalCount } }",
        '{ orders(filter: { status: ["PLACED"] }) { totalCount } }',
        '{ orders(filter: { placedAt: { gte: "yesterday" } }) { totalCount } }',
        "{ orders(filter: { placedAt: { gte: 2026 } }) { totalCount } }",
        "{ products(filter: { price: { gte: 1.5 } }) { totalCount } }",
        '{ products(filter: { price: { gte: "cheap" } }) { totalCount } }',
        f"{{ products(filter: {{ price: {{ gte: {'9' * 5000} }} }}) {{ totalCount }} }}",
        "{ node { id } }",
        "{ ...missing }",
        "query ($id: Nothing) { viewer { id } }",
        "mutation { placeOrder(input: {}) { __typename } }",
    ],
)
async def test_a_document_that_is_not_valid(api: Api, document: str) -> None:
    result = await api.execute(document)

    assert "data" not in result
    assert {error["extensions"]["code"] for error in result["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (NODE, {}),
        (NODE, {"id": None}),
        (NODE, {"id": 1.5}),
        (NODE, {"id": ["Store_1"]}),
        (PRODUCTS, {"first": "2"}),
        (PRODUCTS, {"first": 2**31}),
        (PRODUCTS, {"first": 10**40}),
        (PRODUCTS, {"first": 1.5}),
        (PRODUCTS, {"filter": "bread"}),
        (PRODUCTS, {"filter": {"colour": "red"}}),
        (PRODUCTS, {"filter": {"search": 5}}),
        (PRODUCTS, {"filter": {"price": {"gte": 1.5}}}),
        (PRODUCTS, {"filter": {"price": {"gte": True}}}),
        (PRODUCTS, {"filter": {"price": {"gte": "cheap"}}}),
        (PRODUCTS, {"filter": {"price": {"gte": "NaN"}}}),
        (PRODUCTS, {"filter": {"price": {"gte": "1e999999999"}}}),
        (PRODUCTS, {"filter": {"price": {"gte": 10**40}}}),
        (PRODUCTS, {"filter": {"inStock": "yes"}}),
        (ORDERS, {"filter": {"status": ["LOST"]}}),
        (ORDERS, {"filter": {"status": [1]}}),
        (ORDERS, {"filter": {"placedAt": {"gte": "yesterday"}}}),
        (ORDERS, {"filter": {"placedAt": {"gte": "2026-01-01T00:00:00"}}}),
        (ORDERS, {"filter": {"placedAt": {"gte": "0001-01-01T00:00:00+14:00"}}}),
        (ORDERS, {"filter": {"placedAt": {"lt": "9999-12-31T23:59:59-14:00"}}}),
        (ORDERS, {"filter": {"placedAt": {"lt": 1_700_000_000}}}),
    ],
)
async def test_variables_that_do_not_fit(api: Api, document: str, variables: dict[str, Any]) -> None:
    result = await api.execute(document, variables)

    assert "data" not in result
    assert [error["extensions"]["code"] for error in result["errors"]] == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("id", [10**40, -1, 0, 2**63])
async def test_a_number_is_not_an_id_however_large(api: Api, id: int) -> None:
    assert await code_of(api, NODE, {"id": id}) == "BAD_USER_INPUT"


async def test_what_needs_a_login_and_what_is_not_allowed(api: Api, market: Market) -> None:
    users = "{ users { totalCount } }"

    assert await code_of(api, users) == "UNAUTHENTICATED"
    assert (await api.error(users, user=await market.user()))["code"] == "FORBIDDEN"


async def test_an_error_tells_where_it_belongs(api: Api, market: Market) -> None:
    store = await market.store()

    error = await api.error(
        "query ($id: ID!) { shop: store(id: $id) { products(first: -1) { totalCount } } }", {"id": gid(store)}
    )

    assert error["path"] == ["shop", "products"]
    assert error["locations"] == [{"line": 1, "column": 43}]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["first"]}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("{ products(last: 101) { totalCount } }", ["last"]),
        (f'{{ stores(filter: {{ city: "{"x" * 501}" }}) {{ totalCount }} }}', ["filter", "city"]),
        ('{ products(filter: { storeId: "x" }) { totalCount } }', ["filter", "storeId"]),
        ('{ product(id: "x") { id } }', ["id"]),
        ('{ nodes(ids: ["User_01970000-0000-7000-8000-000000000000", "x"]) { id } }', ["ids", "1"]),
        ('mutation { deleteStore(input: { id: "x" }) { __typename } }', ["input", "id"]),
        (
            'mutation { placeOrder(input: { items: [{ productId: "x", quantity: 1 }] }) { __typename } }',
            ["input", "items", "0", "productId"],
        ),
    ],
)
async def test_an_error_names_the_argument_step_by_step(
    api: Api, market: Market, document: str, path: list[str]
) -> None:
    error = await api.error(document, user=await market.user())

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": path}
    assert error["message"].startswith(f"`{'.'.join(path)}` ")
    assert len(error["path"]) == 1


async def test_a_root_field_that_fails_leaves_the_others(api: Api, market: Market) -> None:
    await market.store(name="Bakery")
    query = """
    {
      users { totalCount }
      stores { nodes { name } }
      orders { totalCount }
      product(id: "x") { id }
    }
    """

    result = await api.execute(query)

    assert result["data"] == {"users": None, "stores": {"nodes": [{"name": "Bakery"}]}, "orders": None, "product": None}
    assert [(error["path"], error["extensions"]["code"]) for error in result["errors"]] == [
        (["users"], "UNAUTHENTICATED"),
        (["orders"], "UNAUTHENTICATED"),
        (["product"], "BAD_USER_INPUT"),
    ]


async def test_what_was_not_foreseen_is_shown_as_the_id_of_the_request(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    await create_trigger(connection, "INSERT ON stores", f"RAISE '{SECRET}'")

    response = await api.send(CREATE_STORE, user=await market.user())

    request_id = response.headers["X-Request-ID"]
    (error,) = response.json()["errors"]
    assert error["path"] == ["createStore"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": request_id}
    hint = f"Include the request ID {request_id} when you report it."
    assert error["message"] == f"Something went wrong on our side. {hint}"
    assert response.json()["data"] == {"createStore": None}
    assert SECRET not in response.text


async def test_of_a_query_whose_statement_fails_the_rest_is_shown_and_not_the_statement(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    await committed_market.product(name="Bread")
    query = '{ user(id: "User_01970000-0000-7000-8000-000000000000") { id } products { nodes { name } } __typename }'

    async with renamed(committed_engine, "users"):
        response = await committed_api.send(query)

    result = response.json()
    assert result["data"] == {"user": None, "products": {"nodes": [{"name": "Bread"}]}, "__typename": "Query"}
    assert [error["extensions"]["code"] for error in result["errors"]] == ["INTERNAL_SERVER_ERROR"]
    assert "SELECT" not in response.text
    assert "users" not in response.text


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (PRODUCTS, {"filter": {f"field{number}": number for number in range(12_000)}}),
        (ORDERS, {"filter": {"status": ["X"] * 4_000}}),
    ],
    ids=["unknown fields", "unknown values"],
)
async def test_of_many_errors_in_variables_a_few_are_told_at_once(
    api: Api, document: str, variables: dict[str, Any]
) -> None:
    began = process_time()

    result = await api.execute(document, variables)

    assert process_time() - began < 1
    *told, last = [error["message"] for error in result["errors"]]
    assert len(told) == 5
    assert last == "Too many errors processing variables, error limit reached. Execution aborted."


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (PRODUCTS, {"filter": {"x" * 100_000: 1}}),
        (PRODUCTS, {"filter": {"search": [["x" * 1_000] * 10] * 10}}),
        (f"{{ products(filter: {{ {'x' * 100_000}: 1 }}) {{ totalCount }} }}", {}),
        (f'{{ stores(first: "{"x" * 100_000}") {{ totalCount }} }}', {}),
    ],
)
async def test_a_message_does_not_repeat_all_that_was_sent(api: Api, document: str, variables: dict[str, Any]) -> None:
    error = await api.error(document, variables)

    assert error["code"] in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED")
    assert len(error["message"]) == 1_001
    assert error["message"].endswith("…")
