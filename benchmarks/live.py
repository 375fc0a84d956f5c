"""Measure how soon subscribers receive events, and what each of them costs: `python -m benchmarks.live`.

Another process of the API makes the changes. A delay is from the request that changes a product to the event of it."""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.__main__ import database_server
from benchmarks.contestants import APP, Request
from benchmarks.database import opened
from benchmarks.figures import percentile
from benchmarks.load import ask
from benchmarks.load import connect as connect_to
from benchmarks.processes import cpu_seconds, pin, resident_megabytes, split_cores
from benchmarks.report import aligned
from benchmarks.scenarios import CUSTOMER, SUPERUSER
from benchmarks.servers import Server, served
from benchmarks.sql import dsn_of
from tools.bulk import Size

DATABASE = "orders_benchmark_live"
BATCHES = 20  # per second, if each subscriber has events of its own
HEADINGS = ("subscribers", "follow", "p50 ms", "p99 ms", "max ms", "received", "server CPU %", "KB each")
_PRODUCT = "name stock price { amount currency }"
QUERY = f"subscription ($id: ID!) {{ productUpdated(productId: $id) {{ product {{ {_PRODUCT} }} }} }}"
# The price counts the events, so that each subscriber knows which one it has received.
CHANGE = "mutation ($input: UpdateProductsInput!) { updateProducts(input: $input) { __typename } }"


@dataclass
class Watch:
    """When each change was requested, and how long after that subscribers received the event."""

    requested: dict[tuple[str, int], float] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)

    def received(self, product: str, number: int) -> None:
        """Record that a subscriber has received the event now."""
        if (moment := self.requested.get((product, number))) is not None:
            self.delays.append((time.perf_counter() - moment) * 1_000)


async def measure(
    server_url: str, name: str, subscribers: int, seconds: int, core: set[int] | None = None
) -> Sequence[Sequence[str]]:
    """Return the figures with all subscribers following one product, and with each following its own."""
    size = Size(stores=10, products=max(400, subscribers), orders=50)
    most = str(subscribers + 1)  # one that warms up
    limits = {f"{what}_PER_{whom}": most for what in ("SUBSCRIPTIONS", "CONNECTIONS") for whom in ("USER", "ADDRESS")}
    limits |= {"ANONYMOUS_SUBSCRIPTIONS": most, "CONNECTIONS_PER_PROCESS": str(2 * (subscribers + 10))}
    app = replace(APP, environment={**APP.environment, **limits})
    rows: list[Sequence[str]] = [HEADINGS]
    async with opened(server_url, name, size) as database:
        tokens = (await database.world()).tokens
        connection = await asyncpg.connect(dsn_of(database.url))
        found = await connection.fetch("SELECT id FROM products WHERE deleted_at IS NULL LIMIT $1", subscribers)
        await connection.close()
        keys = [row["id"] for row in found]
        for what, followed, headers in (
            ("the same", keys[:1] * subscribers, {}),
            ("their own", keys, {"Authorization": f"Bearer {tokens[CUSTOMER]}"}),
        ):
            async with served(app, database.url, core) as server, served(APP, database.url) as other:
                writer = Writer(other, tokens[SUPERUSER])
                rows.append((str(subscribers), what, *await _round(server, writer, followed, headers, seconds)))
    return rows


async def _round(
    server: Server, writer: "Writer", keys: Sequence[Any], payload: Mapping[str, str], seconds: int
) -> Sequence[str]:
    """Return the figures of one round."""
    watch = Watch()
    warm = await _subscribed(server.port, keys[0], payload)
    before = resident_megabytes(server.pid) or 0
    sockets = [await _subscribed(server.port, key, payload) for key in keys]
    await asyncio.sleep(1)
    each = ((resident_megabytes(server.pid) or 0) - before) * 1_024 / len(keys)
    for socket, key in zip(sockets, keys, strict=True):
        socket.transport.set_protocol(_Reader(str(key), watch))
    cpu = cpu_seconds(server.pid) or 0
    begun = time.perf_counter()
    await writer.write(list(dict.fromkeys(keys)), seconds, watch)
    await asyncio.sleep(1)
    used = 100 * ((cpu_seconds(server.pid) or 0) - cpu) / (time.perf_counter() - begun - 1)
    for socket in (warm, *sockets):
        socket.transport.abort()
    delays, expected = sorted(watch.delays), len(keys) * seconds
    figures = [f"{percentile(delays, share):.1f}" for share in (0.5, 0.99)]
    return (*figures, f"{delays[-1]:.1f}", f"{len(delays)}/{expected}", f"{used:.0f}", f"{each:.0f}")


async def _subscribed(port: int, key: Any, payload: Mapping[str, str]) -> ClientConnection:
    """Return a WebSocket that has received the current state."""
    socket = await connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")])
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    await socket.recv()
    operation = {"query": QUERY, "variables": {"id": f"Product_{key}"}}
    await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": operation}))
    first = json.loads(await socket.recv())
    assert first["type"] == "next", first
    return socket


class _Reader(asyncio.Protocol):
    """Reads the messages of a WebSocket. That of the library takes longer for each than the server does to send it."""

    def __init__(self, key: str, watch: Watch) -> None:
        self._key = key
        self._watch = watch
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Record the events that have arrived: each is a frame of less than 64 kB that isn't masked."""
        received = self._received + data
        while len(received) >= 4:
            is_long = received[1] == 126
            start = 4 if is_long else 2
            end = start + (int.from_bytes(received[2:4]) if is_long else received[1])
            if len(received) < end:
                break
            product = orjson.loads(received[start:end])["payload"]["data"]["productUpdated"]["product"]
            self._watch.received(self._key, int(float(product["price"]["amount"])))
            received = received[end:]
        self._received = received


class Writer:
    """Changes products through a process of the API."""

    def __init__(self, server: Server, token: str) -> None:
        self._server = server
        self._token = token

    async def write(self, keys: Sequence[Any], seconds: int, watch: Watch) -> None:
        """Change each product once a second, in batches with a mutation each."""
        connection = await connect_to(self._server.port)
        size = -(-len(keys) // BATCHES)
        batches = [keys[start : start + size] for start in range(0, len(keys), size)]
        begun, first = time.perf_counter(), int(time.time())  # never a price that a product has from an earlier round
        for number in range(seconds):
            for place, batch in enumerate(batches):
                await asyncio.sleep(max(0, begun + number + place / len(batches) - time.perf_counter()))
                watch.requested |= {(str(key), first + number): time.perf_counter() for key in batch}
                await ask(connection, self._change(batch, first + number))
        connection.close()

    def _change(self, keys: Sequence[Any], price: int) -> bytes:
        products = [{"id": f"Product_{key}", "price": str(price)} for key in keys]
        variables = {"input": {"products": products}}
        return Request("/graphql", {"query": CHANGE, "variables": variables}).encoded(self._token)


def main(
    subscribers: Annotated[int, typer.Option(min=1, help="Number of subscribers.")] = 1_000,
    seconds: Annotated[int, typer.Option(min=1, help="Duration, with one event per subscriber every second.")] = 15,
) -> None:
    """Measure how soon subscribers of one process receive changes, and how much memory each takes."""
    cores = split_cores()
    if cores is not None:
        pin(os.getpid(), cores[1])
    with database_server() as url:
        rows = asyncio.run(measure(url, DATABASE, subscribers, seconds, cores and cores[0]))
    typer.echo("\n" + aligned(rows))


if __name__ == "__main__":
    typer.run(main)
