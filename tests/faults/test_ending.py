"""A server that is told to end finishes what it does, takes nothing new, and ends as a success."""

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from subprocess import Popen
from typing import Any

import httpx2
import pytest

from app.settings import Settings
from tests.api import Api
from tests.faults.conftest import PATHS, READ, OpenShop, fault
from tests.faults.stores import SECRET, Customers, Shop, kill, opened, worker_ids
from tests.graphql.subscriptions.clients import PATIENCE
from tests.orders.operations import PLACE, PLACE_IN_TRANSACTION
from tests.servers import served


@pytest.fixture
def shop(server_url: str) -> Iterator[Shop]:
    with opened(server_url, f"orders_test_{os.getpid()}_ending") as shop:
        yield shop


@contextmanager
def serving(shop: Shop, **environment: Any) -> Iterator[tuple[Popen[str], str]]:
    # At `info` the lines of busy customers fill the pipe that nobody reads before the end, and the process waits.
    settings = {"SECRET_KEY": SECRET, "LOG_LEVEL": "warning", **environment}
    with served(DATABASE_URL=shop.url, **settings) as (process, url):
        yield process, url


@contextmanager
def order_under_way(shop: Shop, url: str, query: str = PLACE) -> Iterator[Future[Any]]:
    """Place an order that waits for its product until the end of the block."""
    with ThreadPoolExecutor(1) as threads, shop.locked() as locked:
        placing = threads.submit(shop.place, url, query)
        locked.until_waited_for()
        yield placing


def until_refused(url: str) -> None:
    """Return once nobody can connect any more."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            httpx2.get(f"{url}/livez", timeout=1)
        except httpx2.ConnectError:
            return
        except httpx2.TransportError:
            pass
    raise AssertionError("it still answers")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_under_way_is_finished_and_nothing_new_taken(shop: Shop, workers: str) -> None:
    with serving(shop, WORKERS=workers) as (process, url):
        with order_under_way(shop, url) as placing:
            process.terminate()
            until_refused(url)
            process.terminate()  # once more changes nothing
            assert process.poll() is None
        assert placing.result()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
        _, told = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in told
    assert shop.state() == (1, 1)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("query", "code"), [(PLACE, "OUTCOME_UNKNOWN"), (PLACE_IN_TRANSACTION, "RESTARTING")])
def test_what_takes_longer_than_the_grace_is_undone_and_says_what_is_known(
    shop: Shop, workers: str, query: str, code: str
) -> None:
    with serving(shop, WORKERS=workers, SHUTDOWN_GRACE_SECONDS="1") as (process, url):
        with order_under_way(shop, url, query) as placing:
            process.terminate()
            result = placing.result(10)
            assert result["errors"][0]["extensions"]["code"] == code
            _, told = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in told
    assert shop.state() == (0, 0)


@pytest.mark.parametrize("path", PATHS)
async def test_a_query_that_takes_longer_than_the_grace_says_so(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path]) as shop, shop.in_process() as client:
        async with shop.unreadable():
            reading = asyncio.create_task(client.post("/graphql", json={"query": READ}))
            await shop.until_waiting(1)
            reading.cancel()
            assert fault(await reading) == "RESTARTING"
            await shop.until_waiting(0)
        assert shop.taken == 0


async def test_of_what_was_being_committed_nobody_knows(open_shop: OpenShop, settings: Settings) -> None:
    async with open_shop() as shop, shop.in_process() as client, shop.at_commit("pg_sleep(2)"):
        in_process = replace(shop, api=Api(client, settings))
        ordering = asyncio.create_task(in_process.order(PLACE_IN_TRANSACTION, **{"Idempotency-Key": "12345678"}))
        async with asyncio.timeout(PATIENCE):
            while "COMMIT;" not in await shop.statements():
                pass
        ordering.cancel()
        assert fault(await ordering) == "OUTCOME_UNKNOWN"


def test_a_worker_that_is_killed_is_replaced_and_nothing_acknowledged_is_lost(shop: Shop) -> None:
    with serving(shop, WORKERS="2") as (process, url):
        customers = Customers(shop, url, number=2)
        with customers.busy():
            customers.until_placed(10)
            killed = worker_ids(process.pid).pop()
            kill(killed)
            deadline = time.monotonic() + 40
            while killed in worker_ids(process.pid) or len(worker_ids(process.pid)) < 2:
                assert time.monotonic() < deadline, "it is not replaced"
            customers.until_placed(10)
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0
    assert not customers.unexpected
    assert not customers.codes
    placed = shop.orders()
    assert placed >= set(customers.placed)
    assert len(placed) <= len(customers.placed) + customers.unanswered
    assert shop.state() == (len(placed), len(placed))
