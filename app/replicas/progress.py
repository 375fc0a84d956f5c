"""How far behind the primary a replica is: measured against the primary, as an idle one sends nothing to measure by."""

import asyncio
from collections import deque

import structlog

from app.db.engine import Database

_SECONDS = 0.5
_LONGEST_PAUSE = 5.0
_KEPT = 1_200  # of ten minutes
_WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"

log = structlog.get_logger(__name__)


class Progress:
    """What the primary had written at each moment, in bytes of its write-ahead log.

    A replica that has replayed as much as the primary had written at some moment is no older than that. While the
    primary is away, replicas grow no older."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=_KEPT)

    def note(self, moment: float, written: int) -> None:
        """Note what the primary had written at a moment, in seconds. Another primary may have written less."""
        if self._seen and written < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((moment, written))

    def lag(self, replayed: int) -> float:
        """Return by how many seconds, at most, a replica is behind that has replayed so much; infinity if by more than
        is known."""
        if not self._seen or self._seen[-1][1] <= replayed:
            return 0.0
        latest = self._seen[-1][0]
        return next((latest - moment for moment, written in reversed(self._seen) if written <= replayed), float("inf"))

    async def follow(self, primary: Database) -> None:
        """Ask the primary again and again."""
        clock, pause = asyncio.get_running_loop().time, _SECONDS
        while True:
            moment = clock()  # before it is asked, so that replicas seem rather older than they are
            try:
                (written,) = await primary.driver_row(_WRITTEN, [])
            except Exception as failure:  # it is away, or has no time
                log.debug("cannot ask the primary for its progress", reason=str(failure) or type(failure).__name__)
                pause = min(2 * pause, _LONGEST_PAUSE)  # each attempt to connect is a line in the log
            else:
                self.note(moment, written)
                pause = _SECONDS
            await asyncio.sleep(pause)
