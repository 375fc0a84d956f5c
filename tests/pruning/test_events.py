"""Old events are deleted with their batches, so that nobody reads on as if there had been none."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from app.errors import EventsExpired
from app.events import repository
from app.events.repository import Cursor
from app.pruning import pruner
from app.pruning.partitions import Driver, begin_of, first_key
from app.settings import Settings
from tests.pruning import DAY, EVENT, WEEK, ago, insert, pruned


async def announced(driver: Driver, age: timedelta, *ages: timedelta) -> Cursor:
    """Announce events of these ages in a batch of the first one; return the end of the log."""
    for each in (age, *ages):
        await insert(driver, EVENT, ago(each))
    position = await repository.announce(driver)
    await driver.execute("UPDATE event_batches SET made_at = $1 WHERE position = $2", ago(age), position)
    return await repository.latest(driver)


async def read(driver: Driver, cursor: Cursor) -> Sequence[UUID]:
    """Return what follows in the log."""
    end = await repository.latest(driver)
    return [event.id for event in await repository.after(driver, cursor, end.position)]


async def test_events_go_with_their_batches_and_who_has_read_less_has_missed_them(driver: Driver) -> None:
    start = await repository.latest(driver)
    first, second, third, last = [await announced(driver, age * DAY) for age in (40, 39, 1, 0)]
    recent = (await read(driver, start))[2:]

    assert (await pruned(driver))["events"].rows == 2

    assert await read(driver, second) == recent
    for known in (second, third, last):
        await repository.require_known(driver, known)
    for gone in (start, first):
        with pytest.raises(EventsExpired):
            await repository.require_known(driver, gone)


async def test_the_last_batch_stays_and_the_next_follows_it(driver: Driver) -> None:
    end = await announced(driver, 40 * DAY)

    assert (await pruned(driver))["events"].rows == 1

    assert await repository.latest(driver) == end
    next_ = await announced(driver, DAY)
    assert next_.position == end.position + 1
    assert len(await read(driver, end)) == 1


async def test_batches_are_deleted_in_small_steps(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruner, "ROWS_AT_ONCE", 2)
    for _ in range(7):
        last_old = await announced(driver, 40 * DAY)
    end = await announced(driver, DAY)

    await pruned(driver)

    positions = [row["position"] for row in await driver.fetch("SELECT position FROM event_batches ORDER BY position")]
    assert positions == [last_old.position, end.position]


async def test_what_clocks_that_are_behind_have_dated_back_is_not_passed_over(driver: Driver) -> None:
    """The events of a batch from just after the first key that is kept may have keys from before it."""
    kept = begin_of(ago(14 * DAY), WEEK)
    await driver.execute(EVENT, first_key(kept - timedelta(minutes=1)))
    position = await repository.announce(driver)
    moment = kept + timedelta(minutes=1)
    await driver.execute("UPDATE event_batches SET made_at = $1 WHERE position = $2", moment, position)
    cursor = await repository.latest(driver)
    before = Cursor(cursor.position - 1, cursor.moment)
    for _ in range(2):
        await announced(driver, DAY)

    await pruned(driver)

    with pytest.raises(EventsExpired):
        await repository.require_known(driver, before)


async def test_whole_weeks_of_events_are_deleted(driver: Driver) -> None:
    monday = begin_of(ago(20 * DAY), WEEK)
    for moment in (monday - timedelta(seconds=1), monday):
        await insert(driver, EVENT, moment)

    assert (await pruned(driver, Settings(events_retention_days=20)))["events"].rows == 1
    assert (await pruned(driver, Settings(events_retention_days=20)))["events"].rows == 0


async def test_an_event_that_was_announced_late_takes_none_with_it(driver: Driver) -> None:
    """Of a transaction that was held open: what is announced with it is younger."""
    start = await announced(driver, 3 * DAY)
    await announced(driver, 2 * DAY, 40 * DAY)
    _, young = sorted(await read(driver, start))  # by the time of their keys

    await pruned(driver)

    await repository.require_known(driver, start)
    assert await read(driver, start) == [young]
