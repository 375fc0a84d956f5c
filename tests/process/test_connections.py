"""How many connections a client may have, and how long the server waits for it."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Self

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.process import connections as connections_module
from app.process import protocol
from app.process.connections import Connections
from app.process.protocol import Protocol, WebSocketProtocol
from tests.connections import LIMITS, PROTOCOLS, counting
from tests.graphql.subscriptions.clients import PATIENCE, serving, until

CHUNK = 1024 * 1024
GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
POST = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\n"


seen_headers: list[tuple[bytes, bytes]] = []
"""The headers of the last request, as the application saw them in the end."""


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that sends as many megabytes as its path says, or echoes messages."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            with suppress(OSError):
                await send({"type": "websocket.send", "text": message["text"]})
        return
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        if message["type"] == "http.disconnect":
            return
    seen_headers[:] = scope["headers"]
    body = b"x" * int(float(scope["path"][1:] or 0) * CHUNK)
    headers = [
        (b"content-length", str(len(body)).encode()),
        *((b"connection", b"close"),) * bool(scope["query_string"]),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Line:
    """A connection of a client, which reads no further than it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> Self:
        self.writer.write(data)
        return self

    async def status(self) -> str:
        """Return the status of the next response."""
        async with asyncio.timeout(PATIENCE):
            return (await self.reader.readuntil(b"\r\n\r\n")).split()[1].decode()

    async def refusal(self) -> tuple[str, str]:
        """Return the status and the code that the server sends before it disconnects."""
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await self.reader.read()).decode().partition("\r\n\r\n")
        assert re.search(f"^Content-Length: {len(body)}\r$", head, re.MULTILINE)
        (error,) = json.loads(body)["errors"]
        status = head.split()[1]
        assert ("Retry-After: 1" in head) == (status != "408")
        return status, error["extensions"]["code"]


class Place:
    """Where a server listens."""

    def __init__(self, address: str, stack: AsyncExitStack) -> None:
        self.address = address
        self._stack = stack

    async def connect(self, host: str = "127.0.0.1", *, unread: int = 65_536) -> Line:
        """Connect from this address; close the connection in the end."""
        there, port = self.address.split(":")
        reader, writer = await asyncio.open_connection(there, int(port), local_addr=(host, 0), limit=unread)
        self._stack.callback(lambda: writer.transport.abort())  # which also keeps the writer from being collected
        return Line(reader, writer)


@asynccontextmanager
async def limited(connections: Connections) -> AsyncIterator[Place]:
    async with serving(counting(answer, connections), **PROTOCOLS) as address, AsyncExitStack() as stack:
        yield Place(address, stack)
        await stack.aclose()
        await until(lambda: len(connections) == 0)


async def test_a_client_has_so_many_connections_whatever_they_do() -> None:
    connections = Connections(LIMITS._replace(per_address=2))
    async with limited(connections) as place:
        first, _ = [await place.connect() for _ in range(2)]
        assert await (await place.connect()).refusal() == ("429", "CONNECTION_LIMIT")

        assert await (await place.connect("127.0.0.2")).send(GET).status() == "200"

        first.writer.close()
        await until(lambda: len(connections) == 2)
        assert await (await place.connect()).send(GET).status() == "200"
    assert connections.refused == {"client": 1}


async def test_who_is_refused_can_send_the_request_and_then_read_the_response() -> None:
    """What is sent to a connection that is closed resets it, and then a client fails while it is still sending."""

    def exchange(address: str) -> bytes:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            for part in (POST, b"12345", b"67890"):
                time.sleep(0.05)
                client.sendall(part)
            return client.recv(CHUNK)

    async with limited(Connections(LIMITS._replace(per_address=1))) as place:
        await place.connect()
        assert (await asyncio.to_thread(exchange, place.address)).startswith(b"HTTP/1.1 429 ")


async def test_few_linger_who_were_refused() -> None:
    connections = Connections(LIMITS._replace(per_address=1))
    async with limited(connections) as place:
        await place.connect()
        for _ in range(60):
            await place.connect()
        assert len(connections.lingering) == protocol._MOST_LINGERING
        await until(lambda: not connections.lingering)


async def test_a_process_has_so_many_connections_whosever_they_are() -> None:
    connections = Connections(LIMITS._replace(in_all=2))
    async with limited(connections) as place:
        for host in ("127.0.0.2", "127.0.0.3"):
            await place.connect(host)
        assert await (await place.connect()).refusal() == ("503", "OVERLOADED")
    assert connections.refused == {"all": 1}


async def test_an_address_has_at_most_half_of_the_connections() -> None:
    connections = Connections(LIMITS._replace(in_all=4))
    async with limited(connections) as place:
        for _ in range(2):
            await place.connect()
        assert await (await place.connect()).refusal() == ("429", "CONNECTION_LIMIT")
        assert await (await place.connect("127.0.0.2")).send(GET).status() == "200"
    assert connections.refused == {"site": 1}


CHUNKED = b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("endless", [b"X: y\r\n" * 2_000, b"x" * 8_000], ids=["many trailers", "one without end"])
async def test_trailers_are_limited(endless: bytes) -> None:
    async with limited(Connections(LIMITS)) as place:
        line = await place.connect()
        line.send(CHUNKED + b"1\r\na\r\n0\r\n")
        with suppress(ConnectionError):
            for _ in range(200):
                line.send(endless)
                await line.writer.drain()
        assert await line.status() == "400"


async def test_trailers_are_no_headers() -> None:
    async with limited(Connections(LIMITS)) as place:
        line = await place.connect()
        line.send(CHUNKED + b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        assert await line.status() == "200"
        assert not [name for name, _ in seen_headers if name == b"authorization"]


async def test_a_body_in_the_smallest_chunks_is_received() -> None:
    async with limited(Connections(LIMITS)) as place:
        line = await place.connect()
        for _ in range(20):
            line.send((CHUNKED if _ == 0 else b"") + b"1\r\na\r\n" * 2_000)
            await line.writer.drain()
        assert await line.send(b"0\r\n\r\n").status() == "200"


async def test_a_message_has_so_many_fragments() -> None:
    async with limited(Connections(LIMITS)) as place:
        line = await place.connect()
        assert await line.send(UPGRADE).status() == "101"
        mask = bytes(4)
        line.send(b"\x01\x80" + mask + (b"\x00\x80" + mask) * 1_000)
        async with asyncio.timeout(PATIENCE):
            received = await line.reader.read()
        assert received[:4] == b"\x88\x02\x03\xf1"  # closed with 1009


@pytest.mark.parametrize("opcode", [b"\x89", b"\x8a", b"\x81", b"\x82"], ids=["pings", "pongs", "texts", "binaries"])
async def test_who_floods_a_websocket_with_frames_is_cut_off(opcode: bytes) -> None:
    async with limited(Connections(LIMITS)) as place:
        line = await place.connect()
        assert await line.send(UPGRADE).status() == "101"
        line.send((opcode + b"\x80" + bytes(4)) * (connections_module._MOST_FRAMES + 1))
        async with asyncio.timeout(PATIENCE):
            received = await line.reader.read()
        assert received.replace(b"\x8a\x00", b"") == b"\x88\x02\x03\xf0"  # closed with 1008


async def test_the_frames_of_all_websockets_of_a_client_are_counted() -> None:
    async with limited(Connections(LIMITS)) as place:
        lines = [await place.connect() for _ in range(3)]
        stranger = await place.connect("127.0.0.2")
        for line in (*lines, stranger):
            assert await line.send(UPGRADE).status() == "101"
            line.send(b"\x8a\x80\0\0\0\0" * 900)
        async with asyncio.timeout(PATIENCE):
            assert await lines[2].reader.read() == b"\x88\x02\x03\xf0"
        stranger.send(b"\x89\x80\0\0\0\0")
        async with asyncio.timeout(PATIENCE):
            assert await stranger.reader.readexactly(2) == b"\x8a\0"


async def test_of_a_flood_only_so_many_frames_are_parsed_as_have_to_be_counted() -> None:
    parsed: list[bytes] = []

    class Noting(WebSocketProtocol):
        def handle_pong(self, event: Any) -> None:
            super().handle_pong(event)
            parsed.append(event.data)

    async with (
        serving(counting(answer, Connections(LIMITS)), http=Protocol, ws=Noting) as address,
        AsyncExitStack() as stack,
    ):
        line = await Place(address, stack).connect()
        assert await line.send(UPGRADE).status() == "101"
        line.send(b"\x8a\x80\0\0\0\0" * 40_000)
        with suppress(ConnectionError):
            await line.reader.read()
    assert connections_module._MOST_FRAMES < len(parsed) < 2 * connections_module._MOST_FRAMES


@pytest.mark.parametrize(
    ("last", "code"),
    [(b"\x8a\x80\0\0\0\0" * 3_000, b"\x03\xf0"), (b"\x81\x81\0\0\0\0\xff", b"\x03\xef")],
    ids=["flood", "no text"],
)
async def test_who_is_cut_off_while_being_answered_is_no_failure(
    last: bytes, code: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with limited(Connections(LIMITS)) as place:
        line = await place.connect()
        assert await line.send(UPGRADE).status() == "101"
        line.send(b"\x81\x80\0\0\0\0" * 10 + last)
        with suppress(ConnectionError):
            assert (await line.reader.read()).endswith(b"\x88\x02" + code)
    assert "Exception in ASGI application" not in caplog.text


async def test_a_websocket_is_the_connection_that_it_was() -> None:
    connections = Connections(LIMITS._replace(per_address=1))
    async with limited(connections) as place:
        async with connect(f"ws://{place.address}"):
            assert await (await place.connect()).refusal() == ("429", "CONNECTION_LIMIT")
        await until(lambda: len(connections) == 0)
        assert await (await place.connect()).send(GET).status() == "200"


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.1, 127.0.0.0/8", "*"])
async def test_the_connections_of_a_proxy_are_not_its_own(proxies: str) -> None:
    connections = Connections(LIMITS._replace(per_address=1), proxies)
    async with limited(connections) as place:
        assert [await (await place.connect()).send(GET).status() for _ in range(3)] == ["200"] * 3


@pytest.mark.parametrize("sent", [b"GET / HT", POST, POST + b"12345", GET + b"GET / HT", GET + POST + b"12345"])
async def test_a_request_that_arrives_too_slowly_is_told_so(sent: bytes) -> None:
    connections = Connections(LIMITS._replace(request_seconds=0.3))
    async with limited(connections) as place:
        line = await place.connect()
        if sent.startswith(GET):
            assert await line.send(GET).status() == "200"
        assert await line.send(sent.removeprefix(GET)).refusal() == ("408", "REQUEST_TIMEOUT")
    assert connections.timed_out == {"request": 1}


async def test_a_connection_is_not_kept_for_empty_lines() -> None:
    """Which are no request, though something has arrived."""
    connections = Connections(LIMITS._replace(request_seconds=0.3))
    async with limited(connections) as place:
        line = await place.connect()
        assert await line.send(GET).status() == "200"
        async with asyncio.timeout(PATIENCE):
            assert await line.send(b"\r\n").reader.read() == b""


@pytest.mark.parametrize("path", [b"/16", b"/16?close"])
async def test_who_does_not_read_a_response_is_cut_off(path: bytes) -> None:
    connections = Connections(LIMITS._replace(response_seconds=0.3))
    async with limited(connections) as place:
        (await place.connect(unread=1)).send(GET.replace(b"/", path, 1))
        await until(lambda: len(connections) == 1)
        await until(lambda: len(connections) == 0)
    assert connections.timed_out == {"response": 1}


async def test_who_reads_slowly_but_goes_on_is_sent_everything() -> None:
    connections = Connections(LIMITS._replace(response_seconds=0.3))
    async with limited(connections) as place:
        line = (await place.connect(unread=CHUNK)).send(GET.replace(b"/", b"/40", 1))
        assert await line.status() == "200"
        for _ in range(10):
            await line.reader.readexactly(4 * CHUNK)
            await asyncio.sleep(0.15)
    assert not connections.timed_out


async def test_the_kernel_gives_up_where_so_little_is_unread_that_nobody_waits_for_it() -> None:
    """Also a connection that the server has closed."""
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("only Linux can")
    accepted: list[socket.socket] = []

    class Noting(Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            accepted.append(transport.get_extra_info("socket"))

    connections = Connections(LIMITS._replace(response_seconds=7))
    async with serving(counting(answer, connections), http=Noting) as address, AsyncExitStack() as stack:
        await Place(address, stack).connect()
        await until(lambda: len(accepted) == 1)
        assert accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 14_000


async def test_who_reads_no_messages_is_cut_off() -> None:
    connections = Connections(LIMITS._replace(response_seconds=0.3))
    async with limited(connections) as place:
        async with connect(f"ws://{place.address}", max_queue=1, compression=None) as websocket:
            websocket.transport.pause_reading()
            with suppress(ConnectionClosed):
                while True:
                    await websocket.send("x" * 500_000)
        await until(lambda: len(connections) == 0)
    assert connections.timed_out == {"response": 1}


async def test_pings_of_who_reads_no_answers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_MOST_FRAMES", 1_000_000)  # slow enough to be no flood
    opened: list[WebSocketProtocol] = []

    class Noting(WebSocketProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            opened.append(self)

    connections = Connections(LIMITS)
    async with serving(counting(answer, connections), http=Protocol, ws=Noting) as address, AsyncExitStack() as stack:
        line = await Place(address, stack).connect(unread=1)
        line.send(UPGRADE)
        await until(lambda: len(opened) == 1)
        for _ in range(20):
            line.send(b"\x89\xfd\0\0\0\0".ljust(131, b"x") * 10_000)
            await line.writer.drain()
        assert not opened[0].writable.is_set()
        assert opened[0].transport.get_write_buffer_size() < CHUNK
