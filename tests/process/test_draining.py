"""A rolling restart behind a proxy that only has health checks loses no request."""

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import httpx2
import pytest

from tests.faults.stores import SECRET, opened
from tests.servers import free_port, served

DRAIN_SECONDS = "1.5"
PROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
  timeout check 2s
frontend api
  bind 127.0.0.1:{port}
  default_backend processes
backend processes
  option httpchk GET /readyz
  http-check expect status 200
  http-response set-header X-Served-By %s
  default-server inter 100ms fastinter 100ms fall 2 rise 1
{servers}
"""


def proxied(ports: list[int]) -> AbstractContextManager[str]:
    """Run HAProxy before servers on these ports; yield its URL."""
    port = free_port()
    servers = "\n".join(f"  server s{number} 127.0.0.1:{number} check" for number in ports)
    return haproxy(port, PROXY.format(port=port, servers=servers))


@contextmanager
def haproxy(port: int, configuration: str) -> Iterator[str]:
    """Run HAProxy, which listens on this port; yield its URL."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("haproxy is not installed")
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(configuration)
        file.flush()
        process = subprocess.Popen([program, "-q", "-db", "-f", file.name], stderr=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def serves(url: str, port: int) -> bool:
    """Return whether the proxy has just had the process on this port answer."""
    try:
        return httpx2.get(f"{url}/livez").headers.get("X-Served-By") == f"s{port}"
    except httpx2.TransportError:
        return False


class Visitors:
    """Read through the proxy until they are stopped, and count what they get."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statuses: list[int] = []
        self.is_over = False
        self.threads = [threading.Thread(target=self._visit) for _ in range(4)]

    def _visit(self) -> None:
        with httpx2.Client(timeout=20) as client:
            while not self.is_over:
                self.statuses.append(client.post(f"{self.url}/graphql", json={"query": "{ __typename }"}).status_code)

    @contextmanager
    def coming(self) -> Iterator[None]:
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.is_over = True
            for thread in self.threads:
                thread.join()

    def until_served(self, more: int) -> None:
        wanted = len(self.statuses) + more
        until(lambda: len(self.statuses) >= wanted, "nobody is served")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_rolling_restart_loses_no_request(server_url: str, workers: str) -> None:
    ports = [free_port(), free_port()]
    environment = {"SECRET_KEY": SECRET, "WORKERS": workers, "SHUTDOWN_DRAIN_SECONDS": DRAIN_SECONDS}
    environment["LOG_LEVEL"] = "error"
    with opened(server_url, f"orders_test_draining_{ports[0]}") as shop:
        environment["DATABASE_URL"] = shop.url
        with ExitStack() as stack, proxied(ports) as url:
            first, second = (stack.enter_context(served(port=port, **environment))[0] for port in ports)
            for port in ports:
                until(partial(serves, url, port), "the proxy doesn't find a process")
            visitors = Visitors(url)
            with visitors.coming():
                visitors.until_served(50)
                restart(first)
                stack.enter_context(served(port=ports[0], **environment))
                until(partial(serves, url, ports[0]), "the proxy doesn't find the new process")
                visitors.until_served(50)
                restart(second)
                visitors.until_served(50)
            assert set(visitors.statuses) == {200}


def restart(process: subprocess.Popen[str]) -> None:
    """Ask a process to stop, and wait until it has."""
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert process.returncode == 0


def test_a_process_that_will_stop_serves_on_but_is_not_ready(server_url: str) -> None:
    port = free_port()
    with (
        opened(server_url, f"orders_test_draining_{port}") as shop,
        served(DATABASE_URL=shop.url, SECRET_KEY=SECRET, SHUTDOWN_DRAIN_SECONDS="300") as (process, url),
    ):
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx2.get(f"{url}/readyz").status_code == 503, "it is still ready")
        assert httpx2.get(f"{url}/readyz").text == "the process is stopping"
        assert shop.read(url) == 200
        process.send_signal(signal.SIGTERM)  # for those in a hurry
        assert process.wait(20) == 0
