"""A mutation that Postgres ends because of another one is executed again from the start, and done once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from app.db.models import AuditEntry, IdempotencyKey, Product, RefreshToken, Session
from app.security.tokens import refresh_token_hash
from tests.api import Api
from tests.databases import committed
from tests.graphql.shop import Shop
from tests.market import Market, gid
from tests.triggers import triggered
from tests.users.operations import refresh

ATTEMPTS = 5
DEADLOCK, SERIALIZATION_FAILURE, DIVISION_BY_ZERO = "40P01", "40001", "22012"
KEY = {"Idempotency-Key": "12345678"}
CREATE_AND_UPDATE = """
mutation ($store: ID!, $id: ID!) {
  created: createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
    ... on CreateProductSuccess { product { id store { owner { fullName } } } }
  }
  updated: updateProduct(input: { id: $id, price: 3 }) { ... on UpdateProductSuccess { product { version } } }
}
"""


@pytest.fixture
async def shop(committed_api: Api, committed_market: Market, committed_engine: AsyncEngine) -> Shop:
    return await Shop.open(committed_api, committed_market, committed_engine)


async def create_and_update(shop: Shop, headers: dict[str, str] | None = None) -> httpx2.Response:
    """Add a product to the shop and change the one that it has."""
    variables = {"store": gid(shop.store), "id": gid(shop.product)}
    return await shop.api.send(CREATE_AND_UPDATE, variables, user=shop.owner, headers=headers)


class Attempts:
    """The attempts that have got as far as the trigger."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def number(self) -> int:
        ((number,),) = await committed(self._engine, "SELECT last_value FROM attempts WHERE is_called")
        return int(number)


def end(times: int, sqlstate: str = DEADLOCK) -> str:
    """Return what ends a transaction, so many times. What a sequence counts is not rolled back."""
    return f"IF nextval('attempts') <= {times} THEN RAISE SQLSTATE '{sqlstate}'; END IF"


RENAME_AND_END = """
IF TG_OP = 'INSERT' THEN
  UPDATE users SET full_name = 'Renamed in attempt ' || nextval('attempts');
ELSIF currval('attempts') <= 2 THEN
  RAISE SQLSTATE '40P01';
END IF
"""


@asynccontextmanager
async def attempted(engine: AsyncEngine, do: str, event: str = "UPDATE ON products") -> AsyncIterator[Attempts]:
    """Have Postgres do this in each attempt at an operation."""
    await committed(engine, "CREATE SEQUENCE attempts")
    try:
        async with triggered(engine, event, do):
            yield Attempts(engine)
    finally:
        await committed(engine, "DROP SEQUENCE attempts")


@pytest.mark.parametrize("sqlstate", [DEADLOCK, SERIALIZATION_FAILURE])
@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
async def test_an_operation_that_is_ended_a_few_times_is_done_once(shop: Shop, sqlstate: str, times: int) -> None:
    async with attempted(shop.engine, end(times, sqlstate)) as attempts:
        response = await create_and_update(shop)
        assert await attempts.number() == times + 1

    result = response.json()
    assert "errors" not in result
    assert result["data"]["updated"] == {"product": {"version": 2}}
    async with shop.engine.connect() as connection:
        (bread,) = await connection.scalars(select(Product.id).where(Product.name == "Bread"))
    assert result["data"]["created"]["product"]["id"] == f"Product_{bread}"
    request_id = response.headers["X-Request-ID"]
    assert await shop.audited() == {
        (request_id, "createProduct", bread): 1,
        (request_id, "updateProduct", shop.product.id): 1,
    }


async def test_the_answer_is_read_anew_by_each_attempt(shop: Shop) -> None:
    async with attempted(shop.engine, RENAME_AND_END, "INSERT OR UPDATE ON products"):
        response = await create_and_update(shop)

    created = response.json()["data"]["created"]
    assert created["product"]["store"] == {"owner": {"fullName": "Renamed in attempt 3"}}


@pytest.mark.parametrize("sqlstate", [DEADLOCK, SERIALIZATION_FAILURE])
async def test_an_operation_that_is_ended_again_and_again_is_given_up_and_nothing_done(
    shop: Shop, sqlstate: str
) -> None:
    async with attempted(shop.engine, end(1000, sqlstate)) as attempts:
        result = (await create_and_update(shop)).json()
        assert await attempts.number() == ATTEMPTS

    assert result["data"] is None
    assert [error["extensions"] for error in result["errors"]] == [{"code": "TRANSACTION_CONFLICT"}]
    assert (await shop.stored(Product), await shop.stored(AuditEntry)) == (1, 0)
    assert isinstance(shop.engine.pool, QueuePool)
    assert shop.engine.pool.checkedout() == 0


async def test_any_other_failure_is_not_tried_again(shop: Shop) -> None:
    async with attempted(shop.engine, end(1, DIVISION_BY_ZERO)) as attempts:
        result = (await create_and_update(shop)).json()
        assert await attempts.number() == 1

    assert [error["extensions"]["code"] for error in result["errors"]] == ["INTERNAL_SERVER_ERROR"]
    assert result["data"]["updated"] is None
    assert await shop.stored(Product) == 2  # the field beside it stands


async def test_an_operation_whose_commit_is_refused_is_executed_again(shop: Shop) -> None:
    at_commit = "UPDATE ON products DEFERRABLE INITIALLY DEFERRED"
    async with attempted(shop.engine, end(1, SERIALIZATION_FAILURE), at_commit) as attempts:
        result = (await create_and_update(shop)).json()
        assert await attempts.number() == 2

    assert result["data"]["updated"] == {"product": {"version": 2}}
    assert list((await shop.audited()).values()) == [1, 1]


async def test_each_attempt_begins_as_the_viewer_and_with_refresh_tokens_that_are_not_used_up(
    shop: Shop, committed_market: Market
) -> None:
    login = await committed_market.add(Session(user_id=(await committed_market.user()).id))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await committed_market.add(
        RefreshToken(session_id=login.id, token_hash=refresh_token_hash("token"), expires_at=tomorrow)
    )
    mutation = """
    mutation ($id: ID!) {
      refreshSession(input: { refreshToken: "token" }) {
        ... on RefreshSessionSuccess { session { refreshToken user { email } } }
      }
      updateProduct(input: { id: $id, price: 3 }) { __typename }
    }
    """

    async with attempted(shop.engine, end(1)) as attempts:
        # the payload of the first field is answered as the user whose session it is
        data = await shop.api.data(mutation, {"id": gid(shop.product)}, user=shop.owner)
        assert await attempts.number() == 2

    assert data["updateProduct"] == {"__typename": "UpdateProductSuccess"}
    session = data["refreshSession"]["session"]
    assert session["user"]["email"] is not None
    assert (await refresh(shop.api, session["refreshToken"]))["__typename"] == "RefreshSessionSuccess"


async def test_an_idempotency_key_is_claimed_by_the_attempt_that_stands(shop: Shop) -> None:
    async with attempted(shop.engine, end(1)) as attempts:
        first, again = await create_and_update(shop, KEY), await create_and_update(shop, KEY)
        assert await attempts.number() == 2

    assert first.json()["data"]["updated"] == {"product": {"version": 2}}
    assert again.content == first.content
    assert (await shop.stored(IdempotencyKey), await shop.stored(Product)) == (1, 2)


async def test_an_idempotency_key_of_an_operation_that_was_given_up_may_be_used_again(shop: Shop) -> None:
    async with attempted(shop.engine, end(ATTEMPTS)):
        given_up, again = await create_and_update(shop, KEY), await create_and_update(shop, KEY)

    assert given_up.json()["data"] is None
    assert again.json()["data"]["updated"] == {"product": {"version": 2}}
    assert await shop.stored(Product) == 2
