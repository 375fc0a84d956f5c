"""Which server answers a query."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

from app.db.engine import Database, is_disconnection
from app.errors import Overloaded
from app.replicas.progress import Progress
from app.replicas.replica import Reason, Replica, Unfit
from app.replicas.writers import Writers
from app.security.viewer import Viewer
from app.settings import Settings

PRIMARY = "primary"
_MARGIN_SECONDS = 1.0  # how old the measurements of a replica's lag are, at most

T = TypeVar("T")


class Replicas:
    """The replicas of a database, none or some, beside the primary."""

    def __init__(self, primary: Database, settings: Settings) -> None:
        self.primary = primary
        self._progress = Progress()
        self._replicas = [Replica(url, settings, self._progress) for url in settings.replica_urls]
        self.writers = Writers(settings.database_replica_lag_seconds + _MARGIN_SECONDS)
        self.queries: Counter[str] = Counter()
        """The queries that each server has answered, by its name."""
        self.fallbacks: Counter[str] = Counter()
        """The queries that the primary has answered in place of a replica, by the reason."""
        self._turn = 0

    def __len__(self) -> int:
        return len(self._replicas)

    def __bool__(self) -> bool:
        return bool(self._replicas)

    @property
    def fit(self) -> int:
        """The number of replicas that answer queries now."""
        return sum(replica.is_fit for replica in self._replicas)

    @property
    def lag(self) -> float:
        """By how many seconds the last replica is behind, at most; infinity if one doesn't answer."""
        return max((replica.lag for replica in self._replicas), default=0.0)

    def note_written(self, user: Viewer | None, token: UUID | None) -> None:
        """Note that a user has just written what the token stands for, or may have."""
        if self._replicas and user is not None and token is not None:
            self.writers.note(user.id, token)

    def reading(self, viewer: Viewer | None, tokens: Sequence[UUID]) -> "Reading":
        """Return how to answer a query of a viewer who sends these tokens."""
        return Reading(self, None if viewer is None else viewer.id, tokens)

    def in_turn(self) -> list[Replica]:
        """Return the replicas that are fit, the next one first."""
        fit = [replica for replica in self._replicas if replica.is_fit]
        self._turn = (self._turn + 1) % max(1, len(fit))
        return fit[self._turn :] + fit[: self._turn]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the replicas while the process runs, and close their connections."""
        watches = [replica.watch() for replica in self._replicas]
        if watches:
            watches.append(self._progress.follow(self.primary))
        tasks = [asyncio.create_task(watch, name="watch the replicas") for watch in watches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            for replica in self._replicas:
                await replica.database.close()


class Reading:
    """One query: a replica answers it, unless its user has just written or no replica can; then the primary."""

    def __init__(self, replicas: Replicas, viewer_id: UUID | None, tokens: Sequence[UUID]) -> None:
        self._replicas = replicas
        self._viewer_id = viewer_id
        self._tokens = tokens

    async def row(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Run the one statement of the query and return its first row."""
        primary = self._replicas.primary
        return await self.answered(
            lambda replica: replica.row(sql, parameters, self._tokens), lambda: primary.driver_row(sql, parameters)
        )

    async def answered(
        self, by_replica: Callable[[Replica], Awaitable[T]], by_primary: Callable[[], Awaitable[T]]
    ) -> T:
        """Return the answer of a replica or the primary. If the primary is away, any replica may answer that shows what
        the tokens stand for."""
        if not self._replicas:
            return await by_primary()
        fit = self._replicas.in_turn()
        if not self._replicas.writers.need_primary(self._viewer_id, self._tokens):
            try:
                if not fit:
                    raise Unfit(Reason.LEFT_OUT)
                return await self._by(fit[0], by_replica)
            except Unfit as unfit:
                self._replicas.fallbacks[unfit.reason] += 1
        try:
            answer = await by_primary()
        except Exception as failure:
            if isinstance(failure, Overloaded) or not is_disconnection(failure):
                raise
            for replica in fit:
                with suppress(Unfit):
                    return await self._by(replica, by_replica)
            raise
        self._replicas.queries[PRIMARY] += 1
        return answer

    async def _by(self, replica: Replica, ask: Callable[[Replica], Awaitable[T]]) -> T:
        answer = await ask(replica)
        self._replicas.queries[replica.name] += 1
        return answer
