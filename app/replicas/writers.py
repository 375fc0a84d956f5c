"""Who has written lately: their queries go to the primary for some seconds, even if they send no token."""

import asyncio
from uuid import UUID


class Writers:
    """The users who have written within so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[UUID, float] = {}
        """When each of them counts no more; the first one is the first to go."""

    def __len__(self) -> int:
        return len(self._until)

    def note(self, user_id: UUID | None) -> None:
        """Note that a user has just written."""
        now = asyncio.get_running_loop().time()
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
        if user_id is not None:
            self._until.pop(user_id, None)
            self._until[user_id] = now + self._seconds

    def includes(self, user_id: UUID | None) -> bool:
        """Return whether a user is among them."""
        if user_id is None or user_id not in self._until:
            return False
        return self._until[user_id] > asyncio.get_running_loop().time()
