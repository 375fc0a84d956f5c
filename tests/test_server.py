"""What arrives at a server, byte by byte."""

import socket
from collections.abc import Iterator

import httpx2
import pytest

from app.server import MAX_HEAD
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
    """Send these until the server hangs up; return how many it took."""
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
