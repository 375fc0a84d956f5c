"""What stands in the database when the response is there, and what is sent to Postgres around it."""

from asyncio import sleep
from collections.abc import Iterator
from typing import Any

import pytest
from asyncpg.connection import LoggedQuery
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Order, Product
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import number_of
from tests.statements import is_of_driver
from tests.triggers import triggered

CREATE = """
mutation ($store: ID!) {
  createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
    __typename
    ... on CreateProductSuccess { product { id } }
  }
}
"""
FAIL = """
mutation {
  deleteOrder(input: { id: "Order_01970000-0000-7000-8000-000000000000" }) { __typename }
}
"""
CREATE_AND_FAIL = """
mutation ($store: ID!) {
  createProduct(input: { storeId: $store, name: "Bread", price: 2 }) { __typename }
  deleteOrder(input: { id: "Order_01970000-0000-7000-8000-000000000000" }) { __typename }
}
"""
MARKS = {"BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT"}
PAGE = "{ products { nodes { name store { name } } totalCount } }"


@pytest.fixture
def sent(committed_engine: AsyncEngine) -> Iterator[list[str]]:
    """The first word of all that goes to Postgres, also of what begins and ends a transaction."""
    words: list[str] = []

    def record(query: LoggedQuery) -> None:
        if not is_of_driver(query.query):
            words.append(query.query.split()[0].rstrip(";"))

    def record_of_driver(connection: Any, *_: Any) -> None:
        connection.driver_connection.add_query_logger(record)

    def record_statement(_: Any, __: Any, statement: str, *___: Any) -> None:
        words.append(statement.split()[0])

    event.listen(committed_engine.sync_engine, "checkout", record_of_driver)
    event.listen(committed_engine.sync_engine, "after_cursor_execute", record_statement)
    yield words
    event.remove(committed_engine.sync_engine, "checkout", record_of_driver)
    event.remove(committed_engine.sync_engine, "after_cursor_execute", record_statement)


async def stored(committed_engine: AsyncEngine, model: type[Product] | type[Order] = Product) -> int:
    """Return how many rows another connection sees."""
    async with committed_engine.connect() as connection:
        return await number_of(connection, model)


async def test_a_mutation_is_committed_when_its_response_is_there(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)

    await committed_api.data(CREATE, {"store": gid(store)}, user=owner)

    assert await stored(committed_engine) == 1


async def test_the_fields_beside_one_that_failed_are_committed(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)

    error = await committed_api.error(CREATE_AND_FAIL, {"store": gid(store)}, user=owner)

    assert (error["code"], error["path"]) == ("FORBIDDEN", ["deleteOrder"])
    assert await stored(committed_engine) == 1


CREATE_TWO = """
mutation ($store: ID!) {
  createProduct(input: { storeId: $store, name: "Bread", price: 2 }) { __typename }
  lost: createProduct(input: { storeId: $store, name: "Wine", price: 9 }) { __typename }
}
"""


async def lose_the_connection(api: Api, market: Market, engine: AsyncEngine) -> None:
    """Send a mutation of which the second field ends the connection."""
    owner = await market.user()
    store = await market.store(owner)
    terminate = "IF NEW.name = 'Wine' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF"

    async with triggered(engine, "INSERT ON products", terminate):
        result = (await api.send(CREATE_TWO, {"store": gid(store)}, user=owner)).json()

    assert result["data"] is None
    assert [error["extensions"]["code"] for error in result["errors"]] == ["DATABASE_UNAVAILABLE"]


async def test_nothing_of_a_mutation_is_committed_that_failed_as_a_whole(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    await lose_the_connection(committed_api, committed_market, committed_engine)

    assert await stored(committed_engine) == 0


async def test_a_connection_that_a_query_used_is_transactional_again(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    await committed_api.data(PAGE)
    assert committed_engine.pool.status().startswith("Pool size: 20  Connections in pool: 1 ")

    await lose_the_connection(committed_api, committed_market, committed_engine)

    assert await stored(committed_engine) == 0


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "12345678"}], ids=["without a key", "under a key"])
async def test_no_order_is_confirmed_that_postgres_has_given_up(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, headers: dict[str, str]
) -> None:
    customer, product = await committed_market.user(), await committed_market.product(stock=5)
    find_no_table = "SET LOCAL search_path TO pg_catalog"
    mutation = """
    mutation ($id: ID!) {
      placeOrder(input: { items: [{ productId: $id, quantity: 1 }] }) {
        ... on PlaceOrderSuccess { order { id customer { id } } }
      }
      __typename
    }
    """

    async with triggered(committed_engine, "INSERT ON orders", find_no_table):
        response = await committed_api.send(mutation, {"id": gid(product)}, user=customer, headers=headers)
    result = response.json()

    # `customer` may be null, but the statement that failed has ended the transaction
    assert result["data"]["placeOrder"] is None
    (error,) = result["errors"]
    assert error["path"] == ["placeOrder", "order", "customer"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert await stored(committed_engine, Order) == 0


async def test_a_commit_that_breaks_has_an_unknown_outcome_and_says_so(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)

    at_commit = "INSERT ON products DEFERRABLE INITIALLY DEFERRED"
    async with triggered(committed_engine, at_commit, "PERFORM pg_terminate_backend(pg_backend_pid())"):
        response = await committed_api.send(CREATE, {"store": gid(store)}, user=owner)

    assert response.status_code == 200
    result = response.json()
    assert result["data"] is None
    assert [error["extensions"] for error in result["errors"]] == [{"code": "OUTCOME_UNKNOWN"}]
    assert "terminat" not in response.text
    assert await stored(committed_engine) == 0


async def test_a_query_begins_no_transaction(committed_api: Api, committed_market: Market, sent: list[str]) -> None:
    await committed_market.product()
    await sleep(0)  # the driver tells its loggers a moment later
    sent.clear()

    data = await committed_api.data(PAGE)

    assert data["products"]["totalCount"] == 1
    await sleep(0)
    assert sent == ["SELECT"] * 3


async def test_a_mutation_of_one_field_needs_no_savepoint(
    committed_api: Api, committed_market: Market, sent: list[str]
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)
    await sleep(0)
    sent.clear()

    for _ in ("created", "a conflict"):
        await committed_api.data(CREATE, {"store": gid(store)}, user=owner)
    await committed_api.error(FAIL, user=owner)

    await sleep(0)
    assert [word for word in sent if word in MARKS] == ["BEGIN", "COMMIT", *["BEGIN", "ROLLBACK"] * 2]


async def test_a_mutation_is_one_transaction_with_a_savepoint_for_each_field(
    committed_api: Api, committed_market: Market, sent: list[str]
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)
    mutation = """
    mutation ($store: ID!) {
      first: createProduct(input: { storeId: $store, name: "Bread", price: 2 }) { __typename }
      second: createProduct(input: { storeId: $store, name: "Bread", price: 2 }) { __typename }
    }
    """
    await sleep(0)  # the driver tells its loggers a moment later
    sent.clear()

    await committed_api.data(mutation, {"store": gid(store)}, user=owner)

    await sleep(0)
    marks = [word for word in sent if word in MARKS]
    assert marks == ["BEGIN", "SAVEPOINT", "RELEASE", "SAVEPOINT", "ROLLBACK", "COMMIT"]
