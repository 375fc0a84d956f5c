"""The order of events: none before one that is known, an entity's in commit order, and nobody waits for anybody."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import EventsExpired
from app.events import repository
from app.events.catalog import TYPES, Follow, Topic
from app.events.log import Events
from app.events.repository import Cursor, Driver, Positioned
from tests.api import Api
from tests.databases import committing
from tests.events import Log, driver_to
from tests.graphql.subscriptions.clients import PATIENCE, until
from tests.market import Market
from tests.orders.operations import item, place

BUYERS = 32
INSERT = "INSERT INTO events (id, type, entity_id, payload) VALUES ($1, 'product.updated', $2, '{}')"


@pytest.fixture
async def log(committed_engine: AsyncEngine, direct_url: str) -> AsyncIterator[Log]:
    async with Log.opened(direct_url) as log:
        yield log


@pytest.fixture
async def drivers(direct_url: str) -> AsyncIterator[list[Driver]]:
    """Two connections whose transactions overlap."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(driver_to(direct_url)) for _ in range(2)]


async def insert(driver: Driver, entity: UUID | None = None) -> UUID:
    """Write an event, and return its key."""
    key = uuid4()
    await driver.execute(INSERT, key, entity or key)
    return key


async def test_the_sales_of_one_product_come_in_the_order_in_which_they_were_committed(
    log: Log, committed_api: Api, committed_market: Market
) -> None:
    product = await committed_market.product(stock=BUYERS)
    buyers = [await committed_market.user() for _ in range(BUYERS)]
    found: list[Positioned] = []

    async def read() -> None:
        while len(found) < BUYERS:
            found.extend(event for event in await log.events() if event.type == "product.stock_changed")

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(read(), *(place(committed_api, buyer, item(product)) for buyer in buyers))

    assert [event.payload["stock"] for event in found] == [*reversed(range(BUYERS))]
    assert len({event.cursor for event in found}) == BUYERS


async def test_an_open_transaction_delays_no_other_and_its_own_events_come_when_it_commits(
    log: Log, drivers: list[Driver]
) -> None:
    held, other = drivers
    transaction = held.transaction()
    await transaction.start()
    late = await insert(held)

    for _ in range(3):
        early = await insert(other)
        assert [event.id for event in await log.events()] == [early]
    await transaction.commit()
    last = await insert(other)

    assert [event.id for event in await log.events()] == [late, last]
    assert await log.events() == []


async def test_what_is_rolled_back_leaves_no_event_and_what_a_savepoint_wrote_does(
    log: Log, drivers: list[Driver]
) -> None:
    driver, _ = drivers
    undone = driver.transaction()
    await undone.start()
    await insert(driver)
    await undone.rollback()
    async with driver.transaction(), driver.transaction():
        kept = await insert(driver)

    assert [event.id for event in await log.events()] == [kept]


async def test_announcers_at_once_give_every_event_one_place(log: Log, direct_url: str) -> None:
    written: list[UUID] = []

    async def write(driver: Driver) -> None:
        for _ in range(25):
            written.append(await insert(driver))
            await repository.announce(driver)

    async with AsyncExitStack() as stack:
        await asyncio.gather(*[write(await stack.enter_async_context(driver_to(direct_url))) for _ in range(4)])

    found, before = await log.events(), await log.events()
    assert sorted(event.id for event in found) == sorted(written)
    places = [(event.cursor.position, event.cursor.number) for event in found]
    assert places == sorted(set(places))
    assert places[0][0] < places[-1][0]
    assert before == []


async def test_a_process_reads_what_a_killed_one_has_committed(
    committed_engine: AsyncEngine, log: Log, direct_url: str
) -> None:
    events, key = Events(committing(committed_engine), make_url(direct_url)), uuid4()
    events.start()
    try:
        await events.heard()
        subscription = events.follow(Topic(Follow.PRODUCT, key), has_state=True)
        await insert(log.driver, key)  # and nobody announces it
        async with asyncio.timeout(PATIENCE):
            await subscription.wait()
        assert subscription.next() == key
        await until(lambda: events.position > log.cursor.position)
    finally:
        await events.stop()


async def test_a_process_that_stops_announces_what_it_has_committed(
    committed_engine: AsyncEngine, log: Log, direct_url: str
) -> None:
    events = Events(committing(committed_engine), make_url(direct_url))
    events.start()
    await events.heard()
    await insert(log.driver)
    events.announce()

    await events.stop()

    assert (await repository.latest(log.driver)).position == log.cursor.position + 1


async def test_a_cursor_is_known_as_long_as_its_batch_has_its_position(log: Log) -> None:
    await insert(log.driver)
    (event,) = await log.events()
    assert Cursor.parse(str(log.cursor)) == log.cursor

    for known in (log.cursor, event.cursor):
        await repository.require_known(log.driver, known)
    position, moment, _ = log.cursor
    for unknown in (Cursor(position, moment + 1), Cursor(position + 1, moment)):
        with pytest.raises(EventsExpired):
            await repository.require_known(log.driver, unknown)


async def test_reading_goes_on_within_a_batch(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "_READ", repository._reading(page=2))
    batches = []
    for size in (3, 1, 4):
        batches += [await insert(log.driver) for _ in range(size)]
        await repository.announce(log.driver)

    assert [event.id for event in await log.events()] == batches


async def test_a_batch_is_made_once_the_last_is_old_enough(log: Log) -> None:
    assert await repository.announce(log.driver, pause=3600) is None
    await log.driver.execute("UPDATE event_batches SET made_at = now() + interval '1 hour'")  # the clock was set back

    assert await repository.announce(log.driver, pause=3600) == log.cursor.position + 1


async def test_a_log_from_a_server_with_more_transactions_goes_on(log: Log) -> None:
    """A backup of it was restored: all of its transaction ids are ahead of this server's."""
    announced = await insert(log.driver)
    await log.events()
    old, waiting = log.cursor, await insert(log.driver)
    await log.driver.execute("UPDATE events SET xid = (xid::text::bigint + 1000000)::text::xid8")
    xmax = "pg_snapshot_xmax(snapshot)::text::bigint + 1000000"
    await log.driver.execute(f"UPDATE event_batches SET snapshot = format('%1$s:%1$s:', {xmax})::pg_snapshot")

    await log.reopen()
    found = [event.id for event in await log.events()]
    new = await insert(log.driver)

    assert found == [waiting]
    assert announced not in found
    assert [event.id for event in await log.events()] == [new]
    with pytest.raises(EventsExpired):
        await repository.require_known(log.driver, old)


async def test_every_type_that_is_written_is_declared(log: Log, committed_api: Api, committed_market: Market) -> None:
    product = await committed_market.product(stock=2)
    await place(committed_api, await committed_market.user(), item(product))

    found = await log.events()

    assert {event.type for event in found} == {"order.placed", "store_order.placed", "product.stock_changed"}
    for event in found:
        assert ", ".join(event.payload) == TYPES[event.type].payload
        assert json.dumps(event.payload)
