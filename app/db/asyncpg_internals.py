"""The private parts of asyncpg that this API uses; a test fails if a new version moves them."""

import select
import socket
from typing import Any


def socket_of(driver: Any) -> socket.socket:
    """Return the socket of a connection, for its keep-alive options: asyncpg has no public access to it."""
    connected: socket.socket = driver._transport.get_extra_info("socket")
    return connected


def has_unread(driver: Any) -> bool:
    """Return whether an idle connection has received something that the event loop hasn't noticed yet: nearly always
    that it has been closed. It takes 2 µs."""
    readable = select.poll()
    readable.register(socket_of(driver).fileno(), select.POLLIN)
    return bool(readable.poll(0))
