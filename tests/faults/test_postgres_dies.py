"""Postgres is killed, restarted, stopped or out of connections while customers order: nothing acknowledged is lost."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import kill
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stores import NOTHING_DONE, SECRET, UNKNOWN, UNREADABLE, Customers, Shop, children, fill
from tests.servers import served
from tools.postgres import embedded_postgres, home_of
from tools.postgres_keeper import is_held


@dataclass
class Postgres:
    """A Postgres of the test's own."""

    url: str
    directory: Path
    users: ExitStack

    @property
    def pid(self) -> int:
        return int((home_of(self.directory) / "data" / "postmaster.pid").read_text().split()[0])

    def end(self, number: signal.Signals) -> None:
        """End it with a signal, and wait until it has gone."""
        kill(self.pid, number)
        deadline = time.monotonic() + 10
        while is_held(home_of(self.directory), "keeper"):
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.01)

    def start(self) -> None:
        """Start it again, in its directory."""
        self.users.enter_context(embedded_postgres(self.directory))


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with ExitStack() as users:
        yield Postgres(users.enter_context(embedded_postgres(tmp_path)), tmp_path, users)
    shutil.rmtree(home_of(tmp_path), ignore_errors=True)


@contextmanager
def customers_of(shop: Shop, **environment: Any) -> Iterator[Customers]:
    """Yield customers who order from a server during the block, and compare what they know with what is so."""
    with served(DATABASE_URL=shop.url, SECRET_KEY=SECRET, LOG_LEVEL="error", **environment) as (process, url):
        customers = Customers(shop, url)
        with customers.busy():
            customers.until_placed(5)
            yield customers
            customers.until_placed(20)
        process.terminate()
        _, told = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in told
    assert not customers.unexpected
    assert not customers.unanswered
    assert set(customers.codes) <= NOTHING_DONE | {UNKNOWN, UNREADABLE}
    assert set(customers.reads) <= {200, 503}
    placed = shop.orders()
    assert placed >= set(customers.placed)
    assert len(placed) <= len(customers.placed) + customers.in_doubt
    assert shop.state() == (len(placed), len(placed))


def test_a_postgres_that_is_killed_and_started_again(postgres: Postgres) -> None:
    with customers_of(fill(postgres.url)) as customers:
        for _ in range(2):
            postgres.end(signal.SIGKILL)
            postgres.start()
            customers.until_placed(20)
    assert set(customers.codes) >= {"DATABASE_UNAVAILABLE"}


def test_a_postgres_that_is_stopped_by_its_operator(postgres: Postgres) -> None:
    with customers_of(fill(postgres.url)):
        postgres.end(signal.SIGINT)
        postgres.start()


def test_a_postgres_that_stands_still(postgres: Postgres) -> None:
    limits = {"OPERATION_TIMEOUT_SECONDS": "0.5", "DATABASE_POOL_WAIT_SECONDS": "0.3", "DATABASE_POOL_SIZE": "2"}
    shop = fill(postgres.url)
    with customers_of(shop, **limits) as customers:
        pids = [postgres.pid, *children(postgres.pid)]
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        try:
            customers.until_told({"OVERLOADED"})
        finally:
            for pid in pids:
                kill(pid, signal.SIGCONT)
