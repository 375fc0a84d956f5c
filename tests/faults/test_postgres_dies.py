"""Postgres is killed, restarted, stopped or out of connections while customers order: nothing acknowledged is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from os import kill
from typing import Any

from tests.faults.postgres import Postgres
from tests.faults.stores import NOTHING_DONE, SECRET, UNKNOWN, UNREADABLE, Customers, Shop, children, fill
from tests.servers import served


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
