"""Who has written lately: their queries go to the primary for some seconds, unless they send a token of it."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID


class _Write(NamedTuple):
    until: float
    """When it counts no more."""
    token: UUID | None
    """None if another process knows it."""


class Writers:
    """The users who have written within so many seconds, and the token of what they wrote last."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last: dict[UUID, _Write] = {}
        """The first one is the first to go."""

    def __len__(self) -> int:
        return len(self._last)

    def note(self, user_id: UUID, token: UUID | None = None) -> None:
        """Note that a user has just written, or may have."""
        now = asyncio.get_running_loop().time()
        while self._last and next(iter(self._last.values())).until <= now:
            del self._last[next(iter(self._last))]
        known = self._last.pop(user_id, None)
        self._last[user_id] = _Write(now + self._seconds, token or (known and known.token))

    def need_primary(self, user_id: UUID | None, tokens: Sequence[UUID]) -> bool:
        """Return whether a user who sends these tokens may have written something else lately."""
        write = None if user_id is None else self._last.get(user_id)
        if write is None or write.until <= asyncio.get_running_loop().time():
            return False
        return not tokens if write.token is None else write.token not in tokens
