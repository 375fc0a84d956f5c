"""GraphQL over HTTP: what a request must look like, and what a response tells beside its data."""

import json
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Store
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import number_of

JSON = {"Content-Type": "application/json"}
TYPENAME = "{ __typename }"
CREATE_STORE = """
mutation Open {
  createStore(input: { name: "A", street: "B", zipcode: "1", city: "C", country: "DE", currency: "EUR" }) {
    __typename
  }
}
"""


async def post(api: Api, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await api.client.post("/graphql", content=body, headers=JSON if headers is None else headers)


async def get(api: Api, parameters: dict[str, str], headers: dict[str, str] | None = None) -> httpx2.Response:
    return await api.client.get(
        "/graphql", params=parameters, headers={"Accept": "application/json", **(headers or {})}
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"query": "{ __typename }"} {}',
        b'{"query": NaN}',
        b'{"query": "\\ud800"}',
        b'{"query": "{ node(id: \\"\\udfff\\") { id } }"}',
        b'{"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": "\\ud800"}}',
        b'{"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": 1e400}}',
        b"[" * 5000,
        b'{"a":' * 5000,
    ],
)
async def test_a_body_that_is_not_json_is_refused(api: Api, body: bytes) -> None:
    response = await post(api, body)

    assert (response.status_code, response.text) == (400, "Unable to parse request body as JSON")


@pytest.mark.parametrize("body", [b"5", b"null", b"true", b'"{ __typename }"', b"[]", b'[{"query": "{ __typename }"}]'])
async def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    response = await post(api, body)

    assert response.status_code == 400
    assert "data" not in response.text


async def test_a_list_of_operations_runs_none_of_them(api: Api, market: Market, connection: AsyncConnection) -> None:
    token = api.token(await market.user())

    response = await post(
        api, json.dumps([{"query": CREATE_STORE}] * 2).encode(), {**JSON, "Authorization": f"Bearer {token}"}
    )

    assert response.status_code == 400
    assert await number_of(connection, Store) == 0


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"query": None},
        {"query": ""},
        {"query": 5},
        {"query": [TYPENAME]},
        {"query": {"a": 1}},
        {"query": TYPENAME, "variables": []},
        {"query": TYPENAME, "variables": "{}"},
        {"query": TYPENAME, "variables": 5},
        {"query": TYPENAME, "operationName": "Other"},
        {"query": TYPENAME, "operationName": 5},
        {"query": TYPENAME, "extensions": 5},
    ],
)
async def test_a_request_without_an_operation_to_run_is_refused(api: Api, request_: dict[str, Any]) -> None:
    assert (await api.client.post("/graphql", json=request_)).status_code == 400


@pytest.mark.parametrize("variables", [None, {}, {"unused": 1}])
async def test_variables_may_be_left_out(api: Api, variables: Any) -> None:
    response = await api.client.post("/graphql", json={"query": TYPENAME, "variables": variables})

    assert (response.status_code, response.json()["data"]) == (200, {"__typename": "Query"})


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_what_any_page_on_the_web_could_send_is_refused(
    api: Api, market: Market, connection: AsyncConnection, content_type: str | None
) -> None:
    headers = {"Authorization": f"Bearer {api.token(await market.user())}"}
    if content_type:
        headers["Content-Type"] = content_type

    response = await post(api, json.dumps({"query": CREATE_STORE}).encode(), headers)

    assert response.status_code == 400
    assert await number_of(connection, Store) == 0


async def test_a_response_is_json(api: Api) -> None:
    response = await api.send(TYPENAME)

    assert response.headers["Content-Type"].startswith("application/json")
    assert response.content == (b'{"data":{"__typename":"Query"},"extensions":{"cost":{"requested":0,"limit":5000}}}')


async def test_text_of_any_language_comes_back_as_it_was(api: Api, market: Market) -> None:
    name = 'Ærø Käse 奶酪 🧀 "ab" \\ </script> \u2028'
    product = await market.product(name=name)

    response = await api.send("query ($id: ID!) { product(id: $id) { name } }", {"id": gid(product)})

    assert response.json()["data"]["product"]["name"] == name


async def test_a_query_may_be_sent_by_get(api: Api, market: Market) -> None:
    product = await market.product(name="Bread")
    query = "query Other { __typename } query One($id: ID!) { product(id: $id) { name } }"

    variables = json.dumps({"id": gid(product)})

    response = await get(api, {"query": query, "variables": variables, "operationName": "One"})

    assert (response.status_code, response.json()["data"]) == (200, {"product": {"name": "Bread"}})


@pytest.mark.parametrize(
    "parameters",
    [{"query": CREATE_STORE}, {"query": f"query Read {{ __typename }} {CREATE_STORE}", "operationName": "Open"}],
)
async def test_a_mutation_by_get_is_refused(
    api: Api, market: Market, connection: AsyncConnection, parameters: dict[str, str]
) -> None:
    authorization = {"Authorization": f"Bearer {api.token(await market.user())}"}

    response = await get(api, parameters, authorization)

    assert response.status_code == 400
    assert await number_of(connection, Store) == 0


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"query": ""},
        {"query": TYPENAME, "variables": "nonsense"},
        {"query": TYPENAME, "variables": "[1]"},
        {"query": TYPENAME, "variables": "5"},
        {"query": TYPENAME, "variables": '{"a": "\\ud800"}'},
        {"query": TYPENAME, "extensions": "5"},
        {"query": TYPENAME, "operationName": "Other"},
    ],
)
async def test_a_malformed_get_is_refused(api: Api, parameters: dict[str, str]) -> None:
    assert (await get(api, parameters)).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_no_other_method_is_served(api: Api, method: str) -> None:
    response = await api.client.request(method, "/graphql", json={"query": TYPENAME})

    assert response.status_code == 405


async def test_every_response_has_a_request_id_of_its_own(api: Api) -> None:
    responses = [
        await api.send(TYPENAME),
        await api.send(TYPENAME),
        await api.send("{ nothing }"),
        await api.send("{"),
        await get(api, {"query": TYPENAME}),
    ]

    ids = [response.headers["X-Request-ID"] for response in responses]
    assert all(len(id) >= 16 for id in ids)
    assert len(set(ids)) == len(ids)


async def test_the_id_of_a_request_is_not_the_clients_to_choose(api: Api) -> None:
    response = await api.send(TYPENAME, headers={"X-Request-ID": "forged\x7f"})

    assert "forged" not in response.headers["X-Request-ID"]
