"""The login sessions that open connections belong to: a connection ends soon after its session."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import UUID

import structlog

from app.db.engine import Database
from app.db.unit_of_work import UnitOfWork

CHECK_SECONDS = 30.0
_END_SECONDS = 5.0

SessionOf = Callable[[], UUID | None]
"""Returns the session that a connection belongs to now, if any."""
End = Callable[[], Awaitable[None]]
"""Ends a connection."""

log = structlog.get_logger(__name__)


class LiveSessions:
    """Asks the database now and then, in one statement for all connections of the process, which sessions have ended.
    So whatever ends a session need not announce it."""

    def __init__(
        self, database: Database, open_sessions: Callable[[UnitOfWork, Sequence[UUID]], Awaitable[Set[UUID]]]
    ) -> None:
        self._database = database
        self._open_sessions = open_sessions
        self._connections: dict[End, SessionOf] = {}

    @contextmanager
    def watched(self, session_of: SessionOf, end: End) -> Iterator[None]:
        """End a connection once its session has ended."""
        self._connections[end] = session_of
        try:
            yield
        finally:
            del self._connections[end]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check while the process runs."""
        checking = asyncio.create_task(self._check_repeatedly(), name="sessions")
        try:
            yield
        finally:
            checking.cancel()
            with suppress(asyncio.CancelledError):
                await checking

    async def check(self) -> None:
        """End each connection whose session has ended."""
        of_sessions = {end: key for end, session_of in self._connections.items() if (key := session_of()) is not None}
        if not of_sessions:
            return
        work = UnitOfWork(self._database)
        try:
            live = await self._open_sessions(work, [*{*of_sessions.values()}])
        finally:
            await work.close()
        ending = [end() for end, key in of_sessions.items() if key not in live]
        with suppress(TimeoutError):  # a client that reads nothing must not hold up the others
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.gather(*ending, return_exceptions=True)

    async def _check_repeatedly(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.check()
            except Exception as failure:  # whatever it is, the next check may succeed
                log.warning("sessions not checked", reason=str(failure))
