"""The event log, as tests look at it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import asyncpg
from sqlalchemy import make_url

from app.events import repository
from app.events.catalog import Topic
from app.events.repository import Cursor, Driver, Positioned


@asynccontextmanager
async def driver_to(database_url: str) -> AsyncIterator[Driver]:
    """Yield a connection of the driver itself."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    driver = await asyncpg.connect(url)
    try:
        yield driver
    finally:
        await driver.close()


class Log:
    """The events that were committed since this was asked for last; no process needs to announce them."""

    def __init__(self, driver: Driver, cursor: Cursor) -> None:
        self.driver = driver
        self.cursor = cursor

    @classmethod
    @asynccontextmanager
    async def opened(cls, database_url: str) -> AsyncIterator["Log"]:
        async with driver_to(database_url) as driver:
            log = cls(driver, Cursor(0, Decimal()))
            await log.reopen()
            while await repository.announce(driver) is None:
                pass
            log.cursor = await repository.latest(driver)
            yield log

    async def reopen(self) -> None:
        """Start at the end of the log, as a process that connects."""
        await repository.prepare(self.driver)
        self.cursor = await repository.latest(self.driver)

    async def events(self) -> Sequence[Positioned]:
        """Announce them, and return them."""
        while await repository.announce(self.driver) is None:
            pass
        end, found = await repository.latest(self.driver), list[Positioned]()
        while page := await repository.after(self.driver, self.cursor, end.position):
            found += page
            self.cursor = page[-1].cursor
        self.cursor = end
        return found


def legacy_text(topic: Topic) -> str:
    """Return the text with which 2.0.0 notifies the followers of an entity."""
    return f"{topic.kind} {topic.key.hex} {topic.key.hex}"
