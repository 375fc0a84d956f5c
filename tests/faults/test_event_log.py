"""Processes and Postgres are killed while customers order: each committed event is read, once and in order."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

import pytest

from app.events import repository
from app.events.repository import Backlog, Cursor, Driver, Positioned
from app.global_ids import global_id
from tests.events import driver_to
from tests.faults.postgres import Postgres
from tests.faults.stores import SECRET, STOCK, Customers, Shop, fill, opened
from tests.servers import served

PATIENCE = 40


@dataclass
class Reader:
    """Reads the log while it is written, as a process with subscribers does; it announces nothing."""

    shop: Shop
    cursor: Cursor
    events: list[Positioned] = field(default_factory=list)
    is_over: Event = field(default_factory=Event)

    async def read(self) -> None:
        """Read until it is over and everything that was committed has been read."""
        async with asyncio.timeout(PATIENCE):
            while not (self.is_over.is_set() and await self._has_all()):
                with suppress(Exception):  # whatever it is, connect again, as a process does
                    async with driver_to(self.shop.url) as driver:
                        await self._read_on(driver)

    async def _read_on(self, driver: Driver) -> None:
        """Read until it is over, or the connection breaks."""
        await repository.require_known(driver, self.cursor)
        while True:
            end = await repository.latest(driver)
            while page := await repository.after(driver, self.cursor, end.position):
                self.events += page
                self.cursor = page[-1].cursor
            self.cursor = end
            if self.is_over.is_set():
                return

    async def _has_all(self) -> bool:
        async with driver_to(self.shop.url) as driver:
            return bool(await driver.fetchval("SELECT count(*) = $1 FROM events", len(self.events)))


@contextmanager
def all_read_in_order(shop: Shop) -> Iterator[list[str]]:
    """Read the log during the block, which notes the orders that were acknowledged."""
    reader, placed = Reader(shop, asyncio.run(end_of_log(shop))), list[str]()
    reading = Thread(target=lambda: asyncio.run(reader.read()))
    reading.start()
    try:
        yield placed
    finally:
        reader.is_over.set()
        reading.join()
    orders = [global_id("Order", event.entity_id) for event in reader.events if event.type == "order.placed"]
    assert len(orders) == len(set(orders))
    assert {*placed} <= {*orders} == shop.orders()
    stocks = [event.payload["stock"] for event in reader.events if event.type == "product.stock_changed"]
    assert stocks == [STOCK - number for number in range(1, len(orders) + 1)]


@pytest.fixture
def shop(server_url: str) -> Iterator[Shop]:
    with opened(server_url, f"orders_test_event_log_{os.getpid()}") as shop:
        yield shop


def order_until_killed(shop: Shop) -> list[str]:
    """Kill a process while customers order; return the orders that were acknowledged."""
    with served(DATABASE_URL=shop.url, SECRET_KEY=SECRET, LOG_LEVEL="error") as (process, address):
        customers = Customers(shop, address)
        with customers.busy():
            customers.until_placed(20)
            process.kill()
    assert not customers.unexpected
    return customers.placed


async def end_of_log(shop: Shop) -> Cursor:
    async with driver_to(shop.url) as driver:
        return await repository.latest(driver)


async def backlog(shop: Shop) -> Backlog:
    async with driver_to(shop.url) as driver:
        return await repository.backlog(driver)


def test_another_process_announces_what_a_killed_one_has_committed(shop: Shop) -> None:
    with ExitStack() as stack, all_read_in_order(shop) as placed:
        for _ in range(10):
            placed += order_until_killed(shop)
            if asyncio.run(backlog(shop)).waiting:
                break
        else:
            pytest.fail("every process had announced everything when it was killed")
        stack.enter_context(served(DATABASE_URL=shop.url, SECRET_KEY=SECRET, LOG_LEVEL="error"))


def test_nothing_is_lost_when_postgres_is_killed(postgres: Postgres) -> None:
    shop = fill(postgres.url)
    with (
        served(DATABASE_URL=shop.url, SECRET_KEY=SECRET, LOG_LEVEL="error") as (_, address),
        all_read_in_order(shop) as placed,
    ):
        customers = Customers(shop, address)
        with customers.busy():
            for _ in range(2):
                customers.until_placed(20)
                postgres.end(signal.SIGKILL)
                postgres.start()
            customers.until_placed(20)
        assert not customers.unexpected
        placed += customers.placed
