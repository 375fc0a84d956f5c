"""Crowds of clients that hold connections or read nothing: others are served, and the process doesn't grow."""

import asyncio
import json
import re
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Product
from app.events.catalog import Topic
from tests.databases import committed
from tests.events import legacy_text
from tests.graphql.subscriptions.clients import PATIENCE, connected
from tests.market import Market, gid
from tests.servers import started

FOLLOW = "subscription ($id: ID!) { productUpdated(productId: $id) { product { price { amount } } } }"
LARGE = " ".join(f"d{number}: description" for number in range(30))
FEW_FILES = ["sh", "-c", f"ulimit -n 256 && exec {sys.executable} -m app serve --end-with-parent"]
SERVE = [sys.executable, "-m", "app", "serve", "--end-with-parent"]


@pytest.fixture
async def product(committed_market: Market) -> Product:
    return await committed_market.product(description="x" * 10_000)


def crowd(stack: ExitStack, url: str, number: int, sent: bytes) -> int:
    """Connect so often and send this; return how many connections are still open."""
    host, port = url.removeprefix("http://").split(":")
    opened = []
    for _ in range(number):
        line = stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
        line.sendall(sent)
        opened.append(line)
    return sum(not _is_refused(line) for line in opened)


def _is_refused(line: socket.socket) -> bool:
    line.settimeout(0.01)
    try:
        return not (received := line.recv(20)) or b" 429 " in received
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def followed(product: Product, selection: str) -> bytes:
    """Return the request for a stream of events of this product."""
    query = f'subscription {{ productUpdated(productId: "{gid(product)}") {{ product {{ {selection} }} }} }}'
    body = json.dumps({"query": query}).encode()
    head = "POST /graphql HTTP/1.1\r\nHost: shop\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def test_a_crowd_from_one_address_keeps_nobody_out(product: Product, database_url: str) -> None:
    """220 sockets that do nothing and 174 streams of events, where the process may have 256 files open."""
    with started(FEW_FILES, DATABASE_URL=database_url) as (server, url), ExitStack() as stack:
        idle = crowd(stack, url, 220, b"")
        streams = crowd(stack, url, 174, followed(product, "name"))
        assert idle + streams <= 91

        local = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx2.AsyncClient(transport=local, base_url=url) as client:
            assert (await client.post("/graphql", json={"query": "{ __typename }"})).status_code == 200
        async with connected(url.removeprefix("http://"), local_addr=("127.0.0.2", 0)) as follower:
            await follower.subscribe(FOLLOW, {"id": gid(product)})
            await follower.next()
        server.terminate()
        _, output = server.communicate(timeout=PATIENCE)
    assert "the system allows 182 connections per process instead of 5,000, 91 of them per address" in output


async def figures(url: str) -> Callable[[str], float]:
    """Return a function that returns a metric."""
    async with httpx2.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text

    def figure(name: str) -> float:
        (value,) = re.findall(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)
        return float(value)

    return figure


async def test_who_reads_nothing_is_cut_off_and_the_process_does_not_grow(
    committed_engine: AsyncEngine, product: Product, database_url: str
) -> None:
    """20 streams, and 20 subscriptions on one WebSocket, are sent 700 MB in all; each event has 300 kB."""
    event = legacy_text(Topic("Product", product.id))
    with started(SERVE, DATABASE_URL=database_url, RESPONSE_TIMEOUT_SECONDS="2") as (_, url), ExitStack() as stack:
        await figures(url)  # what the first one takes may stay
        before = (await figures(url))("process_resident_memory_bytes")
        crowd(stack, url, 20, followed(product, LARGE))
        async with connected(url.removeprefix("http://"), max_queue=1, compression=None) as unread:
            unread.websocket.transport.pause_reading()
            for number in range(20):
                query = FOLLOW.replace("price { amount }", LARGE)
                await unread.subscribe(query, {"id": gid(product)}, id=str(number))
            grown, subscribers = [], []
            for _ in range(60):
                await committed(committed_engine, "SELECT pg_notify('orders_api', :event)", event=event)
                figure = await figures(url)
                grown.append(figure("process_resident_memory_bytes") - before)
                subscribers.append(figure("orders_api_subscribers"))
            async with asyncio.timeout(PATIENCE):
                while (figure := await figures(url))("orders_api_subscribers"):
                    pass
            assert figure('orders_api_connections_timed_out_total{what="response"}') == 21
            assert max(subscribers) == 40
            assert max(grown) < 100_000_000
            unread.websocket.transport.abort()
