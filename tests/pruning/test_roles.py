"""Partitions are changed by who owns the table; another role prunes what it may, and says whose task the rest is."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from app.pruning.partitions import Driver, layout_of, moment_of
from tests.pruning import DAY, EVENT, WEEK, insert, pruned

ROLE = f"orders_test_visitor_{os.getpid()}"
OWNERS = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname ~ '^events' AND relkind IN ('p', 'r')"


@pytest.fixture
async def role(driver: Driver) -> AsyncIterator[str]:
    """A role that reads and writes rows, and can do nothing else."""
    await driver.execute(
        f"CREATE ROLE {ROLE}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}"
    )
    yield ROLE
    await driver.execute(f"RESET ROLE; DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


async def test_a_role_that_may_not_drop_leaves_that_to_the_owner_for_a_while(driver: Driver, role: str) -> None:
    owner = await driver.fetchval("SELECT current_user")
    (past,) = before = (await layout_of(driver, "events")).spans
    end = moment_of(past.end)
    for age in (0, 1):
        await insert(driver, EVENT, end - DAY - age * WEEK)
    await driver.execute(f"SET ROLE {role}")

    results = await pruned(driver, now=end + 14 * DAY)
    assert (results["events"].rows, results["events"].dropped, results["events"].added) == (1, 0, 0)
    assert (results["events"].owner, results["refresh tokens"].owner) == (owner, "")
    results = await pruned(driver, now=end + 21 * DAY)
    assert results["events"].rows == 1
    assert (await layout_of(driver, "events")).spans == before

    await driver.execute("RESET ROLE")
    results = await pruned(driver, now=end + 21 * DAY)
    assert (results["events"].dropped, results["events"].owner) == (1, "")


async def test_partitions_belong_to_the_owner_of_the_table_whoever_adds_them(driver: Driver, role: str) -> None:
    """So that the owner may drop them."""
    await driver.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
    for table in ("events", "events_past", "events_default"):
        await driver.execute(f"ALTER TABLE {table} OWNER TO {role}")

    assert (await pruned(driver, now=datetime.now(UTC) + 60 * DAY))["events"].added > 0

    assert [row[0] for row in await driver.fetch(OWNERS)] == [role]
    await driver.execute(f"SET ROLE {role}")
    assert (await pruned(driver, now=datetime.now(UTC) + 90 * DAY))["events"].dropped > 0
