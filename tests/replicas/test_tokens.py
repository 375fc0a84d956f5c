"""A mutation that did something returns a token of it, in the extensions and in a header; queries may send some."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry
from app.errors import BadUserInput
from app.replicas.tokens import HEADER, MOST, Written, parsed
from tests.api import Api
from tests.idempotency.requests import keyed
from tests.market import Market, gid
from tests.orders.operations import PLACE, PLACE_IN_TRANSACTION, item
from tests.users.operations import LOG_IN, SIGN_UP

READ = "{ __typename }"
RENAME = "mutation ($id: ID!, $name: String!) { updateProduct(input: {id: $id, name: $name}) { __typename } }"
RENAME_AND_FAIL = """
mutation ($id: ID!, $name: String!) {
  one: updateProduct(input: {id: $id, name: $name}) { __typename }
  other: updateProduct(input: {id: "Product_00000000-0000-0000-0000-000000000000", name: $name}) { __typename }
}
"""
FAIL = "mutation ($id: ID!) { updateProduct(input: {id: $id, price: -1}) { __typename } }"


async def entries(connection: AsyncConnection) -> set[UUID]:
    return set(await connection.scalars(select(AuditEntry.id)))


def token_of(response: Any) -> UUID | None:
    """Return the token, which the header has like the extensions."""
    token = response.json().get("extensions", {}).get("consistencyToken")
    assert response.headers.get(HEADER) == token
    return None if token is None else UUID(token)


@pytest.mark.parametrize("query", [PLACE, PLACE_IN_TRANSACTION])
async def test_the_token_names_what_an_order_wrote(
    api: Api, market: Market, connection: AsyncConnection, query: str
) -> None:
    response = await api.send(query, {"items": [item(await market.product())]}, user=await market.user())
    assert {token_of(response)} == await entries(connection)


async def test_the_token_names_what_a_log_in_wrote(api: Api, connection: AsyncConnection) -> None:
    account = {"email": "ada@example.com", "password": "correct horse battery"}
    response = await api.send(SIGN_UP, {"input": {**account, "fullName": "Ada"}})
    assert token_of(response) in await entries(connection)
    response = await api.send(LOG_IN, account)
    assert token_of(response) in await entries(connection)


async def test_of_several_fields_the_token_names_one_that_took_effect(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    product = await market.product(await market.store(owner))
    response = await api.send(RENAME_AND_FAIL, {"id": gid(product), "name": "New"}, user=owner)
    assert {token_of(response)} == await entries(connection)


async def test_what_does_nothing_has_no_token(api: Api, market: Market) -> None:
    product, user = await market.product(stock=1), await market.user()
    assert token_of(await api.send(PLACE, {"items": [item(product, 2)]}, user=user)) is None
    assert token_of(await api.send(PLACE_IN_TRANSACTION, {"items": [item(product, 2)]}, user=user)) is None
    assert token_of(await api.send(FAIL, {"id": gid(product)}, user=user)) is None
    assert token_of(await api.send(READ)) is None


@pytest.mark.parametrize("query", [PLACE, PLACE_IN_TRANSACTION])
async def test_a_replayed_response_has_the_token_of_the_first(api: Api, market: Market, query: str) -> None:
    items, user = {"items": [item(await market.product())]}, await market.user()
    first, again = [await api.send(query, items, user=user, headers=keyed()) for _ in range(2)]
    assert token_of(first) == token_of(again) is not None


async def test_what_is_no_token_is_named(api: Api) -> None:
    sent, reason = f"{uuid4()},what", "must have the tokens"
    in_header = await api.send(READ, headers={HEADER: sent})
    body = {"query": READ, "extensions": {"consistencyToken": sent}}
    in_body = await api.client.post("/graphql", json=body)
    for response, name in ((in_header, HEADER), (in_body, "extensions.consistencyToken")):
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["message"].startswith(f"`{name}` {reason}")


async def test_tokens_are_taken_in_a_header_and_in_the_extensions(api: Api) -> None:
    token = uuid4().hex
    in_header = await api.send(READ, headers={HEADER: f"{token}, {token},"})
    body = {"query": READ, "extensions": {"consistencyToken": token}}
    in_body = await api.client.post("/graphql", json=body)
    assert [response.json()["data"] for response in (in_header, in_body)] == [{"__typename": "Query"}] * 2


def test_each_token_is_read_once() -> None:
    token, other = uuid4(), uuid4()
    assert parsed(f" {token.hex},{other},{token} ,", HEADER) == [token, other]
    with pytest.raises(BadUserInput):
        parsed(3, HEADER)


def test_more_tokens_than_are_compared_are_those_of_nothing() -> None:
    """No server shows it, so the primary answers: an error would keep the client from everything."""
    tokens = [uuid4() for _ in range(MOST + 1)]
    assert parsed(",".join(map(str, tokens[1:])), HEADER) == tokens[1:]
    assert parsed(",".join(map(str, tokens)), HEADER) == [UUID(int=0)]


def test_the_last_tokens_are_kept() -> None:
    written, tokens = Written(), [uuid4() for _ in range(MOST + 2)]
    for token in tokens:
        written.add(token)
    assert written.tokens == tokens[2:]
    written.add(tokens[5])  # of a response that was replayed
    assert written.tokens == [*tokens[2:5], *tokens[6:], tokens[5]]
