"""How HTTP is received: by uvicorn, within limits of which it knows nothing."""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
"""Bytes of a request before its body, beside the first that arrive."""
ARRIVAL_SECONDS = 30.0
"""How long a client may take to send a request, and to begin after it has connected."""


def why_not_listen(host: str, port: int) -> OSError | None:
    """Return why nobody could listen there now, None where one can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failure:
            return failure
    return None


class Protocol(HttpToolsProtocol):
    """One connection. No request on it has a head without end, which uvicorn would keep, or takes for ever to come."""

    _head: int | None = None
    """How much has come of a head that is not complete."""
    _is_arriving = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._is_arriving = False
        self._watch_arrival()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > MAX_HEAD:
            self._head = None
            self.send_400_response("The URL or the headers are too long.")
        self._watch_arrival()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._head = 0
        self._is_arriving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin its body."""
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End it."""
        self._is_arriving = False
        super().on_message_complete()

    def _watch_arrival(self) -> None:
        """Keep a deadline while a request arrives; most come at once, and need none."""
        if self._is_arriving and self._deadline is None:
            self._deadline = self.loop.call_later(ARRIVAL_SECONDS, self.transport.close)
        elif not self._is_arriving and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
