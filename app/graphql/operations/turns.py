"""Who is next: clients take turns at what keeps others waiting, so that one who wants it often delays no others."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.clients import Client

Line = OrderedDict[Client, None]


class Turn:
    """A turn, which one client waits for, or several that will share what is done in it."""

    def __init__(self) -> None:
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.clients: dict[Client, None] = {}
        """Those who wait for it, or the one it was granted to."""


class Turns:
    """The turns of a process. No client holds more than half of them, nor do all anonymous ones together."""

    def __init__(self, number: int, rest: float = 0) -> None:
        """Take how many there are, and for which part of the time that one took nobody has it afterwards."""
        self._rest = rest
        self._free = number
        self._free_for_anonymous = max(1, (number + 1) // 2)
        self._per_client = max(1, number // 2)
        self._held: Counter[Client] = Counter()
        self._waiting: dict[Client, deque[Turn]] = {}
        # The clients to grant turns to, in this order: those who are logged in, and those who aren't.
        self._lines: tuple[Line, Line] = (OrderedDict(), OrderedDict())
        self._is_anonymous_next = False

    def __len__(self) -> int:
        return len({id(turn) for turns in self._waiting.values() for turn in turns})

    def request(self, client: Client) -> Turn:
        """Return a turn that the client waits for, or is granted at once."""
        turn = Turn()
        self.join(turn, client)
        return turn

    def join(self, turn: Turn, client: Client) -> None:
        """Let another client wait for the same turn, which is granted when either of them is next."""
        if not turn.granted.done() and client not in turn.clients:
            turn.clients[client] = None
            self._waiting.setdefault(client, deque()).append(turn)
            self._line_up(client)
            self._proceed()

    @asynccontextmanager
    async def taken(self, turn: Turn) -> AsyncIterator[None]:
        """Wait for the turn, and let others follow afterwards."""
        begun = None
        try:
            await turn.granted
            begun = time.perf_counter()
            yield
        finally:
            if turn.granted.cancelled():
                self._leave(turn)
            elif self._rest and begun is not None:
                rest = self._rest * (time.perf_counter() - begun)
                asyncio.get_running_loop().call_later(rest, self._release, turn)
            else:
                self._release(turn)

    def _line_up(self, client: Client) -> None:
        """Put the client in line if it waits for a turn and doesn't hold too many."""
        if client in self._waiting and self._held[client] < self._per_client:
            self._lines[client.is_anonymous][client] = None

    def _next(self) -> Client | None:
        """Return the client to grant a turn to: alternately one who is logged in, and one who isn't."""
        for _ in self._lines:
            line, may_go = self._lines[self._is_anonymous_next], not self._is_anonymous_next or self._free_for_anonymous
            self._is_anonymous_next = not self._is_anonymous_next
            if line and may_go:
                return line.popitem(last=False)[0]
        return None

    def _proceed(self) -> None:
        """Grant the free turns."""
        while self._free and (client := self._next()) is not None:
            turn = self._waiting[client][0]
            self._leave(turn)
            if not turn.granted.cancelled():
                turn.clients = {client: None}
                turn.granted.set_result(None)
                self._count(client, 1)
            self._line_up(client)

    def _leave(self, turn: Turn) -> None:
        """Remove a turn that nobody waits for any more."""
        clients, turn.clients = turn.clients, {}
        for client in clients:
            turns = self._waiting[client]
            turns.remove(turn)
            if not turns:
                del self._waiting[client]
                self._lines[client.is_anonymous].pop(client, None)

    def _release(self, turn: Turn) -> None:
        """Grant a turn that is over to the client who is next."""
        (client,) = turn.clients
        self._count(client, -1)
        self._line_up(client)
        self._proceed()

    def _count(self, client: Client, number: int) -> None:
        """Count turns that the client has begun to hold."""
        self._free -= number
        self._free_for_anonymous -= number * client.is_anonymous
        self._held[client] += number
        if not self._held[client]:
            del self._held[client]
