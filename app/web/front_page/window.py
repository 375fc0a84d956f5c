"""The shop as whoever comes by may see it: however many look, Postgres is asked once in a while."""

import asyncio
from time import monotonic

import structlog

from app.db.engine import Database, is_disconnection
from app.db.unit_of_work import UnitOfWork
from app.web.front_page import repository
from app.web.front_page.repository import Shop

_KEPT_SECONDS = 1.0
_REST = 20
"""What took long to read is kept so many times as long: visitors take a twentieth of one connection at most."""
RETRY_AFTER_SECONDS = 5
"""When the database is asked again that did not answer."""
_PATIENCE_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Window:
    """Shows the shop."""

    def __init__(self, database: Database, *, with_orders: bool) -> None:
        self._database = database
        self._with_orders = with_orders
        self._reading: asyncio.Task[Shop | None] | None = None
        self._fresh_until = 0.0

    async def look(self) -> Shop | None:
        """Return the shop as it was a moment ago; None where the database cannot be asked."""
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
            tell = log.warning if isinstance(failure, TimeoutError) or is_disconnection(failure) else log.exception
            tell("the front page cannot show the shop", reason=str(failure) or type(failure).__name__)
            return None
        finally:
            await work.close()
            self._fresh_until = monotonic() + rest
