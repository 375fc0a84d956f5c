"""What a request is using is left for the next time, and nobody waits."""

from datetime import timedelta

from app.pruning.partitions import Driver, first_key
from tests.events import driver_to
from tests.pruning import DAY, ago, pruned

OLD, OTHER = first_key(ago(40 * DAY)), first_key(ago(41 * DAY))
USER = "INSERT INTO users (id, email, full_name, password_hash) VALUES ($1, 'ada@example.com', 'Ada', '')"
SESSION = "INSERT INTO sessions (id, user_id) VALUES ($1, $2)"
TOKEN = "INSERT INTO refresh_tokens (id, session_id, token_hash, expires_at) VALUES ($1, $2, '', $3)"
KEY = "INSERT INTO idempotency_keys (id, scope, key, fingerprint) VALUES ($1, '', $2, '')"


async def numbers(driver: Driver) -> tuple[int, int]:
    """Prune, and return how many tokens and keys were deleted."""
    results = await pruned(driver)
    return results["refresh tokens"].rows, results["idempotency keys"].rows


async def test_rows_that_somebody_has_locked_are_left_for_later(driver: Driver, database: str) -> None:
    await driver.execute(USER, OLD)
    await driver.execute(SESSION, OLD, OLD)
    await driver.execute(TOKEN, OLD, OLD, ago(timedelta(days=10)))
    for key in (OLD, OTHER):
        await driver.execute(KEY, key, key.hex)
    async with driver_to(database) as request:
        transaction = request.transaction()
        await transaction.start()
        await request.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", OLD)
        await request.execute("SELECT FROM idempotency_keys WHERE id = $1 FOR UPDATE", OTHER)

        assert await numbers(driver) == (0, 1)
        await transaction.rollback()

    assert await numbers(driver) == (1, 1)
    assert await driver.fetchval("SELECT count(*) FROM sessions") == 0
