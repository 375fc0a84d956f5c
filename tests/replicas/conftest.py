"""A primary and a standby, filled once, and API processes that read from the standby."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from tests.clusters import Cluster, Node, cluster
from tests.databases import run_on
from tests.faults.stores import SECRET, Shop, fill
from tests.servers import served

STOCK = "{ products { nodes { stock } } }"
_PATIENCE_SECONDS = 20.0


def until(condition: Callable[[], Any], what: str) -> None:
    """Return once this holds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def ask(node: Node, sql: str) -> Any:
    """Return the first value of a statement."""
    return run_on(node.url, lambda connection: connection.execute(text(sql)).scalar())


@dataclass
class Process:
    """An API process that reads from a replica."""

    url: str
    shop: Shop
    client: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=20))

    def send(self, query: str = STOCK, *, token: str | None = None, is_customer: bool = False) -> httpx2.Response:
        """Return the response to a query of nobody, or of the customer."""
        headers = {"Consistency-Token": token} if token else {}
        if is_customer:
            headers["Authorization"] = f"Bearer {self.shop.token}"
        return self.client.post(f"{self.url}/graphql", json={"query": query}, headers=headers)

    def stock(self, *, token: str | None = None, is_customer: bool = False) -> int:
        """Return the stock of the product."""
        return int(self.send(token=token, is_customer=is_customer).json()["data"]["products"]["nodes"][0]["stock"])

    def place(self) -> str:
        """Order one of the product; return the token."""
        return str(self.shop.place(self.url, client=self.client)["extensions"]["consistencyToken"])

    def figures(self, name: str) -> Mapping[str, float]:
        """Return the figures of a metric, by its label."""
        found = {}
        for line in self.client.get(f"{self.url}/metrics").text.splitlines():
            if line.startswith((f"{name}{{", f"{name} ")):
                labels, number = line.rsplit(" ", 1)
                found[labels.partition('"')[2].partition('"')[0]] = float(number)
        return found

    @property
    def fit(self) -> float:
        """How many replicas answer queries."""
        return self.figures("orders_api_replicas_fit")[""]

    def fallbacks(self, reason: str) -> float:
        """How often the primary has answered for this reason."""
        return self.figures("orders_api_replica_fallbacks_total").get(reason, 0)

    def until_fit(self, number: int = 1) -> None:
        """Return once so many replicas answer queries."""
        until(lambda: self.fit == number, f"there aren't {number} replicas")


@dataclass
class Deployment:
    """The servers, and how processes of the API are started."""

    servers: Cluster
    shop: Shop

    @contextmanager
    def process(self, **environment: str) -> Iterator[Process]:
        """Run a process, and wait until it reads from the replica."""
        given = {
            "DATABASE_URL": self.servers.primary.url,
            "DATABASE_REPLICA_URLS": self.servers.standby.url,
            "SECRET_KEY": SECRET,
            "LOG_LEVEL": "error",
        }
        with served(port=None, **{**given, **environment}) as (_, address):
            process = Process(address, self.shop)
            with process.client:
                process.until_fit()
                yield process

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the standby replay nothing for a while."""
        self.until_replayed()
        ask(self.servers.standby, "SELECT pg_wal_replay_pause()")
        until(lambda: ask(self.servers.standby, "SELECT pg_get_wal_replay_pause_state()") == "paused", "replay goes on")
        try:
            yield
        finally:
            ask(self.servers.standby, "SELECT pg_wal_replay_resume()")
            self.until_replayed()

    def until_replayed(self) -> None:
        """Return once the standby shows all that the primary has written."""
        written = ask(self.servers.primary, "SELECT pg_current_wal_lsn()::text")
        passed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn"
        until(lambda: ask(self.servers.standby, passed), "the standby doesn't catch up")


@contextmanager
def deployed() -> Iterator[Deployment]:
    """Run the servers, with a shop in them."""
    with cluster() as servers:
        deployment = Deployment(servers, fill(servers.primary.url))
        deployment.until_replayed()
        yield deployment


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with deployed() as deployment:
        yield deployment


@pytest.fixture
def fragile() -> Iterator[Deployment]:
    """Servers that the test breaks."""
    with deployed() as deployment:
        yield deployment
