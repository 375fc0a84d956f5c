"""How HTTP is received: by uvicorn, within a limit of which it knows nothing."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
"""Bytes of a request before its body, beside the first that arrive."""


class Protocol(HttpToolsProtocol):
    """One connection, on which no request has a head without end: uvicorn would keep all of it."""

    _head: int | None = None
    """How much has come of a head that is not complete."""

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > MAX_HEAD:
            self._head = None
            self.send_400_response("The URL or the headers are too long.")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin its body."""
        self._head = None
        super().on_headers_complete()
