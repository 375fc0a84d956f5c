"""The private parts of asyncpg that this API uses; a test fails if a new version moves them."""

import select
import socket
from collections.abc import Awaitable
from typing import Any, ClassVar, cast

import asyncpg

_EDITIONS = 10
"""Editions in which a statement is tried, at most: one more than the migrations that a pooler's connection outlives."""


class PooledConnection(asyncpg.Connection):
    """A connection of the pool, which prepares statements anew once a migration has changed the types that they return.

    A pooler that tracks statements knows them by their texts, and would use an outdated one again. So all texts change
    by a comment. Processes count alike, so that they share statements."""

    __slots__ = ()
    edition: ClassVar[int] = 0

    @classmethod
    def renew(cls, outdated: int) -> None:
        """Change the text of all statements, unless that has happened since this edition."""
        PooledConnection.edition = max(PooledConnection.edition, outdated + 1)

    def _get_statement(self, query: str, *arguments: Any, **options: Any) -> Awaitable[Any]:
        if PooledConnection.edition:
            query = f"{query} /* {PooledConnection.edition} */"
        driver: Any = super()
        return cast("Awaitable[Any]", driver._get_statement(query, *arguments, **options))

    async def _do_execute(self, *arguments: Any, retry: bool = True, **options: Any) -> Any:
        """Run a statement, and again if its plan was outdated, as nothing has been executed then. That aborts a
        transaction, however, which must begin again. The driver's own retry returns records of another class."""
        driver: Any = super()
        for _ in range(_EDITIONS):
            edition = PooledConnection.edition
            try:
                return await driver._do_execute(*arguments, retry=False, **options)
            except asyncpg.InvalidCachedStatementError:
                if self.is_in_transaction():
                    raise
                self.renew(edition)
        return await driver._do_execute(*arguments, retry=False, **options)


def socket_of(driver: Any) -> socket.socket:
    """Return the socket of a connection, for its keep-alive options: asyncpg has no public access to it."""
    connected: socket.socket = driver._transport.get_extra_info("socket")
    return connected


def cut_off(driver: Any) -> None:
    """Break a connection as the network would. `terminate` also takes away the state with which a statement goes on
    that has just had an answer."""
    if not driver.is_closed():
        driver._transport.abort()


def has_unread(driver: Any) -> bool:
    """Return whether an idle connection has received something that the event loop hasn't noticed yet: nearly always
    that it has been closed. It takes 2 µs."""
    readable = select.poll()
    readable.register(socket_of(driver).fileno(), select.POLLIN)
    return bool(readable.poll(0))
