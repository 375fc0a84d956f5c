"""What is old is deleted, with what belongs to it, and nothing else is."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import driver_of
from app.db.models import AuditEntry, Base, IdempotencyKey, RefreshToken, Session
from app.pruning import pruner
from app.pruning.catalog import KINDS, Kind
from app.pruning.partitions import Driver, first_key
from app.settings import Settings
from tests.market import Market
from tests.plans import plan_of, scanned_whole
from tests.pruning import DAY, ENTRY, ago, insert, pruned

HOUR = timedelta(hours=1)


@pytest.fixture
async def driver(connection: AsyncConnection) -> Driver:
    """The connection of the test, in a transaction that is rolled back."""
    return driver_of(await connection.get_raw_connection())


async def keys(connection: AsyncConnection, model: type[Base]) -> set[UUID]:
    return {*await connection.scalars(select(model.id))}


async def token(market: Market, session: Session, age: timedelta) -> RefreshToken:
    """Add a token of this age, which is good for 30 days."""
    key = first_key(ago(age))
    expires_at = ago(age - 30 * DAY)
    return await market.add(
        RefreshToken(id=key, session_id=session.id, token_hash=uuid4().bytes, expires_at=expires_at)
    )


async def test_refresh_tokens_are_deleted_once_they_have_expired_and_so_are_sessions_without_others(
    market: Market, connection: AsyncConnection, driver: Driver
) -> None:
    user = await market.user()
    live, over = [await market.add(Session(user_id=user.id)) for _ in range(2)]
    await token(market, live, 31 * DAY)
    kept = [await token(market, live, 30 * DAY - HOUR), await token(market, live, 30 * DAY + HOUR / 2)]
    await token(market, over, 31 * DAY)
    await token(market, over, 32 * DAY)
    before = await keys(connection, Session)

    results = await pruned(driver)

    assert results["refresh tokens"].rows == 3
    assert await keys(connection, RefreshToken) >= {each.id for each in kept}
    assert before - await keys(connection, Session) == {over.id}
    assert (await pruned(driver))["refresh tokens"].rows == 0


async def test_a_token_that_is_good_for_longer_than_new_ones_stays(
    market: Market, connection: AsyncConnection, driver: Driver
) -> None:
    session = await market.add(Session(user_id=(await market.user()).id))
    kept = await token(market, session, 20 * DAY)

    await pruned(driver, Settings(refresh_token_days=7))

    assert kept.id in await keys(connection, RefreshToken)


async def test_idempotency_keys_are_deleted_after_a_day(
    market: Market, connection: AsyncConnection, driver: Driver
) -> None:
    for age in (DAY - HOUR, DAY + HOUR, 9 * DAY):
        key = first_key(ago(age))
        await market.add(IdempotencyKey(id=key, scope="", key=str(key), fingerprint=b""))

    assert (await pruned(driver))["idempotency keys"].rows == 2
    (kept,) = await keys(connection, IdempotencyKey)
    assert kept > first_key(ago(DAY))


async def test_many_rows_are_deleted_in_small_steps(
    market: Market, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age in range(5):
        key = first_key(ago((2 + age) * DAY))
        await market.add(IdempotencyKey(id=key, scope="", key=str(key), fingerprint=b""))
    statements: list[str] = []
    driver.add_query_logger(lambda query: statements.append(query.query))
    monkeypatch.setattr(pruner, "ROWS_AT_ONCE", 2)

    assert (await pruned(driver))["idempotency keys"].rows == 5
    assert len([text for text in statements if "DELETE FROM idempotency_keys" in text]) == 3


async def test_audit_entries_are_kept_for_ever_unless_a_setting_says_otherwise(
    connection: AsyncConnection, driver: Driver
) -> None:
    await insert(driver, ENTRY, ago(400 * DAY))
    await insert(driver, ENTRY, ago(300 * DAY))

    assert (await pruned(driver))["audit entries"].rows == 0
    assert (await pruned(driver, Settings(audit_retention_days=365)))["audit entries"].rows == 1
    assert len(await keys(connection, AuditEntry)) == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_old_rows_are_found_by_an_index(driver: Driver, kind: Kind) -> None:
    await driver.execute("SET LOCAL enable_seqscan = off")  # for small tables only
    for statement in filter(None, (kind.statement, kind.before)):
        explained = await driver.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", first_key(ago(DAY)), 10)
        assert not scanned_whole(plan_of(explained))
