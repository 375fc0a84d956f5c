"""How much of the connection pool some operations may take together, so that the others find a connection."""

from collections.abc import Sequence

from app.db.pool_queue import Share
from app.security.viewer import Viewer

EXPENSIVE = 1_000
"""Points from which an operation is expensive: it may look through a list for tens of milliseconds."""


class Shares:
    """The shares of clients without a login, and of expensive operations."""

    def __init__(self, connections: int) -> None:
        """Leave a quarter of the connections to those who are logged in, and half to the other operations."""
        anonymous = Share(max(1, connections * 3 // 4))
        costly = Share(max(1, connections // 2))
        costly_and_anonymous = Share(max(1, connections // 4))
        self._of_viewers = {False: (), True: (costly,)}
        self._of_anonymous = {False: (anonymous,), True: (anonymous, costly, costly_and_anonymous)}

    def of(self, viewer: Viewer | None, points: int) -> Sequence[Share]:
        """Return the shares that an operation of this cost counts in."""
        return (self._of_anonymous if viewer is None else self._of_viewers)[points >= EXPENSIVE]
