"""What arrives at a server, byte by byte."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from app.process.connections import Connections
from app.process.protocol import MAX_HEAD, Protocol, _Joining
from tests.connections import LIMITS, PROTOCOLS, counting
from tests.graphql.subscriptions.clients import PATIENCE, serving, until
from tests.servers import served

PIECE = b"x" * 65_536
HEAD = b"POST /graphql HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def url(database_url: str) -> Iterator[str]:
    with served(DATABASE_URL=database_url) as (_, url):
        yield url


def connection_to(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def pieces_taken(connection: socket.socket, *pieces: bytes) -> int:
    """Send these until the server disconnects; return how many it accepted."""
    for taken, piece in enumerate(pieces):
        try:
            connection.sendall(piece)
        except ConnectionError:
            return taken
    return len(pieces)


@pytest.mark.parametrize("begin", [b"GET /graphql?query=", b"GET /graphql HTTP/1.1\r\nX-Header: "])
def test_a_head_without_end_is_not_kept(url: str, begin: bytes) -> None:
    with connection_to(url) as connection:
        assert pieces_taken(connection, begin, *[PIECE] * 1000) < 1000
    assert httpx2.get(f"{url}/livez").status_code == 200


def test_a_head_may_be_long(url: str) -> None:
    headers = {f"X-{number}": "x" * 1000 for number in range(MAX_HEAD // 1100)}
    assert httpx2.get(f"{url}/livez", headers=headers).status_code == 200


def test_a_body_is_no_head(url: str) -> None:
    """Neither in pieces nor before the head of the request that follows on the same connection."""
    body = b'{"query": "{ __typename }"}'.ljust(3 * MAX_HEAD)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connection_to(url) as connection, connection.makefile("rb") as answers:
        connection.sendall(request + request[:20])
        connection.sendall(request[20:50])
        connection.sendall(request[50:])
        for _ in range(2):
            lines = iter(answers.readline, b"\r\n")
            assert next(lines) == b"HTTP/1.1 200 OK\r\n"
            (length,) = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
            assert answers.read(length).startswith(b'{"data":{"__typename":"Query"}')


@pytest.mark.parametrize("header", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
def test_a_body_without_end_is_refused_before_it_has_come(url: str, header: bytes) -> None:
    with connection_to(url) as connection:
        connection.sendall(HEAD + header + b"\r\n\r\n")
        for _ in range(8):
            connection.sendall(b"10000\r\n" + PIECE + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


QUERY = b'{"query": "{ __typename }"}'
LENGTH = b"Content-Length: %d\r\n\r\n" % len(QUERY)
UPGRADES = {
    # What `curl --http2` sends.
    "curl": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    # What Java's HttpClient sends by default.
    "Java": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n",
    "a WebSocket by POST": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "a WebSocket with a body": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "several": b"Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: TLS/1.2, h2c\r\nUpgrade: IRC/6.9\r\n",
}


def responses(connection: socket.socket, number: int) -> list[tuple[bytes, bytes]]:
    """Return the status lines and bodies of this many responses."""
    found = []
    with connection.makefile("rb") as answers:
        for _ in range(number):
            status, *headers = iter(answers.readline, b"\r\n")
            (length,) = [int(line.split(b":")[1]) for line in headers if line.startswith(b"content-length")]
            found.append((status, answers.read(length)))
    return found


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("size", [1, 7, 100_000], ids=lambda size: f"in pieces of {size}")
def test_an_upgrade_that_is_not_taken_is_ignored(url: str, upgrade: bytes, size: int) -> None:
    request = HEAD + upgrade + LENGTH + QUERY
    sent = request + HEAD + LENGTH + QUERY + request
    with connection_to(url) as connection:
        for start in range(0, len(sent), size):
            connection.sendall(sent[start : start + size])
        found = responses(connection, 3)

    assert [status for status, _ in found] == [b"HTTP/1.1 200 OK\r\n"] * 3
    assert all(b'{"__typename":"Query"}' in body for _, body in found)


def test_many_upgrades_may_arrive_at_once(url: str) -> None:
    with connection_to(url) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" * 2_000)
        assert len(responses(connection, 2_000)) == 2_000


def test_an_upgrade_with_a_chunked_body_is_ignored(url: str) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in QUERY) + b"0\r\n\r\n"
    with connection_to(url) as connection:
        connection.sendall(HEAD + UPGRADES["Java"] + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        ((status, body),) = responses(connection, 1)

    assert status == b"HTTP/1.1 200 OK\r\n"
    assert b'{"__typename":"Query"}' in body


@pytest.mark.parametrize("target", [b"shop:443", b"/graphql"])
def test_a_tunnel_is_refused(url: str, target: bytes) -> None:
    with connection_to(url) as connection:
        connection.sendall(b"CONNECT " + target + b" HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert connection.recv(100).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 "))


def test_curl_may_ask_for_http_2(url: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl here")
    if "HTTP2" not in subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this curl has no HTTP/2")
    command = [curl, "--silent", "--http2", "--json", QUERY.decode(), f"{url}/graphql"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)

    assert json.loads(done.stdout)["data"] == {"__typename": "Query"}


JAVA = """
import java.net.*; import java.net.http.*;
class Query {
  public static void main(String[] given) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(given[0])).header("Content-Type", "application/json")
      .POST(HttpRequest.BodyPublishers.ofString(given[1])).build();
    System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    var old = (HttpURLConnection) new URL(given[0]).openConnection();
    old.setRequestProperty("Content-Type", "application/json");
    old.setDoOutput(true);
    old.getOutputStream().write(given[1].getBytes());
    System.out.println(new String(old.getInputStream().readAllBytes()));
  }
}
"""


def test_the_clients_of_java_work_without_options(url: str, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        pytest.skip("there is no Java here")
    source = tmp_path / "Query.java"
    source.write_text(JAVA)
    command = [java, str(source), f"{url}/graphql", QUERY.decode()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert [json.loads(line)["data"] for line in done.stdout.splitlines()] == [{"__typename": "Query"}] * 2


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads a request to its end."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})
    else:
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


@pytest.fixture
async def impatient() -> AsyncIterator[str]:
    """The address of a server that waits half a second for a request."""
    limits = LIMITS._replace(request_seconds=0.5)
    async with serving(counting(answer, Connections(limits)), **PROTOCOLS) as address:
        yield address


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", HEAD, HEAD + b"Content-Length: 10\r\n\r\n12345", b"GET / HTTP/1.1\r\n\r\nGET / HT"]
)
async def test_a_request_that_never_ends_ends_its_connection(impatient: str, sent: bytes) -> None:
    host, port = impatient.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).count(b"HTTP/1.1 200") == sent.count(b"GET / HTTP/1.1\r\n\r\n")
    writer.close()


async def test_nobody_is_waited_for_who_has_gone() -> None:
    gone: list[Protocol] = []

    class Noting(Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            gone.append(self)

    connections = Connections(LIMITS)
    async with serving(counting(answer, connections), http=Noting) as address:
        host, port = address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await until(lambda: len(gone) == 1)
    assert gone[0]._deadline is None
    assert len(connections) == 0


async def test_what_has_arrived_may_take_its_time(impatient: str) -> None:
    """A websocket, and a request on a connection that has been used."""
    async with connect(f"ws://{impatient}") as websocket, httpx2.AsyncClient(base_url=f"http://{impatient}") as client:
        await client.post("/", content=b"12345")
        await asyncio.sleep(1)
        await websocket.send("still here")
        assert await websocket.recv() == "still here"
        assert (await client.post("/", content=b"12345")).status_code == 200


@pytest.mark.parametrize("body", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_a_websocket_that_begins_with_a_body_is_a_request_like_any_other(url: str, body: bytes) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    with connection_to(url) as connection:
        connection.sendall(b"GET /graphql HTTP/1.1\r\nHost: shop\r\n" + upgrade + key + body)
        ((status, _),) = responses(connection, 1)
    assert status.split()[1] == b"400"


class Written:
    """A transport that takes note of what is written at once."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def writelines(self, data: tuple[bytes, ...]) -> None:
        self.pieces.append(b"".join(data))


OF_FIVE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
OF_ANY_LENGTH = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [
        ([OF_FIVE, b"hello"], [OF_FIVE + b"hello"]),
        ([OF_FIVE, b"he", b"llo"], [OF_FIVE + b"he", b"llo"]),
        ([OF_ANY_LENGTH, b"5\r\nhello\r\n"], [OF_ANY_LENGTH, b"5\r\nhello\r\n"]),
        ([CONTINUE, OF_FIVE, b"hello"], [CONTINUE, OF_FIVE, b"hello"]),
        ([OF_ANY_LENGTH, OF_FIVE], [OF_ANY_LENGTH, OF_FIVE]),
    ],
    ids=["a response", "the rest follows", "a stream, whose client waits", "after a continue", "a body like a head"],
)
def test_the_head_and_the_body_of_a_response_are_written_at_once(pieces: list[bytes], sent: list[bytes]) -> None:
    written: Any = Written()
    joining = _Joining(written)
    for piece in pieces:
        joining.write(piece)
    assert written.pieces == sent


def test_a_response_without_a_body_is_sent(url: str) -> None:
    assert httpx2.head(f"{url}/livez").status_code == 200
