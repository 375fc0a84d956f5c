"""Events count as heard only if a notification has arrived."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url

from app.db.engine import Database, open_database
from app.events import heartbeat
from app.events import log as event_log
from app.events.log import Events
from app.settings import Settings
from tests.poolers.conftest import Open

PATIENCE = 10


@pytest.fixture
async def database(opened: Open, direct_url: str) -> AsyncIterator[Database]:
    """A pool whose connections all lead to one server."""
    url = opened(default_pool_size=1)
    database = open_database(url, Settings(database_url=url, database_direct_url=direct_url))
    yield database
    await database.close()


async def test_events_are_heard_past_the_pooler_and_lost_where_none_arrives(
    database: Database, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "_BEAT_SECONDS", 0.02)
    monkeypatch.setattr(heartbeat, "_PATIENCE_SECONDS", 0.5)
    events = Events(database, make_url(direct_url))
    events.start()
    async with asyncio.timeout(PATIENCE):
        await events.heard()
        monkeypatch.setattr(database, "driver_row", _lost)
        while events.is_heard:  # noqa: ASYNC110  # nothing is set when it ends
            await asyncio.sleep(0)
    await events.stop()


async def _lost(*_: object) -> None:
    """Send a notification that doesn't arrive."""
