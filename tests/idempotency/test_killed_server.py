"""A server that is killed at any moment loses no order that it acknowledged, and doubles none that is sent again."""

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from random import Random
from subprocess import Popen
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from app.db.models import AuditEntry, IdempotencyKey, Order, Product
from tests.databases import run_on
from tests.faults.stores import SECRET, STOCK, Shop, opened
from tests.idempotency.requests import is_replay
from tests.market import gid
from tests.orders.operations import PLACE
from tests.servers import served

# Each order has a key and a quantity of its own.
QUANTITIES = {f"order-{number:02}": 1 + number % 5 for number in range(40)}
IN_FLIGHT = 4
KILLS = 2


@pytest.fixture
def shop(server_url: str) -> Iterator[Shop]:
    with opened(server_url, f"orders_test_{os.getpid()}_killed_server") as shop:
        yield shop


@dataclass
class Customer:
    """Sends the orders of the shop to a server, a few at a time."""

    shop: Shop
    url: str
    process: Popen[str]

    def place(
        self, keys: Iterable[str], *, killed_after: int | None = None, jitter: float = 0
    ) -> dict[str, httpx2.Response]:
        """Return what was answered; the server may be killed a moment after so many answers."""
        answers: dict[str, httpx2.Response] = {}
        with httpx2.Client(timeout=20) as client, ThreadPoolExecutor(IN_FLIGHT) as threads:
            sent = {threads.submit(self._place_one, client, key): key for key in keys}
            for future in as_completed(sent):
                if (answer := future.result()) is not None:
                    answers[sent[future]] = answer
                if len(answers) == killed_after and self.process.poll() is None:
                    time.sleep(jitter)
                    self.process.kill()
                    self.process.wait()
        return answers

    def _place_one(self, client: httpx2.Client, key: str) -> httpx2.Response | None:
        items = [{"productId": self.shop.product, "quantity": QUANTITIES[key]}]
        headers = {"Authorization": f"Bearer {self.shop.token}", "Idempotency-Key": key}
        try:
            return client.post(
                f"{self.url}/graphql", json={"query": PLACE, "variables": {"items": items}}, headers=headers
            )
        except httpx2.TransportError:
            return None


@dataclass
class State:
    """The state of the database at the end."""

    orders: set[str]
    stock: int | None
    keys: set[str]
    audit_entries: int | None


def state(connection: Connection) -> State:
    with Session(connection) as session:
        return State(
            orders={gid(order) for order in session.scalars(select(Order))},
            stock=session.scalar(select(Product.stock)),
            keys=set(session.scalars(select(IdempotencyKey.key))),
            audit_entries=session.scalar(select(func.count()).select_from(AuditEntry)),
        )


def order_in(answer: httpx2.Response) -> Any:
    result = json.loads(answer.content)
    assert "errors" not in result, result
    return result["data"]["placeOrder"]["order"]


def test_no_order_is_lost_or_doubled_by_a_server_that_is_killed(shop: Shop) -> None:
    random = Random(7)
    answers: dict[str, httpx2.Response] = {}

    for _ in range(KILLS):
        with served(DATABASE_URL=shop.url, SECRET_KEY=SECRET) as (process, url):
            unanswered = random.sample(sorted(QUANTITIES.keys() - answers), len(QUANTITIES) - len(answers))
            customer = Customer(shop, url, process)
            answers |= customer.place(unanswered, killed_after=random.randint(5, 9), jitter=random.random() / 50)
            assert process.poll() == -signal.SIGKILL
            assert answers.keys() < QUANTITIES.keys()  # some were under way, or not sent yet
    with served(DATABASE_URL=shop.url, SECRET_KEY=SECRET) as (process, url):
        customer = Customer(shop, url, process)
        answers |= customer.place(QUANTITIES.keys() - answers.keys())
        replays = customer.place(QUANTITIES)

    assert {key: order_in(answer)["items"][0]["quantity"] for key, answer in answers.items()} == QUANTITIES
    assert all(is_replay(replay) for replay in replays.values())
    assert {key: replay.content for key, replay in replays.items()} == {
        key: answer.content for key, answer in answers.items()
    }
    assert run_on(shop.url, state) == State(
        orders={order_in(answer)["id"] for answer in answers.values()},
        stock=STOCK - sum(QUANTITIES.values()),
        keys=set(QUANTITIES),
        audit_entries=len(QUANTITIES),
    )
