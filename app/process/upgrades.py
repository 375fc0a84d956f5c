"""Requests to change the protocol: a WebSocket is opened, and any other request is served in HTTP/1.1 (RFC 9110, 7.8).

The parser takes the rest of a request that asks for another protocol to be in it, so the body would be lost. curl and
Java's HttpClient ask for HTTP/2 with every request."""

from typing import Any

from app.process.uvicorn_internals import HttpParserUpgrade, HttpRequestParser, HttpToolsProtocol


class _Parser(HttpRequestParser):
    """uvicorn's parser, which goes on with a request whose upgrade isn't taken."""

    def __init__(self, protocol: "UpgradingProtocol") -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: Any) -> None:
        """Parse data; HttpParserUpgrade if a WebSocket follows."""
        while True:  # several requests may arrive at once
            try:
                return super().feed_data(data)
            except HttpParserUpgrade as upgrade:
                head = self._protocol.head_to_go_on_with()
                if head is None:
                    raise
                data = head + data[upgrade.args[0] :]


class UpgradingProtocol(HttpToolsProtocol):
    """A connection that changes to WebSockets and to nothing else."""

    _is_declined = False
    """Whether the head that is being parsed asks for an upgrade that isn't taken."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parser = _Parser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head will be parsed again."""
        # CONNECT asks for a tunnel without naming a protocol, and is refused like any unknown method.
        is_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        self._is_declined = is_upgrade and not self._should_upgrade()
        if not self._is_declined:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Finish the request, unless its head will be parsed again."""
        if not self._is_declined:
            super().on_message_complete()

    def head_to_go_on_with(self) -> bytes | None:
        """Return the head of the request as if it hadn't asked for an upgrade; None if that is taken, or a tunnel."""
        if not self._is_declined:
            return None
        target = self.parser.get_method() + b" " + self.url
        lines = [target + b" HTTP/" + self.parser.get_http_version().encode()]
        lines += (name + b": " + value for name, value in self.headers if name != b"upgrade")
        return b"\r\n".join([*lines, b"", b""])

    def _should_upgrade(self) -> bool:
        """Return whether the client opens a WebSocket, which it does by GET and without a body (RFC 6455, 4.1)."""
        asked = [value.lower() for name, value in self.headers if name == b"upgrade"]
        lengths = [value for name, value in self.headers if name in (b"content-length", b"transfer-encoding")]
        has_body = any(value != b"0" for value in lengths)
        return self.parser.get_method() == b"GET" and asked == [b"websocket"] and not has_body
