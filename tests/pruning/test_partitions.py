"""Partitions are there before they are needed, and go once nobody may ask for them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest

from app.db.migration_locks import Patience
from app.pruning.catalog import LOGS
from app.pruning.partitions import (
    AHEAD,
    Driver,
    Layout,
    add_missing,
    begin_of,
    drop_before,
    first_key,
    layout_of,
    moment_of,
)
from app.settings import Settings
from tests.events import driver_to
from tests.pruning import DAY, ENTRY, EVENT, WEEK, insert, pruned

NOW = datetime.now(UTC)
IN_PARTITIONS = "SELECT tableoid::regclass::text FROM {} ORDER BY id"


def ends(layout: Layout) -> list[datetime]:
    return [moment_of(span.end) for span in layout.spans]


async def places(driver: Driver, table: str) -> list[str]:
    """Return in which partition each row is, from the oldest key on."""
    return [row[0] for row in await driver.fetch(IN_PARTITIONS.format(table))]


@pytest.mark.parametrize("table", LOGS)
async def test_partitions_follow_each_other_well_ahead(driver: Driver, table: str) -> None:
    later = NOW + 100 * DAY
    for days in range(0, 101, 20):
        await add_missing(driver, table, LOGS[table], NOW + days * DAY)

    layout = await layout_of(driver, table)
    assert layout.default == f"{table}_default"
    assert AHEAD <= layout.ahead(later) < AHEAD + LOGS[table]
    for span, following in zip(layout.spans, layout.spans[1:], strict=False):
        assert span.end == following.start
        assert moment_of(following.end) - moment_of(following.start) == LOGS[table]
        assert moment_of(following.start).weekday() == 0
    assert await add_missing(driver, table, LOGS[table], later) == 0


@pytest.mark.parametrize(("table", "statement"), [("events", EVENT), ("audit_entries", ENTRY)])
async def test_each_row_is_in_the_partition_of_its_time(driver: Driver, table: str, statement: str) -> None:
    await add_missing(driver, table, LOGS[table], NOW + 60 * DAY)
    spans = (await layout_of(driver, table)).spans
    for span in (*spans, spans[-1]._replace(start=spans[-1].end)):
        await driver.execute(statement, span.start)

    assert await places(driver, table) == [*(span.name for span in spans), f"{table}_default"]


async def test_only_what_is_wholly_old_is_dropped(driver: Driver) -> None:
    await pruned(driver, now=NOW + 60 * DAY)
    first, *others = (await layout_of(driver, "events")).spans
    await driver.execute(EVENT, first.end)

    assert await drop_before(driver, "events", first_key(moment_of(first.end) - timedelta(seconds=1))) == 0
    assert await drop_before(driver, "events", first.end) == 1
    assert (await layout_of(driver, "events")).spans == others
    assert await places(driver, "events") == [others[0].name]


async def test_the_last_one_stays(driver: Driver) -> None:
    before = await layout_of(driver, "events")

    assert await drop_before(driver, "events", first_key(NOW + 1000 * DAY)) == 0
    assert await layout_of(driver, "events") == before


async def test_pruning_adds_and_drops_what_is_due(driver: Driver) -> None:
    await insert(driver, EVENT, NOW)
    await insert(driver, ENTRY, NOW)
    (past,) = (await layout_of(driver, "events")).spans
    later = moment_of(past.end) + 14 * DAY

    results = await pruned(driver, Settings(audit_retention_days=1), now=later - timedelta(seconds=1))
    assert (results["events"].dropped, results["events"].added > 0) == (0, True)
    results = await pruned(driver, Settings(audit_retention_days=1), now=later)
    assert (results["events"].dropped, results["audit entries"].dropped) == (1, 0)
    results = await pruned(driver, now=later + 1000 * DAY)
    assert results["audit entries"].dropped == 0, "they are kept for ever"
    results = await pruned(driver, Settings(audit_retention_days=1), now=later + 1000 * DAY)
    assert results["audit entries"].dropped > 0
    assert (await places(driver, "events"), await places(driver, "audit_entries")) == ([], [])


async def test_after_a_gap_partitions_begin_with_the_next_period_and_the_rows_of_the_gap_stay(driver: Driver) -> None:
    """Whose rows are in the default partition, where the next one finds no partition either."""
    (past,) = (await layout_of(driver, "events")).spans
    late = moment_of(past.end) + 10 * DAY
    await insert(driver, EVENT, late)
    assert (await layout_of(driver, "events")).ahead(late) == timedelta(0)

    await pruned(driver, now=late)

    _, following, *_ = (await layout_of(driver, "events")).spans
    assert moment_of(following.start) == begin_of(late, WEEK) + WEEK
    assert await places(driver, "events") == ["events_default"]
    assert (await layout_of(driver, "events")).ahead(late) >= AHEAD
    results = await pruned(driver, now=late + 22 * DAY)
    assert (results["events"].rows, await places(driver, "events")) == (1, [])


async def test_rows_that_are_ahead_of_their_time_stay_where_they_are(driver: Driver) -> None:
    (past,) = (await layout_of(driver, "events")).spans
    end = moment_of(past.end)
    await insert(driver, EVENT, end + 10 * DAY)

    await add_missing(driver, "events", WEEK, end - DAY)

    spans = (await layout_of(driver, "events")).spans
    assert [moment_of(span.start) - end for span in spans[1:]] == [0 * DAY, 14 * DAY, 21 * DAY]
    assert await places(driver, "events") == ["events_default"]
    await insert(driver, EVENT, end + 11 * DAY)


async def test_what_a_killed_process_has_left_is_removed(driver: Driver) -> None:
    """A check that would refuse rows once their time has come."""
    (past,) = (await layout_of(driver, "events")).spans
    await driver.execute(f"ALTER TABLE events_default ADD CONSTRAINT ck_before_partition CHECK (id < '{past.end}')")

    await pruned(driver)

    await driver.execute(EVENT, past.end)


async def test_a_default_partition_with_many_rows_is_not_read_while_others_wait(driver: Driver) -> None:
    (past,) = (await layout_of(driver, "events")).spans
    await insert(driver, EVENT, moment_of(past.end) + 300 * DAY)
    messages: list[str] = []
    driver.add_log_listener(lambda _, message: messages.append(message.message))
    await driver.execute("SET client_min_messages = debug1")

    await add_missing(driver, "events", WEEK, moment_of(past.end) - DAY)

    implied = 'updated partition constraint for default partition "events_default" is implied by existing constraints'
    assert messages.count(implied) == 4


@contextmanager
def first_attempt() -> Iterator[asyncio.Event]:
    """Yield what is set once a lock was waited for too long; the next attempt follows at once."""
    has_waited = asyncio.Event()

    def seconds(_: Patience) -> float:
        has_waited.set()
        return 0.0

    with patch.object(Patience, "seconds", seconds):
        yield has_waited


async def test_who_reads_for_long_delays_a_partition_and_nobody_else(driver: Driver, database: str) -> None:
    await pruned(driver, now=NOW + 60 * DAY)
    assert await driver.fetchval("SHOW lock_timeout") == "100ms"
    first, *_ = (await layout_of(driver, "events")).spans
    async with driver_to(database) as reader, driver_to(database) as writer:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT FROM events")
        with first_attempt() as has_waited:
            dropping = asyncio.create_task(pruned(driver, now=moment_of(first.end) + 30 * DAY))
            await has_waited.wait()
            await insert(writer, EVENT, NOW)
            assert first in (await layout_of(writer, "events")).spans
            await reading.rollback()
            results = await dropping

    assert results["events"].dropped > 0
    assert first not in (await layout_of(driver, "events")).spans


async def test_while_somebody_migrates_partitions_stay_as_they_are(driver: Driver, database: str) -> None:
    from app.db.migration_locks import MIGRATION_LOCK

    async with driver_to(database) as migrating:
        await migrating.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        before = await layout_of(driver, "events")

        results = await pruned(driver, now=NOW + 60 * DAY)

        assert (results["events"].added, results["events"].dropped) == (0, 0)
        assert await layout_of(driver, "events") == before
    assert (await pruned(driver, now=NOW + 60 * DAY))["events"].added > 0
