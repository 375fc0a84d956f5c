"""The event log, as tests look at it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import make_url

from app.events import repository
from app.events.catalog import Topic
from app.events.repository import Driver, Positioned, Sequencer


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

    def __init__(self, driver: Driver, sequencer: Sequencer, position: int) -> None:
        self.driver = driver
        self.sequencer = sequencer
        self.position = position

    @classmethod
    @asynccontextmanager
    async def opened(cls, database_url: str) -> AsyncIterator["Log"]:
        async with driver_to(database_url) as driver:
            sequencer = await Sequencer.over(driver)
            await sequencer.sequence()
            yield cls(driver, sequencer, (await repository.latest(driver)).position)

    async def events(self) -> Sequence[Positioned]:
        """Give them their positions, and return them."""
        await self.sequencer.sequence()
        found: list[Positioned] = []
        while page := await repository.after(self.driver, self.position):
            found += page
            self.position = page[-1].position
        return found


def legacy_text(topic: Topic) -> str:
    """Return the text with which 2.0.0 notifies the followers of an entity."""
    return f"{topic.kind} {topic.key.hex} {topic.key.hex}"
