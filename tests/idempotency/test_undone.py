"""What was undone, or never ran, is not kept: the same key may be used again, and the request is then done."""

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db.models import AuditEntry, IdempotencyKey, Order
from tests.api import Api
from tests.idempotency.requests import is_replay, kept, keyed, order, send
from tests.market import Market, gid
from tests.orders.operations import PLACE, PLACE_IN_TRANSACTION, item, number_of, stock_of
from tests.triggers import triggered

NOT_THERE = "Order_01970000-0000-7000-8000-000000000000"
DOCUMENTS = {
    "that is no GraphQL": "mutation ($items: [OrderItemInput!]!) {",
    "that is not valid": "mutation ($items: [OrderItemInput!]!) { placeOrder(input: { items: $items }) { id } }",
    "whose variable is of another type": PLACE.replace("[OrderItemInput!]!", "[Int!]!"),
    "of which the only field is forbidden": f"""
        mutation {{ deleteOrder(input: {{ id: "{NOT_THERE}" }}) {{ __typename }} }}
    """,
    "with a malformed id": """
        mutation { cancelOrder(input: { id: "nonsense" }) { __typename } }
    """,
    "of which one field is forbidden and the others are failures": f"""
        mutation {{
          before: cancelOrder(input: {{ id: "{NOT_THERE}" }}) {{ __typename }}
          deleteOrder(input: {{ id: "{NOT_THERE}" }}) {{ __typename }}
          after: cancelOrder(input: {{ id: "{NOT_THERE}" }}) {{ __typename }}
        }}
    """,
}


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_document_that_has_no_effect_does_not_use_the_key_up(
    api: Api, market: Market, connection: AsyncConnection, document: str
) -> None:
    customer, product = await market.user(), await market.product(stock=5)
    variables = {"items": [item(product)]} if "$items" in DOCUMENTS[document] else None

    failed = await send(api, DOCUMENTS[document], variables, user=customer)
    assert failed.json()["errors"]
    assert await kept(connection) == []

    corrected = await order(api, customer, product)
    assert corrected.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert not is_replay(corrected)
    assert await number_of(connection, Order) == 1


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"query": ""}', b'{"query": "mutation A { __typename }", "operationName": "B"}']
)
async def test_a_request_without_an_operation_is_refused_as_without_a_key(
    api: Api, connection: AsyncConnection, body: bytes
) -> None:
    json = {"Content-Type": "application/json"}

    with_key, without = [
        await api.client.post("/graphql", content=body, headers=headers) for headers in ({**json, **keyed()}, json)
    ]

    assert with_key.status_code == (200 if b"mutation" in body else 400)
    assert (with_key.status_code, with_key.text) == (without.status_code, without.text)
    assert with_key.json().keys() == {"errors"}
    assert await kept(connection) == []


async def test_a_mutation_by_get_is_refused_and_does_not_use_the_key_up(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    product = await market.product()
    mutation = f'mutation {{ deleteProduct(input: {{ id: "{gid(product)}" }}) {{ __typename }} }}'

    response = await api.client.get(
        "/graphql", params={"query": mutation}, headers={"Accept": "application/json", **keyed()}
    )

    assert response.status_code == 405
    assert await kept(connection) == []


@pytest.mark.parametrize(
    "event",
    [
        "INSERT ON idempotency_keys",
        "INSERT ON orders",
        "INSERT ON orders DEFERRABLE INITIALLY DEFERRED",  # fails at commit
    ],
)
async def test_a_request_that_met_an_unforeseen_failure_succeeds_when_it_is_sent_again(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, event: str
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=5)

    async with triggered(committed_engine, event, "RAISE disk_full"):
        failed = await order(committed_api, customer, product)
    assert failed.json()["data"] == {"placeOrder": None}
    assert failed.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    async with committed_engine.connect() as connection:
        assert [await number_of(connection, model) for model in (Order, IdempotencyKey, AuditEntry)] == [0, 0, 0]

    again = await order(committed_api, customer, product)

    assert again.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert not is_replay(again)
    assert await stock_of(committed_market, product) == 4


async def test_in_a_transaction_an_order_whose_response_cannot_be_kept_is_not_placed(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=5)
    items = {"items": [item(product)]}

    async with triggered(committed_engine, "UPDATE ON idempotency_keys", "RAISE disk_full"):
        failed = await send(committed_api, PLACE_IN_TRANSACTION, items, user=customer)
    assert failed.json()["data"] is None
    assert failed.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    async with committed_engine.connect() as connection:
        assert [await number_of(connection, model) for model in (Order, IdempotencyKey, AuditEntry)] == [0, 0, 0]

    again = await send(committed_api, PLACE_IN_TRANSACTION, items, user=customer)

    assert again.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert not is_replay(again)


async def test_an_order_whose_response_could_not_be_kept_is_shown_when_the_request_is_sent_again(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=5)

    async with triggered(committed_engine, "UPDATE ON idempotency_keys", "RAISE disk_full"):
        for _ in range(2):
            failed = await order(committed_api, customer, product)
            assert failed.json()["data"] is None
            assert failed.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_UNREADABLE"

    completed, again = [await order(committed_api, customer, product) for _ in range(2)]

    assert completed.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert completed.content == again.content
    assert is_replay(completed)
    assert is_replay(again)
    assert await stock_of(committed_market, product) == 4
    async with committed_engine.connect() as connection:
        assert [await number_of(connection, model) for model in (Order, IdempotencyKey, AuditEntry)] == [1, 1, 1]
