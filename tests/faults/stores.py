"""A shop for servers that are processes of their own, and customers who write down what they were told."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
from alembic import command
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from app.db.migrations import alembic_config
from app.db.models import Order, Product, Store, User
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from tests.databases import create_database, drop_database, run_on
from tests.locks import WAITING
from tests.market import gid, rows_with_session
from tests.orders.operations import PLACE, item

SECRET = "a-secret-of-more-than-32-characters-for-tests"
STOCK = 100_000
READ = "{ products { nodes { name } } }"
NOTHING_DONE = {"TRANSACTION_CONFLICT", "TIMEOUT", "OVERLOADED", "DATABASE_UNAVAILABLE", "RESTARTING"}
UNKNOWN = "OUTCOME_UNKNOWN"
UNREADABLE = "PAYLOAD_UNREADABLE"  # it stands, and nobody was told which it is


@dataclass
class Lock:
    """The row of the product, held by a connection of the test."""

    url: str

    def until_waited_for(self) -> None:
        deadline = time.monotonic() + 10
        while not run_on(self.url, lambda connection: connection.scalar(WAITING)):
            assert time.monotonic() < deadline, "nobody waits"


@dataclass
class Shop:
    """A database with one product, and a customer of it."""

    url: str
    product: str
    token: str

    def place(self, url: str, query: str = PLACE, client: Any = httpx2) -> Any:
        """Order one of the product; return what was answered."""
        headers = {"Authorization": f"Bearer {self.token}"}
        body = {"query": query, "variables": {"items": [item(self.product)]}}
        return client.post(f"{url}/graphql", json=body, headers=headers, timeout=20).json()

    def read(self, url: str) -> int | None:
        """Read the catalogue; return the status, None where nobody answers."""
        try:
            return int(httpx2.post(f"{url}/graphql", json={"query": READ}, timeout=20).status_code)
        except httpx2.TransportError:
            return None

    @contextmanager
    def locked(self) -> Iterator[Lock]:
        """Let no order be placed until the end of the block."""
        begun, over = Event(), Event()

        def hold(connection: Connection) -> None:
            connection.execute(select(Product.id).with_for_update())
            begun.set()
            over.wait(30)

        holding = Thread(target=run_on, args=(self.url, hold))
        holding.start()
        assert begun.wait(10)
        try:
            yield Lock(self.url)
        finally:
            over.set()
            holding.join()

    def state(self) -> tuple[int, int]:
        """Return how many orders there are, and how many of the product are gone."""

        def read(connection: Connection) -> tuple[int, int]:
            with Session(connection) as session:
                orders = session.scalar(select(func.count()).select_from(Order)) or 0
                return orders, STOCK - (session.scalar(select(Product.stock)) or 0)

        return run_on(self.url, read)

    def orders(self) -> set[str]:
        """Return the ids of the orders that stand."""

        def read(connection: Connection) -> set[str]:
            with Session(connection) as session:
                return {gid(order) for order in session.scalars(select(Order))}

        return run_on(self.url, read)


def fill(url: str) -> Shop:
    """Open a shop in an empty database."""
    command.upgrade(alembic_config(url), "head")

    def add(connection: Connection) -> Shop:
        with Session(connection, expire_on_commit=False) as session:
            customer = User(email="ada@example.com", full_name="Ada", password_hash="")
            for row in rows_with_session(customer):
                session.add(row)
                session.flush()
            place = {"street": "Main Street 1", "postcode": "10115", "city": "Berlin", "country": "DE"}
            store = Store(owner_id=customer.id, name="Store", currency="EUR", **place)
            session.add(store)
            session.flush()
            product = Product(store_id=store.id, currency="EUR", name="Bread", price=Decimal(2), stock=STOCK)
            session.add(product)
            session.commit()
        token, _ = AccessTokens((SECRET,), timedelta(minutes=5)).issue(Viewer(id=customer.id), customer.id)
        return Shop(url, gid(product), token)

    return run_on(url, add)


@contextmanager
def opened(server_url: str, name: str) -> Iterator[Shop]:
    """Yield a shop in a database of its own."""
    url = create_database(server_url, name)
    try:
        yield fill(url)
    finally:
        drop_database(url)


@dataclass
class Customers:
    """Order and read as fast as they are answered, until the end of the block, and write down what they were told."""

    shop: Shop
    url: str
    number: int = 4
    placed: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    unanswered: int = 0
    reads: list[int | None] = field(default_factory=list)
    unexpected: list[Any] = field(default_factory=list)

    @contextmanager
    def busy(self) -> Iterator[None]:
        over = Event()
        threads = [Thread(target=self._work, args=(over,)) for _ in range(self.number)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def until_placed(self, more: int) -> None:
        """Return once so many more orders were placed."""
        wanted, deadline = len(self.placed) + more, time.monotonic() + 40
        while len(self.placed) < wanted:
            assert time.monotonic() < deadline, "the service does not return"
            time.sleep(0.01)

    def until_told(self, codes: set[str]) -> None:
        """Return once somebody was told each of these codes."""
        deadline = time.monotonic() + 20
        while not set(self.codes) >= codes:
            assert time.monotonic() < deadline, self.codes
            time.sleep(0.01)

    @property
    def in_doubt(self) -> int:
        """How many orders may stand though nobody was told so."""
        return self.unanswered + self.codes.count(UNKNOWN) + self.codes.count(UNREADABLE)

    def _work(self, over: Event) -> None:
        with httpx2.Client() as client:
            while not over.is_set():
                try:
                    self._note(self.shop.place(self.url, client=client))
                except httpx2.TransportError:
                    self.unanswered += 1
                    time.sleep(0.02)  # as a client does before it tries again
                self.reads.append(self.shop.read(self.url))

    def _note(self, result: Any) -> None:
        match result:
            case {"data": {"placeOrder": {"__typename": "PlaceOrderSuccess", "order": {"id": id}}}}:
                self.placed.append(id)
            case {"data": None | {"placeOrder": None}, "errors": [{"extensions": {"code": str(code)}}]}:
                self.codes.append(code)
            case _:
                self.unexpected.append(result)


def worker_ids(supervisor: int) -> set[int]:
    """Return the processes that serve, of a server with several."""
    return {pid for pid in children(supervisor) if "spawn_main" in _command(pid)}


def children(parent: int) -> list[int]:
    """Return the processes that this one has started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _command(pid: int) -> str:
    with suppress(OSError):  # it has ended meanwhile
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def kill(pid: int) -> None:
    """End a process as by a power cut."""
    os.kill(pid, 9)
