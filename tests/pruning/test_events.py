"""Old events are deleted with their positions, so that nobody reads on as if there had been none."""

from datetime import timedelta

import pytest

from app.errors import EventsExpired
from app.events import repository
from app.events.repository import Sequencer
from app.pruning.partitions import Driver, begin_of
from app.settings import Settings
from tests.pruning import DAY, EVENT, WEEK, ago, insert, pruned


async def test_events_go_with_their_positions_and_who_has_read_less_has_missed_them(driver: Driver) -> None:
    sequencer = await Sequencer.over(driver)
    for age in (40, 39, 1, 0):
        await insert(driver, EVENT, ago(age * DAY))
    await sequencer.sequence()
    end = await repository.latest(driver)
    first, second, third, last = await repository.after(driver, end.position - 4)

    assert (await pruned(driver))["events"].rows == 2

    assert [event.id for event in await repository.after(driver, 0)] == [third.id, last.id]
    for gone in (first, second):
        with pytest.raises(EventsExpired):
            await repository.require_known(driver, gone.cursor)
    await repository.require_known(driver, third.cursor)


async def test_the_last_position_stays_and_the_next_follows_it(driver: Driver) -> None:
    sequencer = await Sequencer.over(driver)
    await insert(driver, EVENT, ago(40 * DAY))
    await sequencer.sequence()
    end = await repository.latest(driver)

    assert (await pruned(driver))["events"].rows == 1

    assert await repository.latest(driver) == end
    await insert(driver, EVENT, ago(DAY))
    await sequencer.sequence()
    assert [event.position for event in await repository.after(driver, 0)] == [end.position + 1]


async def test_whole_weeks_of_events_are_deleted(driver: Driver) -> None:
    monday = begin_of(ago(20 * DAY), WEEK)
    for moment in (monday - timedelta(seconds=1), monday):
        await insert(driver, EVENT, moment)

    assert (await pruned(driver, Settings(events_retention_days=20)))["events"].rows == 1
    assert (await pruned(driver, Settings(events_retention_days=20)))["events"].rows == 0


async def test_an_event_that_got_its_position_late_takes_none_with_it(driver: Driver) -> None:
    """Of a transaction that was held open: what follows it in the log is younger, and what comes before is not."""
    sequencer = await Sequencer.over(driver)
    for age in (40, 2, 41, 1):
        await insert(driver, EVENT, ago(age * DAY))
    await sequencer.sequence()
    start = (await repository.latest(driver)).position - 4
    _, second, _, last = await repository.after(driver, start)

    await pruned(driver)

    assert [event.id for event in await repository.after(driver, 0)] == [second.id, last.id]
    await repository.require_known(driver, second.cursor)
