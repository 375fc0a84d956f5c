"""How uvicorn receives HTTP and WebSockets, within limits that it doesn't have itself."""

import asyncio
import json
import socket
from http import HTTPStatus
from typing import Any, cast

from app.errors import RequestError, RequestTooSlow
from app.process.connections import CONNECTION, CONNECTIONS, Connection, Connections
from app.process.upgrades import UpgradingProtocol
from app.process.uvicorn_internals import WebSocketsSansIOProtocol
from app.wake import Inbox

MAX_HEAD = 64 * 1024
"""The most bytes before the body of a request, besides those of the first read."""
_FRAMING_OF_BYTE = 8  # with the byte: in a chunk of its own, it takes six
_MOST_FRAGMENTS = 1_000  # of one message
_SLICE = 2 * 1024  # bytes, hence at most 340 frames, parsed before they are counted
_LINGER_SECONDS, _MOST_LINGERING = 1.0, 50
_LENGTH = b"\r\ncontent-length: "
_POLICY_VIOLATION, _TOO_BIG = 1008, 1009


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
    """One connection, which is refused where there are too many, rejects a head that is too long, and closes if a
    request takes too long to arrive, or the client to read a response."""

    _connection: Connection | None = None
    """None if it was refused."""
    _head: int | None = None
    """Bytes received of an incomplete head."""
    _framing = 0
    """Bytes received after the head beyond those that its body may take: lines between chunks, and trailers."""
    _is_arriving = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start waiting for the first request, unless there are too many connections."""
        super().connection_made(transport)
        self._connections: Connections = self.app_state[CONNECTIONS]
        try:
            self._connection = self._connections.open(transport, self.client[0] if self.client else "")
        except RequestError as refusal:
            self._refuse(refusal)
            self._linger()
            return
        self.app_state = {**self.app_state, CONNECTION: self._connection}
        _give_up_unread(transport, 2 * self._connections.limits.response_seconds)
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._is_arriving = False
        self._watch_arrival()
        if self._connection is not None:
            self._connection.close()
        self._connections.lingering.discard(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        if self._connection is not None:
            self._connection.pause()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._connection is not None:
            self._connection.resume()

    def data_received(self, data: bytes) -> None:
        """Receive data."""
        if self._connection is None:
            return
        if self._head is not None:
            self._head += len(data)
        else:
            self._framing += len(data)
        idle, request = self.timeout_keep_alive_task, self.scope
        super().data_received(data)
        if idle is not None and self.scope is request:  # an empty line ends the idle time, but begins no request
            self._is_arriving = True
        if self._head is not None and self._head > MAX_HEAD:
            self._head = None
            self.send_400_response("The URL or the headers are too long.")
        if self._is_arriving and self._framing > MAX_HEAD:
            self._is_arriving = False
            if self.cycle.response_started:
                self.transport.close()
            else:
                self.send_400_response("The trailers are too long.")
        self._watch_arrival()

    def on_message_begin(self) -> None:
        """Start a request."""
        self._head = 0
        self._is_arriving = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of a request. Trailers are dropped: nothing here knows any (RFC 9110, 6.5.1)."""
        if self._head is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Finish the head of a request."""
        self._head, self._framing = None, 0
        former = self.cycle
        super().on_headers_complete()
        if self.cycle is not former and self.scope["method"] != "HEAD":  # whose response has no body to wait for
            self.cycle.transport = cast(asyncio.Transport, _Joining(self.transport))

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body."""
        self._framing -= _FRAMING_OF_BYTE * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish a request."""
        self._is_arriving = False
        super().on_message_complete()

    def _watch_arrival(self) -> None:
        """Set a deadline while a request arrives."""
        if self._is_arriving and self._deadline is None:
            self._deadline = self.loop.call_later(self._connections.limits.request_seconds, self._give_up)
        elif not self._is_arriving and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Disconnect a client whose request takes too long to arrive, and say so if it is waiting for a response."""
        self._connections.timed_out["request"] += 1
        is_free = self.cycle is None or self.cycle.response_complete
        if (is_free and self._head is not None) or not (is_free or self.cycle.response_started):
            self._refuse(RequestTooSlow())
        self.transport.close()

    def _refuse(self, refusal: RequestError) -> None:
        """Send a response without a request."""
        status = HTTPStatus(refusal.status or HTTPStatus.BAD_REQUEST)
        body = json.dumps({"errors": [{"message": str(refusal), "extensions": refusal.extensions}]}).encode()
        retry = "" if refusal.retry_after is None else f"Retry-After: {refusal.retry_after}\r\n"
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)

    def _linger(self) -> None:
        """Disconnect once the client has, or after a while: what it is sending would reset the connection, and then it
        may never read the response. Where many linger, at once: they hold files."""
        if self.transport.can_write_eof() and len(self._connections.lingering) < _MOST_LINGERING:
            self._connections.lingering.add(self)
            self.transport.write_eof()
            self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


class _Joining:
    """Where a response is written. Its head, if its body follows at once, is sent together with that: a system call of
    its own takes 8 µs, an eighth of a small request."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._is_first = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data, or keep a head of which the body has a length."""
        if self._is_first and _LENGTH in data:
            self._head = data
        elif self._head is not None:
            self._transport.writelines((self._head, data))
            self._head = None
        else:
            self._transport.write(data)
        self._is_first = False


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket, and closes if the client takes too long to read."""

    _connection: Connection

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.queue: Inbox[Any] = Inbox()  # type: ignore[assignment]  # uvicorn uses no other part of asyncio's

    def connection_made(self, transport: Any) -> None:
        """Take the connection over."""
        super().connection_made(transport)
        self._connection = self.app_state[CONNECTION]

    def start_keepalive(self) -> None:
        """Begin to ping the client. The handshake is over: forget what it was, a tenth of what a subscriber takes."""
        super().start_keepalive()
        del self.request, self.response

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._connection.close()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._connection.pause()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        self._connection.resume()

    def data_received(self, data: bytes) -> None:
        """Receive data. A read has up to 256 kB, which can be 40,000 frames."""
        for start in range(0, len(data), _SLICE):
            if not self.transport.is_closing():
                super().data_received(data[start : start + _SLICE])

    def handle_text(self, event: Any) -> None:
        """Take a message, or its first fragment."""
        if self._has_few_frames():
            super().handle_text(event)

    def handle_bytes(self, event: Any) -> None:
        """Take a binary message, or its first fragment."""
        if self._has_few_frames():
            super().handle_bytes(event)

    def handle_cont(self, event: Any) -> None:
        """Take a fragment of a message, unless there are too many: each takes memory, also an empty one."""
        if len(self.frames) >= _MOST_FRAGMENTS:
            self._cut_off(_TOO_BIG)
        elif self._has_few_frames():
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer a ping, unless the client reads no answers; they would pile up."""
        if self._has_few_frames() and self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_pong(self, event: Any) -> None:
        """Take a pong."""
        if self._has_few_frames():
            super().handle_pong(event)

    def handle_parser_exception(self) -> None:
        """Close where the client breaks the protocol, or our limits. For what is still being sent, it has left."""
        self.disconnected = True
        super().handle_parser_exception()

    def _has_few_frames(self) -> bool:
        """Count a frame, and cut off a client that floods the server with them."""
        if not self._connection.has_few_frames():
            self._cut_off(_POLICY_VIOLATION)
        return not self.close_sent

    def _cut_off(self, code: int) -> None:
        """Close with this code, and read no further."""
        if not self.close_sent:
            self.conn.send_close(code)
            self.handle_parser_exception()


def _give_up_unread(transport: Any, seconds: float) -> None:
    """Have the kernel drop a connection whose client reads nothing, where it can: also one that is being closed, and
    of which so little is unread that nobody waits for it."""
    connected = transport.get_extra_info("socket")
    if connected is not None and hasattr(socket, "TCP_USER_TIMEOUT") and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))
