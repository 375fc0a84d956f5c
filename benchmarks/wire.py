"""Counts the statements that a server sends to Postgres with a proxy, which works for every driver."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import make_url

_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
_RUNS_SQL = (b"Q", b"E")  # Query, whatever it holds, and Execute


@dataclass
class Counter:
    """The number of statements that passed a proxy, and the URL of Postgres through it."""

    url: str
    statements: int = 0


@asynccontextmanager
async def counted(database_url: str) -> AsyncIterator[Counter]:
    """Forward connections to the Postgres of a URL, unencrypted, and count statements."""
    counter = Counter(database_url)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _pass_on(counter, database_url, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = make_url(database_url).set(host="127.0.0.1", port=port, query={})
    counter.url = url.render_as_string(hide_password=False)
    try:
        yield counter
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(
    counter: Counter, database_url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    upstream_reader, upstream_writer = await _connect(database_url)
    back = asyncio.create_task(_copy(upstream_reader, writer))
    try:
        first = await _sized(reader)  # the first message has no type
        if first == _SSL_REQUEST:
            writer.write(b"N")
            first = await _sized(reader)
        upstream_writer.write(first)
        while True:
            kind = await reader.readexactly(1)
            counter.statements += kind in _RUNS_SQL
            upstream_writer.write(kind + await _sized(reader))
            await upstream_writer.drain()
    finally:
        upstream_writer.close()
        back.cancel()


async def _connect(database_url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = make_url(database_url)
    host = url.host or str(url.query.get("host", "127.0.0.1"))
    port = url.port or int(str(url.query.get("port", 5432)))
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


async def _sized(reader: asyncio.StreamReader) -> bytes:
    """Read the rest of a message: its length, which includes itself, and the content."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length) - 4)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
    writer.close()
