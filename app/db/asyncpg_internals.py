"""The private parts of asyncpg that this API uses; a test fails if a new version moves them."""

import socket
from typing import Any


def socket_of(driver: Any) -> socket.socket:
    """Return the socket of a connection, for its keep-alive options: asyncpg has no public access to it."""
    connected: socket.socket = driver._transport.get_extra_info("socket")
    return connected
