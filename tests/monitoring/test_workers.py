"""Servers as they run in production: metrics of two workers, and a log for machines."""

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.monitoring.test_metrics import TOKEN, Figures, figure, read
from tests.servers import served

PRODUCTION: Any = {
    "APP_ENV": "production",
    "SECRET_KEY": "a-secret-of-more-than-32-characters-for-tests",
    "TRUSTED_PROXIES": "127.0.0.1",
}
PATIENCE = 15.0
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
QUERY = {"query": "query Catalogue { products { totalCount } }"}
INVALID = "Invalid HTTP request received."
COUNTED = {"name": "Catalogue", "type": "query", "path": "compiled"}


def figures(url: str) -> Figures:
    return read(httpx2.get(f"{url}/metrics", headers=HEADERS).raise_for_status().text)


def pids(found: Figures) -> set[int]:
    """Return the processes that are told of."""
    return {int(dict(labels)["pid"]) for name, labels in found if name == "process_resident_memory_bytes"}


def eventually(url: str, condition: Callable[[Figures], bool]) -> Figures:
    """Return the figures once they are so."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition(found := figures(url)):
                return found
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the figures are not as they should be")


def test_whichever_worker_is_asked_answers_for_all_also_for_one_that_died(database_url: str, tmp_path: Path) -> None:
    environment: Any = {**PRODUCTION, "METRICS_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}
    with served("--workers", "2", DATABASE_URL=database_url, **environment) as (process, url):
        before = eventually(url, lambda found: len(pids(found)) == 2)
        assert figure(before, "orders_api_pool_size") == 40  # 20 of each
        assert httpx2.get(f"{url}/metrics").status_code == 401

        for _ in range(20):
            httpx2.post(f"{url}/graphql", json=QUERY).raise_for_status()
        ask_for_nothing(url)
        for _ in range(5):
            found = figures(url)
            assert figure(found, "orders_api_operations_total", **COUNTED, code="") == 20
            assert figure(found, "orders_api_operation_seconds_count", **COUNTED) == 20

        killed = min(pids(before))
        os.kill(killed, signal.SIGKILL)
        after = eventually(url, lambda found: killed not in pids(found) and len(pids(found)) == 2)
        assert figure(after, "orders_api_operations_total", **COUNTED, code="") == 20
        assert figure(after, "orders_api_pool_size") == 40

        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines[0]["event"] == "serving"
    assert Counter(line["event"] for line in lines[1:]) == {
        "operation": 20,
        INVALID: 1,
    }  # in any order, of two processes
    assert {line["name"] for line in lines if line["event"] == "operation"} == {"Catalogue"}
    assert not list(tmp_path.iterdir())


def test_a_worker_that_is_just_starting_keeps_nobody_from_the_figures(database_url: str, tmp_path: Path) -> None:
    environment: Any = {**PRODUCTION, "METRICS_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}
    with served("--workers", "2", DATABASE_URL=database_url, **environment) as (process, url):
        eventually(url, lambda found: len(pids(found)) == 2)
        (directory,) = {file.parent for file in tmp_path.rglob("*.db")}
        empty = directory / "counter_4000000.db"  # as the library begins it
        empty.touch()
        threading.Timer(0.05, empty.unlink).start()

        assert len(pids(figures(url))) == 2
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["serving"]


def ask_for_nothing(url: str) -> None:
    """Send a request for what is not there, and one that is none."""
    httpx2.get(f"{url}/nothing")
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        connection.sendall(b"this is no HTTP\r\n\r\n")
        assert b"400 Bad Request" in connection.recv(1_000)


def test_production_logs_nothing_but_lines_for_machines(database_url: str) -> None:
    with served("--migrate", DATABASE_URL=database_url, **PRODUCTION) as (process, url):
        httpx2.post(f"{url}/graphql", json=QUERY).raise_for_status()
        ask_for_nothing(url)
        assert httpx2.get(f"{url}/metrics").status_code == 404
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events == ["serving", "operation", INVALID]


def test_production_behind_a_proxy_that_is_not_trusted_says_so(database_url: str) -> None:
    with served(DATABASE_URL=database_url, **{**PRODUCTION, "TRUSTED_PROXIES": ""}) as (process, url):
        httpx2.post(f"{url}/graphql", json=QUERY, headers={"X-Forwarded-For": "192.0.2.7"}).raise_for_status()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in log.splitlines()]
    warnings = [line for line in lines if line["level"] == "warning"]
    assert [line["event"] for line in warnings] == ["TRUSTED_PROXIES is empty", "forwarded headers ignored"]
    assert all("TRUSTED_PROXIES" in line["advice"] for line in warnings)
