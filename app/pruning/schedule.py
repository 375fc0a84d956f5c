"""Prunes while the server runs, now and then; whichever process does so first leaves nothing to the others."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import uniform

import structlog
from sqlalchemy import URL

from app.db.engine import connect
from app.pruning.catalog import KINDS, LOGS
from app.pruning.partitions import Layout, layout_of
from app.pruning.pruner import prune
from app.settings import Settings

_PAUSE_SECONDS = 600.0
_PATIENCE_SECONDS = 10.0
_LAST_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Pruning:
    """Deletes what is old, over a connection of its own for each time, and remembers what was deleted."""

    def __init__(self, url: URL, settings: Settings) -> None:
        """Prune the database at `url`, where a connection keeps its server."""
        self._url = url
        self._settings = settings
        self._layouts: dict[str, Layout] = {}
        self.rows: Counter[str] = Counter({kind.name: 0 for kind in KINDS})
        """How many rows of each kind were deleted; those of partitions that were dropped don't count."""

    def days_ahead(self, table: str) -> float:
        """Return for how many days there are partitions of a table; infinity before that is known."""
        layout = self._layouts.get(table)
        if layout is None or not layout.is_migrated:
            return float("inf")
        return layout.ahead(datetime.now(UTC)) / timedelta(days=1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Prune while the process runs."""
        task = asyncio.create_task(self._repeat(), name="pruning")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=_LAST_SECONDS)

    async def once(self) -> None:
        """Prune, and look how far ahead there are partitions."""
        driver = await connect(self._url, "pruning", _PATIENCE_SECONDS)
        try:
            async for result in prune(driver, self._settings):
                self.rows[result.kind.name] += result.rows
                if result.rows or result.dropped or result.added:
                    log.info("pruned", result=str(result))
            for table in LOGS:
                self._layouts[table] = await layout_of(driver, table)
        finally:
            driver.terminate()

    async def _repeat(self) -> None:
        pause = uniform(0, _PAUSE_SECONDS)  # noqa: S311  # spread the processes out
        while True:
            await asyncio.sleep(pause)
            pause = uniform(0.5, 1.5) * _PAUSE_SECONDS  # noqa: S311
            try:
                await self.once()
            except Exception as failure:  # whatever it is, the next time may succeed
                log.warning("not pruned", reason=str(failure) or type(failure).__name__)
