"""The clients from npm, against several processes on one database."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from queue import Queue
from threading import Thread
from typing import Any

import httpx2
import pytest

from app.db.models import Product, User
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from tests.graphql.subscriptions.clients import PATIENCE
from tests.graphql.subscriptions.operations import SET_STOCK
from tests.market import Market, gid
from tests.node import node_command
from tests.servers import free_port, served

SECRET = "a-secret-of-more-than-32-characters-for-tests"

Told = dict[str, Any]


class Clients:
    """A process of Node with several clients, all of which follow one product."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._told: Queue[Told] = Queue()
        assert process.stdout is not None
        self._lines = process.stdout
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._lines:
            if line.endswith("\n"):  # the last one may be cut off
                self._told.put(json.loads(line))

    def read_to_the_end(self) -> None:
        """Return once the process, which has ended, has said nothing more."""
        self._reader.join()

    def wait_for(self, number: int, expected: Callable[[Told], bool]) -> list[Told]:
        """Wait until so many clients were told what is expected; return all that was told until then."""
        told: list[Told] = []
        satisfied: set[str] = set()
        while len(satisfied) < number:
            told.append(self._told.get(timeout=PATIENCE))
            if expected(told[-1]):
                satisfied.add(told[-1]["client"])
        return told


@contextmanager
def clients(product: Product, token: str, number: int, *urls: str) -> Iterator[Clients]:
    command = [*node_command("clients.cjs", "graphql-ws"), str(number), gid(product), *urls]
    environment = {"PATH": os.environ["PATH"], "TOKEN": token}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        following = Clients(process)
        try:
            yield following
        finally:
            process.kill()
            following.read_to_the_end()


def token_of(user: User) -> str:
    return AccessTokens((SECRET,), timedelta(minutes=5)).issue(Viewer(id=user.id), user.id)[0]


def set_stock(url: str, token: str, product: Product, stock: int) -> None:
    """Change the stock over a connection of its own, which goes to any worker."""
    body = {"query": SET_STOCK, "variables": {"id": gid(product), "stock": stock}}
    response = httpx2.post(url, json=body, headers={"Authorization": f"Bearer {token}"})
    assert response.json()["data"] == {"setStock": {"__typename": "SetStockSuccess"}}


def is_stock(stock: int) -> Callable[[Told], bool]:
    return lambda told: told.get("stock") == stock


def two_workers(database_url: str, port: int) -> AbstractContextManager[tuple[subprocess.Popen[str], str]]:
    return served("--workers", "2", port=port, DATABASE_URL=database_url, SECRET_KEY=SECRET, LOG_LEVEL="warning")


@pytest.fixture
async def shop(committed_market: Market) -> tuple[Product, str]:
    owner = await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner), stock=1)
    return product, token_of(owner)


def test_every_worker_of_every_machine_tells_of_every_change(shop: tuple[Product, str], database_url: str) -> None:
    product, token = shop
    with ExitStack() as stack:
        servers = [stack.enter_context(two_workers(database_url, free_port())) for _ in range(2)]
        urls = [f"{url}/graphql" for _, url in servers]
        following = stack.enter_context(clients(product, token, 4, *urls))
        following.wait_for(16, is_stock(1))
        for stock in range(2, 8):
            set_stock(urls[stock % 2], token, product, stock)
            following.wait_for(16, is_stock(stock))


def test_clients_follow_on_when_a_server_has_restarted(shop: tuple[Product, str], database_url: str) -> None:
    product, token = shop
    port = free_port()
    url = f"http://127.0.0.1:{port}/graphql"
    with ExitStack() as stack:
        with two_workers(database_url, port) as (server, _):
            following = stack.enter_context(clients(product, token, 2, url))
            following.wait_for(4, is_stock(1))
            server.send_signal(signal.SIGTERM)
            told = following.wait_for(2, lambda told: told.get("closed") == 1012)
            assert not [what for what in told if "error" in what or "completed" in what]
            assert server.wait(timeout=PATIENCE) in (0, -signal.SIGTERM)
        with two_workers(database_url, port):
            following.wait_for(4, is_stock(1))
            set_stock(url, token, product, 2)
            told = following.wait_for(4, is_stock(2))
            assert not [what for what in told if "error" in what or "completed" in what]
