"""What one task waits for, where thousands do: an `asyncio.Event` takes 0.8 KB, and an `asyncio.Queue` 3 KB."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Wake:
    """Wakes the one task that waits for a condition."""

    __slots__ = ("_call",)

    def __init__(self) -> None:
        self._call: asyncio.Future[None] | None = None

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; what changes it calls `call`."""
        while not condition():
            self._call = asyncio.get_running_loop().create_future()
            await self._call

    def call(self) -> None:
        """Have the waiting task check its condition."""
        if self._call is not None and not self._call.done():
            self._call.set_result(None)


class Inbox(Generic[T]):
    """What has been received, for one reader: the part of `asyncio.Queue` that uvicorn uses."""

    __slots__ = ("_items", "_wake")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._wake = Wake()

    def put_nowait(self, item: T) -> None:
        """Add what was received."""
        self._items.append(item)
        self._wake.call()

    def empty(self) -> bool:
        """Return whether all has been read."""
        return not self._items

    async def get(self) -> T:
        """Return what was received first, once there is something."""
        await self._wake.until(lambda: self._items)
        return self._items.pop(0)
