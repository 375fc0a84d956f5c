"""A key is kept for 24 hours, and cleared away by the requests that come later."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import driver_of
from app.db.models import IdempotencyKey, Order
from app.db.statements import Prepared
from app.db.unit_of_work import UnitOfWork
from app.idempotency.repository import PRUNED_AT_ONCE, prunes
from tests.api import Api
from tests.idempotency.requests import KEY, is_replay, kept, order, send
from tests.market import Market
from tests.orders.operations import item, number_of, place

# Requests with these keys delete expired ones.
PRUNING = [key for key in (f"request-{number}" for number in range(100)) if prunes(key)]
A_DAY = timedelta(hours=24)
A_MINUTE = timedelta(minutes=1)


async def let_pass(connection: AsyncConnection, time: timedelta) -> None:
    """Make every key as old as it will be after this time."""
    await connection.execute(update(IdempotencyKey).values(created_at=datetime.now(UTC) - time))


async def keep_others(connection: AsyncConnection, number: int, age: timedelta, prefix: str = "other") -> None:
    """Keep keys of other clients, the first of them the oldest."""
    created_at = datetime.now(UTC) - age
    rows = [
        {
            "id": uuid4(),
            "scope": str(uuid4()),
            "key": f"{prefix}-{index:05}",
            "fingerprint": b"",
            "response": b"",
            "created_at": created_at + timedelta(milliseconds=index),
        }
        for index in range(number)
    ]
    await connection.execute(insert(IdempotencyKey), rows)


async def test_a_request_is_answered_again_until_a_day_has_passed(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()
    first = await order(api, customer, product)

    await let_pass(connection, A_DAY - A_MINUTE)
    again = await order(api, customer, product)

    assert (again.content, is_replay(again)) == (first.content, True)
    assert await number_of(connection, Order) == 1


async def test_a_request_is_done_anew_after_a_day(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product()
    first = await order(api, customer, product)

    await let_pass(connection, A_DAY + A_MINUTE)
    anew = await order(api, customer, product)
    again = await order(api, customer, product)

    assert not is_replay(anew)
    assert anew.json()["data"]["placeOrder"]["order"]["id"] != first.json()["data"]["placeOrder"]["order"]["id"]
    assert (again.content, is_replay(again)) == (anew.content, True)
    assert await number_of(connection, Order) == 2
    assert await kept(connection) == [KEY]


async def test_a_replay_does_not_make_the_day_longer(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product()
    await order(api, customer, product)
    await let_pass(connection, A_DAY - A_MINUTE)
    made = select(IdempotencyKey.created_at)
    before = await connection.scalar(made)

    await order(api, customer, product)

    assert await connection.scalar(made) == before


async def test_another_request_may_have_the_key_after_a_day(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()
    await order(api, customer, product, 1)

    await let_pass(connection, A_DAY + A_MINUTE)
    other = await order(api, customer, product, 2)

    assert other.json()["data"]["placeOrder"]["order"]["items"][0]["quantity"] == 2


async def test_a_request_finds_its_own_old_key_behind_any_number_of_older_ones(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()
    first = await order(api, customer, product)
    await let_pass(connection, A_DAY + A_MINUTE)
    await keep_others(connection, 50, 2 * A_DAY)

    anew = await order(api, customer, product)

    assert anew.json()["data"]["placeOrder"]["order"]["id"] != first.json()["data"]["placeOrder"]["order"]["id"]


async def test_requests_clear_away_the_oldest_keys_and_none_that_is_not_a_day_old(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    customer, product = await market.user(), await market.product()
    await keep_others(connection, PRUNED_AT_ONCE + 5, A_DAY + A_MINUTE, "old")
    await keep_others(connection, 3, A_DAY - A_MINUTE, "young")

    await order(api, customer, product, key=PRUNING[0])
    old = [key for key in await kept(connection) if key.startswith("old")]
    assert old == [f"old-{index:05}" for index in range(PRUNED_AT_ONCE, PRUNED_AT_ONCE + 5)]

    await order(api, customer, product, key=PRUNING[1])
    assert await kept(connection) == [*sorted(PRUNING[:2]), "young-00000", "young-00001", "young-00002"]


def test_more_keys_are_cleared_away_than_added() -> None:
    pruning = [key for key in (f"basket-{number:05}" for number in range(10_000)) if prunes(key)]
    assert len(pruning) * PRUNED_AT_ONCE > 9 * 10_000


async def test_what_has_no_key_clears_nothing_away(api: Api, market: Market, connection: AsyncConnection) -> None:
    await keep_others(connection, 5, 2 * A_DAY)

    await place(api, await market.user(), item(await market.product()))
    await send(api, "{ viewer { id } }")

    assert len(await kept(connection)) == 5


async def test_however_many_keys_are_old_few_are_read(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product()
    await keep_others(connection, 3_000, 2 * A_DAY)
    await connection.execute(text("ANALYZE idempotency_keys"))
    deletions: list[tuple[str, Any]] = []
    fetch = UnitOfWork.fetch

    async def recorded(work: UnitOfWork, statement: Prepared, **values: Any) -> Any:
        if "DELETE" in statement.sql:
            deletions.append((statement.sql, statement.arguments(values)))
        return await fetch(work, statement, **values)

    with patch.object(UnitOfWork, "fetch", recorded):
        await order(api, customer, product, key=PRUNING[0])

    ((deletion, arguments),) = deletions
    driver = driver_of(await connection.get_raw_connection())
    plan = "\n".join(row[0] for row in await driver.fetch(f"EXPLAIN {deletion}", *arguments))
    assert "Index Scan" in plan
    assert "Seq Scan" not in plan
