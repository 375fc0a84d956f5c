"""The state of the shop for visitors, read from Postgres at most once a second however many there are."""

import asyncio
from time import monotonic

import structlog

from app.db.engine import Database, is_disconnection
from app.db.unit_of_work import UnitOfWork
from app.web.front_page import repository
from app.web.front_page.repository import Shop

_KEPT_SECONDS = 1.0
_REST = 20
"""A slow read is kept this many times as long as it took, so visitors use at most a twentieth of one connection."""
RETRY_AFTER_SECONDS = 5
"""When a database that didn't answer is queried again."""
_PATIENCE_SECONDS = 3.0

log = structlog.get_logger(__name__)


class ShopCache:
    """Keeps the state of the shop for a moment."""

    def __init__(self, database: Database, *, with_orders: bool) -> None:
        self._database = database
        self._with_orders = with_orders
        self._reading: asyncio.Task[Shop | None] | None = None
        self._fresh_until = 0.0

    async def current(self) -> Shop | None:
        """Return the shop as of a moment ago; None if the database cannot be read."""
        if self._reading is None or (self._reading.done() and monotonic() >= self._fresh_until):
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._reading)

    async def _read(self) -> Shop | None:
        begun, work, rest = monotonic(), UnitOfWork(self._database), float(RETRY_AFTER_SECONDS)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                shop = await repository.shop(work, with_orders=self._with_orders)
            rest = max(_KEPT_SECONDS, _REST * (monotonic() - begun))
            return shop
        except Exception as failure:
            report = log.warning if isinstance(failure, TimeoutError) or is_disconnection(failure) else log.exception
            report("the front page cannot read the shop", reason=str(failure) or type(failure).__name__)
            return None
        finally:
            await work.close()
            self._fresh_until = monotonic() + rest
