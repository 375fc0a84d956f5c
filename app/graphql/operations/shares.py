"""How much of the connection pool some operations may take together, so that the others find a connection."""

from collections.abc import Sequence
from weakref import WeakValueDictionary

from app.clients import Client
from app.db.pool_queue import Share
from app.graphql.operations.cost import Cost
from app.security.viewer import Viewer

EXPENSIVE = 1_000
"""Points from which an operation is expensive."""
LOOKING = 500
"""Points of looking through lists from which it is expensive, too: that takes longer the more the shop sells."""


class Shares:
    """The shares of clients without a login, of expensive operations, of writes, and of each client's writes."""

    def __init__(self, connections: int, expensive: int) -> None:
        """Leave a quarter of the connections to those who are logged in, a quarter to what only reads, all but
        `expensive` of them to what is not, and some to others than any one client.

        A connection that waits its turn costs nothing, but each that looks through a list takes a CPU of Postgres from
        the pages of everyone."""
        self._writing = (Share(max(1, connections * 3 // 4)),)  # a popular row may let all of them wait for each other
        self._most_writing = max(1, connections // 2)
        self._most_expensive = max(1, expensive // 2)
        self._anonymous = (Share(max(1, connections * 3 // 4)),)
        self._expensive = (Share(min(expensive, connections)),)
        self._expensive_and_anonymous = (*self._expensive, Share(max(1, expensive // 2)))
        self._of_clients: WeakValueDictionary[tuple[Client, bool], Share] = WeakValueDictionary()

    def of(self, viewer: Viewer | None, address: str, cost: Cost, *, writes: bool) -> Sequence[Share]:
        """Return the shares that an operation of this viewer, or else this address, and this cost counts in."""
        shares = self._anonymous if viewer is None else ()
        is_expensive = cost.points >= EXPENSIVE or cost.looks >= LOOKING
        if not is_expensive and not writes:
            return shares
        client = Client.of(viewer, address)
        if not is_expensive:
            return *shares, *self._writing, self._of_client(client, self._most_writing, is_expensive=False)
        of_all = self._expensive_and_anonymous if client.is_anonymous else self._expensive
        return *shares, *of_all, self._of_client(client, self._most_expensive, is_expensive=True)

    def _of_client(self, client: Client, most: int, *, is_expensive: bool) -> Share:
        """Return the share of a client, which is kept while a connection counts in it."""
        return self._of_clients.setdefault((client, is_expensive), Share(most))
