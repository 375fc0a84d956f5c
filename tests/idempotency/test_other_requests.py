"""Another request under a key that was used is refused, and so is what is no key; nothing is done."""

from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry, Order, Product, User
from tests.api import Api
from tests.idempotency.requests import KEY, assert_refused, is_replay, kept, keyed, order, send
from tests.market import Market, gid
from tests.orders.operations import number_of
from tests.statements import Statements

CREATE = """
mutation One($input: CreateProductsInput!) { createProducts(input: $input) { __typename } }
mutation Two($input: CreateProductsInput!) { createProducts(input: $input) { __typename } }
"""


def request(store: str, *products: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a request that creates products, with changes of the whole."""
    variables = {"input": {"storeId": store, "products": products}}
    return {"query": CREATE, "operationName": "One", "variables": variables, **changes}


async def post(api: Api, user: User, body: dict[str, Any]) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {api.token(user)}", **keyed()}
    return await api.client.post("/graphql", json=body, headers=headers)


LAMP, TORCH = {"name": "Lamp", "price": "1"}, {"name": "Torch", "price": "2"}
OTHERS = {
    "another document": lambda store: request(store, LAMP, TORCH, query=CREATE.replace("__typename", "x: __typename")),
    "another operation of the document": lambda store: request(store, LAMP, TORCH, operationName="Two"),
    "another value": lambda store: request(store, LAMP, {**TORCH, "price": "2.01"}),
    "a number for a text": lambda store: request(store, LAMP, {**TORCH, "price": 2}),
    "null for nothing": lambda store: request(store, LAMP, {**TORCH, "stock": None}),
    "another order of a list": lambda store: request(store, TORCH, LAMP),
    "one less": lambda store: request(store, LAMP),
    "an input that breaks a rule": lambda store: request(store),
}


@pytest.mark.parametrize("other", OTHERS)
async def test_another_request_under_the_same_key_is_refused(
    api: Api, market: Market, connection: AsyncConnection, other: str
) -> None:
    owner = await market.user()
    store = gid(await market.store(owner))
    first = await post(api, owner, request(store, LAMP, TORCH))
    assert first.json()["data"] == {"createProducts": {"__typename": "CreateProductsSuccess"}}

    assert_refused(await post(api, owner, OTHERS[other](store)))

    assert await number_of(connection, Product) == 2
    assert await number_of(connection, AuditEntry) == 2
    again = await post(api, owner, request(store, LAMP, TORCH))
    assert (again.content, is_replay(again)) == (first.content, True)


@pytest.mark.parametrize(
    "key", ["", "1234567", "x" * 256, "with a space", "with\ta tab", b"umlaut-\xe4\xf6\xfc", "naïve-key".encode()]
)
async def test_what_is_no_key_is_refused_before_anything_is_read(
    api: Api, market: Market, connection: AsyncConnection, statements: Statements, key: str | bytes
) -> None:
    customer, product = await market.user(), await market.product()
    statements.clear()

    assert_refused(await order(api, customer, product, key=key))

    assert statements == []
    assert await number_of(connection, Order) == 0
    assert await kept(connection) == []


@pytest.mark.parametrize("key", ["a key", KEY])
async def test_no_field_of_a_request_whose_key_is_refused_runs(
    api: Api, market: Market, connection: AsyncConnection, key: str
) -> None:
    owner = await market.user()
    store = gid(await market.store(owner))
    first = await post(api, owner, request(store, LAMP))
    document = """mutation ($store: ID!) {
      chair: createProduct(input: { storeId: $store, name: "Chair", price: 1 }) { __typename }
      table: createProduct(input: { storeId: $store, name: "Table", price: 1 }) { __typename }
    }"""

    assert_refused(await send(api, document, {"store": store}, user=owner, key=key))

    assert await number_of(connection, Product) == 1
    again = await post(api, owner, request(store, LAMP))
    assert (again.content, is_replay(again)) == (first.content, True)


@pytest.mark.parametrize("key", ["12345678", "x" * 255, '"8e03978e-40d5"', "!#$%&'*+-.^_`|~"])
async def test_eight_to_255_characters_are_a_key(api: Api, market: Market, key: str) -> None:
    customer, product = await market.user(), await market.product()

    first, again = [await order(api, customer, product, key=key) for _ in range(2)]

    assert first.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert (again.content, is_replay(again)) == (first.content, True)


async def test_variables_too_deep_to_tell_apart_are_refused(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    body = request(gid(await market.store(owner)), LAMP)
    body["variables"]["unused"] = deep

    result = (await post(api, owner, body)).json()

    assert result["data"] is None
    assert result["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["variables"]}
    assert await number_of(connection, Product) == 0
