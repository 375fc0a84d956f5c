"""The same request again under its key: the same response, byte for byte, and no second effect."""

import json
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry, Order, Product, Session, User
from app.graphql.http import endpoint
from app.graphql.operations.responses import Response
from tests.api import Api
from tests.idempotency.requests import is_replay, kept, keyed, order, send
from tests.market import Market, gid
from tests.orders.operations import NOBODY_ID, number_of, place, stock_of
from tests.products.changes import UPDATE, update
from tests.statements import Statements
from tests.users.operations import ADA, REFRESH, SIGN_UP, logged_in, refresh

CREATE = """
mutation ($input: CreateProductInput!) { createProduct(input: $input) { __typename } }
"""
TWO_PRODUCTS = """
mutation ($store: ID!) {
  first: createProduct(input: { storeId: $store, name: "Bread", price: 2 }) { __typename }
  again: createProduct(input: { storeId: $store, name: "Bread", price: 2 }) { ... on Conflict { path code } }
}
"""
PLACE_ONE = "placeOrder(input: { items: [{ productId: $id, quantity: 1 }] })"
PARTIAL = {
    "whose payload cannot be read": (
        "PAYLOAD_UNREADABLE",
        f"""mutation ($id: ID!) {{
          {PLACE_ONE} {{
            __typename ... on PlaceOrderSuccess {{ order {{ customer {{ orders(first: 1000) {{ totalCount }} }} }} }}
          }}
        }}""",
    ),
    "of which an earlier field is forbidden": (
        "FORBIDDEN",
        f"""mutation ($id: ID!) {{
          deleteOrder(input: {{ id: "Order_{NOBODY_ID}" }}) {{ __typename }}
          {PLACE_ONE} {{ __typename }}
        }}""",
    ),
    "of which a later field is forbidden": (
        "FORBIDDEN",
        f"""mutation ($id: ID!) {{
          {PLACE_ONE} {{ __typename }}
          deleteOrder(input: {{ id: "Order_{NOBODY_ID}" }}) {{ __typename }}
        }}""",
    ),
    "with a malformed id": (
        "BAD_USER_INPUT",
        f"""mutation ($id: ID!) {{
          {PLACE_ONE} {{ __typename }}
          cancelOrder(input: {{ id: "nonsense" }}) {{ __typename }}
        }}""",
    ),
}
TOTAL = "{ products { totalCount } }"


class ServerDied(Exception):
    pass


async def test_a_request_sent_again_has_the_same_response_and_no_second_effect(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product(stock=10)

    first, *again = [await order(api, customer, product, 3) for _ in range(3)]

    assert first.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert [response.content for response in again] == [first.content] * 2
    assert [is_replay(response) for response in (first, *again)] == [False, True, True]
    assert [response.status_code for response in again] == [200, 200]
    assert [response.headers["Content-Type"] for response in again] == [first.headers["Content-Type"]] * 2
    assert await number_of(connection, Order) == 1
    assert await stock_of(market, product) == 7


async def test_a_response_is_the_same_with_a_key_and_without(api: Api, market: Market) -> None:
    customer, product = await market.user(), await market.product(stock=0)

    assert (await order(api, customer, product)).json()["data"]["placeOrder"] == await place(
        api, customer, {"productId": gid(product), "quantity": 1}
    )


async def test_a_mutation_without_a_key_is_done_each_time(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()

    orders = [await place(api, customer, {"productId": gid(product), "quantity": 1}) for _ in range(2)]

    assert len({placed["order"]["id"] for placed in orders}) == 2
    assert await number_of(connection, Order) == 2
    assert await kept(connection) == []


async def test_a_replay_leaves_no_line_in_the_audit_trail(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()

    for _ in range(2):
        await order(api, customer, product)

    assert await number_of(connection, AuditEntry) == 1


async def test_a_replay_gives_the_old_answer_and_changes_nothing_back(api: Api, market: Market) -> None:
    owner = await market.user()
    product = await market.product(await market.store(owner), name="Lamp")
    variables = {"input": {"id": gid(product), "name": "Torch"}}

    first = await send(api, UPDATE, variables, user=owner)
    await update(api, owner, id=gid(product), name="Candle")
    again = await send(api, UPDATE, variables, user=owner)

    assert first.json()["data"]["updateProduct"]["product"]["name"] == "Torch"
    assert again.content == first.content
    assert (await market.reload(product)).name == "Candle"


async def test_the_order_of_properties_makes_no_other_request(api: Api, market: Market) -> None:
    owner = await market.user()
    input = {"storeId": gid(await market.store(owner)), "name": "Lamp", "price": "1"}
    request: dict[str, Any] = {"query": CREATE, "operationName": None, "variables": {"input": input}}
    turned = {
        name: {"input": dict(reversed(input.items()))} if name == "variables" else value
        for name, value in reversed(request.items())
    }
    headers = {"Authorization": f"Bearer {api.token(owner)}", "Content-Type": "application/json", **keyed()}

    first = await api.client.post("/graphql", content=json.dumps(request), headers=headers)
    again = await api.client.post("/graphql", content=json.dumps(turned, indent=2), headers=headers)

    assert first.json()["data"]["createProduct"]["__typename"] == "CreateProductSuccess"
    assert (again.content, is_replay(again)) == (first.content, True)


async def test_a_typed_failure_is_kept(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product(stock=1)

    first = await order(api, customer, product, 2)
    product.stock = 100
    await market.add(product)
    again = await order(api, customer, product, 2)

    assert first.json()["data"]["placeOrder"]["__typename"] == "InsufficientStock"
    assert (again.content, is_replay(again)) == (first.content, True)
    assert await number_of(connection, Order) == 0


async def test_fields_that_stand_and_fail_side_by_side_are_kept_together(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    variables = {"store": gid(await market.store(owner))}

    first, again = [await send(api, TWO_PRODUCTS, variables, user=owner) for _ in range(2)]

    assert first.json()["data"]["again"] == {"path": ["input", "name"], "code": "PRODUCT_NAME_TAKEN"}
    assert (again.content, is_replay(again)) == (first.content, True)
    assert await number_of(connection, Product) == 1


@pytest.mark.parametrize("document", PARTIAL)
async def test_what_stands_is_kept_together_with_the_errors_beside_it(
    api: Api, market: Market, connection: AsyncConnection, document: str
) -> None:
    customer, product = await market.user(), await market.product(stock=5)
    code, text = PARTIAL[document]

    first, again = [await send(api, text, {"id": gid(product)}, user=customer) for _ in range(2)]

    assert first.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert [error["extensions"]["code"] for error in first.json()["errors"]] == [code]
    assert (again.content, is_replay(again)) == (first.content, True)
    assert await number_of(connection, Order) == 1
    assert await stock_of(market, product) == 4


async def test_no_field_of_a_request_that_is_sent_again_runs_again(
    api: Api, market: Market, statements: Statements
) -> None:
    owner = await market.user()
    variables = {"store": gid(await market.store(owner))}
    first = await send(api, TWO_PRODUCTS, variables, user=owner)
    statements.clear()

    again = await send(api, TWO_PRODUCTS, variables, user=owner)

    assert (again.content, is_replay(again)) == (first.content, True)
    assert all("idempotency_keys" in statement for statement in statements)


async def test_an_answer_that_was_never_sent_is_given_when_the_request_comes_again(
    api: Api, market: Market, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, product = await market.user(), await market.product(stock=5)
    lost: list[bytes] = []

    async def die(*sent: Any) -> None:
        response: Response = sent[-1]
        lost.append(response.body)
        raise ServerDied

    with monkeypatch.context() as patch:
        patch.setattr(endpoint, "_send", die)
        with pytest.raises(ServerDied):
            await order(api, customer, product)
    again = await order(api, customer, product)

    assert (again.content, is_replay(again)) == (lost[0], True)
    assert await number_of(connection, Order) == 1
    assert await stock_of(market, product) == 4


async def test_a_sign_up_sent_again_is_the_same_login(api: Api, connection: AsyncConnection) -> None:
    first, again = [await send(api, SIGN_UP, {"input": ADA}) for _ in range(2)]

    assert first.json()["data"]["signUp"]["__typename"] == "SignUpSuccess"
    assert (again.content, is_replay(again)) == (first.content, True)
    assert (await number_of(connection, User), await number_of(connection, Session)) == (1, 1)
    assert (await refresh(api, again.json()["data"]["signUp"]["session"]["refreshToken"]))[
        "__typename"
    ] == "RefreshSessionSuccess"


REFRESH_IN_A_FRAGMENT = """
mutation ($token: String!) { ...Refresh }
fragment Refresh on Mutation { ... { refreshSession(input: { refreshToken: $token }) { __typename } } }
"""


@pytest.mark.parametrize("document", [REFRESH, REFRESH_IN_A_FRAGMENT])
async def test_a_refresh_ignores_the_key_and_nothing_of_it_is_kept(
    api: Api, market: Market, connection: AsyncConnection, document: str
) -> None:
    token = await logged_in(api, await market.user())

    responses = [await send(api, document, {"token": token}) for _ in range(2)]

    for response in responses:
        assert response.json()["data"]["refreshSession"]["__typename"] == "RefreshSessionSuccess"
        assert not is_replay(response)
    assert await kept(connection) == []


@pytest.mark.parametrize(
    "other", ['logOut(input: { refreshToken: "unknown" })', "placeOrder(input: { items: [] })"], ids=["logOut", "order"]
)
async def test_a_refresh_beside_other_mutations_is_refused_under_a_key(
    api: Api, market: Market, connection: AsyncConnection, other: str
) -> None:
    """The key would have to be ignored and obeyed at once."""
    token = await logged_in(api, await market.user())
    document = REFRESH_IN_A_FRAGMENT.replace("...Refresh }", f"{other} {{ __typename }} ...Refresh }}", 1)

    response = await send(api, document, {"token": token})

    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["Idempotency-Key"]}
    assert "data" not in response.json()
    assert (await refresh(api, token))["__typename"] == "RefreshSessionSuccess"
    assert await kept(connection) == []


async def test_a_query_ignores_the_key(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer = await market.user()
    await order(api, customer, await market.product())

    first = await send(api, TOTAL, user=customer)  # under the key of the order
    await market.product()
    again = await send(api, TOTAL, user=customer)

    assert [response.json()["data"]["products"]["totalCount"] for response in (first, again)] == [1, 2]
    assert not is_replay(again)
    assert len(await kept(connection)) == 1


async def test_a_query_ignores_a_malformed_key_and_variables_of_any_depth(api: Api) -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]

    for key in ("short", "", "x" * 300):
        response = await send(api, TOTAL, {"unused": deep}, key=key)
        assert response.json()["data"] == {"products": {"totalCount": 0}}


async def test_a_key_costs_one_statement_and_so_does_a_replay(api: Api, market: Market, statements: Statements) -> None:
    customer, product = await market.user(), await market.product()
    statements.clear()
    await place(api, customer, {"productId": gid(product), "quantity": 1})
    without = len(statements)

    statements.clear()
    await order(api, customer, product)
    assert len(statements) == without + 1

    statements.clear()
    await order(api, customer, product)
    assert len(statements) == 1
    assert all("idempotency_keys" in statement for statement in statements)
