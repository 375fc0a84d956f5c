"""A mutation that Postgres ends because of another one is executed again from the start, and done once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import QueuePool

from app.db.models import AuditEntry, IdempotencyKey, Product, RefreshToken, Session
from app.db.statements import Prepared
from app.db.unit_of_work import UnitOfWork
from app.products import service as products
from app.security.tokens import refresh_token_hash
from tests.api import Api
from tests.graphql.shop import Shop
from tests.market import Market, gid
from tests.users.operations import refresh

ATTEMPTS = 5
DEADLOCK, SERIALIZATION_FAILURE, DIVISION_BY_ZERO = "40P01", "40001", "22012"
KEY = {"Idempotency-Key": "12345678"}
CREATE_AND_UPDATE = """
mutation ($store: ID!, $id: ID!) {
  created: createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
    ... on Product { id store { owner { fullName } } }
  }
  updated: updateProduct(input: { id: $id, price: 3 }) { ... on Product { version } }
}
"""


@pytest.fixture
async def shop(committed_api: Api, committed_market: Market, committed_engine: AsyncEngine) -> Shop:
    return await Shop.open(committed_api, committed_market, committed_engine)


RAISE = "DO $$ BEGIN RAISE SQLSTATE '{}'; END $$"


async def end(session: AsyncSession, sqlstate: str) -> None:
    """Let Postgres end the transaction."""
    await session.execute(text(RAISE.format(sqlstate)))


async def create_and_update(shop: Shop, headers: dict[str, str] | None = None) -> httpx2.Response:
    """Add a product to the shop and change the one that it has."""
    variables = {"store": gid(shop.store), "id": gid(shop.product)}
    return await shop.api.send(CREATE_AND_UPDATE, variables, user=shop.owner, headers=headers)


class InTheWay:
    """Something that ends the transactions which update a product, so many times."""

    def __init__(self, times: int, sqlstate: str) -> None:
        self.times = times
        self.sqlstate = sqlstate
        self.attempts = 0

    async def meet(self, session: AsyncSession) -> None:
        self.attempts += 1
        if self.attempts <= self.times:
            await end(session, self.sqlstate)


@pytest.fixture
def in_the_way(monkeypatch: pytest.MonkeyPatch) -> Callable[..., InTheWay]:
    """Put something in the way of the next operations."""

    def put(times: int, sqlstate: str = DEADLOCK) -> InTheWay:
        way, update_product = InTheWay(times, sqlstate), products.update_product

        async def update_and_meet(session: AsyncSession, *arguments: Any) -> Product:
            product = await update_product(session, *arguments)
            await way.meet(session)
            return product

        monkeypatch.setattr(products, "update_product", update_and_meet)
        return way

    return put


@pytest.mark.parametrize("sqlstate", [DEADLOCK, SERIALIZATION_FAILURE])
@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
async def test_an_operation_that_is_ended_a_few_times_is_done_once(
    shop: Shop, in_the_way: Callable[..., InTheWay], sqlstate: str, times: int
) -> None:
    way = in_the_way(times, sqlstate)

    response = await create_and_update(shop)

    assert way.attempts == times + 1
    result = response.json()
    assert "errors" not in result
    assert result["data"]["updated"] == {"version": 2}
    async with shop.engine.connect() as connection:
        (bread,) = await connection.scalars(select(Product.id).where(Product.name == "Bread"))
    assert result["data"]["created"]["id"] == f"Product_{bread}"
    request_id = response.headers["X-Request-ID"]
    assert await shop.audited() == {
        (request_id, "createProduct", bread): 1,
        (request_id, "updateProduct", shop.product.id): 1,
    }


async def test_the_answer_is_read_anew_by_each_attempt(
    shop: Shop, committed_market: Market, in_the_way: Callable[..., InTheWay], monkeypatch: pytest.MonkeyPatch
) -> None:
    way = in_the_way(2)
    meet = way.meet

    async def rename_and_meet(session: AsyncSession) -> None:
        shop.owner.full_name = f"Renamed in attempt {way.attempts + 1}"
        await committed_market.add(shop.owner)
        await meet(session)

    monkeypatch.setattr(way, "meet", rename_and_meet)

    response = await create_and_update(shop)

    assert way.attempts == 3
    created = response.json()["data"]["created"]
    assert created["store"] == {"owner": {"fullName": "Renamed in attempt 2"}}


@pytest.mark.parametrize("sqlstate", [DEADLOCK, SERIALIZATION_FAILURE])
async def test_an_operation_that_is_ended_again_and_again_is_given_up_and_nothing_done(
    shop: Shop, in_the_way: Callable[..., InTheWay], sqlstate: str
) -> None:
    way = in_the_way(1000, sqlstate)

    result = (await create_and_update(shop)).json()

    assert way.attempts == ATTEMPTS
    assert result["data"] is None
    assert [error["extensions"] for error in result["errors"]] == [{"code": "TRANSACTION_CONFLICT"}]
    assert (await shop.stored(Product), await shop.stored(AuditEntry)) == (1, 0)
    assert isinstance(shop.engine.pool, QueuePool)
    assert shop.engine.pool.checkedout() == 0


async def test_any_other_failure_is_not_tried_again(shop: Shop, in_the_way: Callable[..., InTheWay]) -> None:
    way = in_the_way(1, DIVISION_BY_ZERO)

    result = (await create_and_update(shop)).json()

    assert [error["extensions"]["code"] for error in result["errors"]] == ["INTERNAL_SERVER_ERROR"]
    assert way.attempts == 1


async def test_an_operation_whose_commit_is_refused_is_executed_again(
    shop: Shop, in_the_way: Callable[..., InTheWay], monkeypatch: pytest.MonkeyPatch
) -> None:
    way, finish = in_the_way(0), UnitOfWork.finish

    async def refuse_once(work: UnitOfWork, *, commit: bool) -> None:
        if commit:
            monkeypatch.setattr(UnitOfWork, "finish", finish)
            await work.fetch(Prepared(text(RAISE.format(SERIALIZATION_FAILURE))))
        await finish(work, commit=commit)

    monkeypatch.setattr(UnitOfWork, "finish", refuse_once)
    result = (await create_and_update(shop)).json()

    assert way.attempts == 2
    assert result["data"]["updated"] == {"version": 2}
    assert list((await shop.audited()).values()) == [1, 1]


async def test_each_attempt_begins_as_the_viewer_and_with_refresh_tokens_that_are_not_used_up(
    shop: Shop, committed_market: Market, in_the_way: Callable[..., InTheWay]
) -> None:
    login = await committed_market.add(Session(user_id=(await committed_market.user()).id))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await committed_market.add(
        RefreshToken(session_id=login.id, token_hash=refresh_token_hash("token"), expires_at=tomorrow)
    )
    way = in_the_way(1)
    mutation = """
    mutation ($id: ID!) {
      refreshSession(refreshToken: "token") { ... on Session { refreshToken user { email } } }
      updateProduct(input: { id: $id, price: 3 }) { __typename }
    }
    """

    # the payload of the first field is answered as the user whose session it is
    data = await shop.api.data(mutation, {"id": gid(shop.product)}, user=shop.owner)

    assert way.attempts == 2
    assert data["updateProduct"] == {"__typename": "Product"}
    assert data["refreshSession"]["user"]["email"] is not None
    assert (await refresh(shop.api, data["refreshSession"]["refreshToken"]))["__typename"] == "Session"


async def test_an_idempotency_key_is_claimed_by_the_attempt_that_stands(
    shop: Shop, in_the_way: Callable[..., InTheWay]
) -> None:
    way = in_the_way(1)

    first, again = await create_and_update(shop, KEY), await create_and_update(shop, KEY)

    assert first.json()["data"]["updated"] == {"version": 2}
    assert again.content == first.content
    assert way.attempts == 2
    assert (await shop.stored(IdempotencyKey), await shop.stored(Product)) == (1, 2)


async def test_an_idempotency_key_of_an_operation_that_was_given_up_may_be_used_again(
    shop: Shop, in_the_way: Callable[..., InTheWay]
) -> None:
    in_the_way(ATTEMPTS)

    given_up, again = await create_and_update(shop, KEY), await create_and_update(shop, KEY)

    assert given_up.json()["data"] is None
    assert again.json()["data"]["updated"] == {"version": 2}
    assert await shop.stored(Product) == 2
