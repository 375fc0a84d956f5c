"""How much of the connection pool some operations may take together, so that the others find a connection."""

from collections.abc import Sequence
from weakref import WeakValueDictionary

from app.clients import Client
from app.db.pool_queue import Share
from app.security.viewer import Viewer

EXPENSIVE = 1_000
"""Points from which an operation is expensive: it may look through a list for tens of milliseconds."""


class Shares:
    """The shares of clients without a login, of expensive operations, of writes, and of each client's writes."""

    def __init__(self, connections: int) -> None:
        """Leave a quarter of the connections to those who are logged in, a quarter to what only reads, half to what is
        not expensive, and some to others than any one client."""
        self._writing = (Share(max(1, connections * 3 // 4)),)  # a popular row may let all of them wait for each other
        self._most_writing = max(1, connections // 2)
        self._most_expensive = max(1, connections // 8)
        self._anonymous = (Share(max(1, connections * 3 // 4)),)
        self._expensive = (Share(max(1, connections // 2)),)
        self._expensive_and_anonymous = (*self._expensive, Share(max(1, connections // 4)))
        self._of_clients: WeakValueDictionary[tuple[Client, bool], Share] = WeakValueDictionary()

    def of(self, viewer: Viewer | None, address: str, points: int, *, writes: bool) -> Sequence[Share]:
        """Return the shares that an operation of this viewer, or else this address, and this cost counts in."""
        shares = self._anonymous if viewer is None else ()
        if points < EXPENSIVE and not writes:
            return shares
        client = Client.of(viewer, address)
        if points < EXPENSIVE:
            return *shares, *self._writing, self._of_client(client, self._most_writing, is_expensive=False)
        of_all = self._expensive_and_anonymous if client.is_anonymous else self._expensive
        return *shares, *of_all, self._of_client(client, self._most_expensive, is_expensive=True)

    def _of_client(self, client: Client, most: int, *, is_expensive: bool) -> Share:
        """Return the share of a client, which is kept while a connection counts in it."""
        return self._of_clients.setdefault((client, is_expensive), Share(most))
