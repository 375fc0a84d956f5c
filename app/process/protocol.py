"""How uvicorn receives HTTP, within limits that it doesn't have itself."""

import asyncio
import socket
from typing import Any

from app.process.upgrades import UpgradingProtocol

MAX_HEAD = 64 * 1024
"""The most bytes before the body of a request, besides those of the first read."""
ARRIVAL_SECONDS = 30.0
"""How long a client may take to send a request, and to start after it has connected."""


def why_not_listen(host: str, port: int) -> OSError | None:
    """Return why a server cannot listen there now; None if it can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failure:
            return failure
    return None


class Protocol(UpgradingProtocol):
    """One connection, which rejects a head that is too long and closes if a request takes too long to arrive."""

    _head: int | None = None
    """Bytes received of an incomplete head."""
    _is_arriving = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._is_arriving = False
        self._watch_arrival()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive data."""
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > MAX_HEAD:
            self._head = None
            self.send_400_response("The URL or the headers are too long.")
        self._watch_arrival()

    def on_message_begin(self) -> None:
        """Start a request."""
        self._head = 0
        self._is_arriving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Finish the head of a request."""
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Finish a request."""
        self._is_arriving = False
        super().on_message_complete()

    def _watch_arrival(self) -> None:
        """Set a deadline while a request arrives."""
        if self._is_arriving and self._deadline is None:
            self._deadline = self.loop.call_later(ARRIVAL_SECONDS, self.transport.close)
        elif not self._is_arriving and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
