"""HAProxy, configured as the operations page says, sends a request to another process only if none has received it."""

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

import httpx2

from app.settings import ROOT
from tests.faults.stores import SECRET, Shop, opened
from tests.orders.operations import PLACE, item
from tests.process.test_draining import haproxy, until
from tests.servers import free_port, served


def configuration(port: int, ports: list[int]) -> str:
    """Return the configuration of the page, for these ports."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (block,) = re.findall(r"```haproxy\n(.*?)```", page, re.DOTALL)
    block = re.sub(r"bind .*", f"bind 127.0.0.1:{port}", block)
    block, number = re.subn(r"^  server .*\n", "", block, flags=re.MULTILINE)
    assert number == len(ports)
    return block + "".join(f"  server s{each} 127.0.0.1:{each}\n" for each in ports)


class Buyer:
    """Orders through the proxy until it is over, one order after another, and counts what it is told."""

    def __init__(self, shop: Shop, url: str) -> None:
        self.placed: list[str] = []
        self.in_doubt = 0
        self._shop = shop
        self._url = url
        self._over = Event()

    @contextmanager
    def busy(self) -> Iterator[None]:
        thread = Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def until_placed(self, more: int) -> None:
        wanted = len(self.placed) + more
        until(lambda: len(self.placed) >= wanted, "no order is placed")

    def _work(self) -> None:
        body = {"query": PLACE, "variables": {"items": [item(self._shop.product)]}}
        with httpx2.Client(timeout=20, headers={"Authorization": f"Bearer {self._shop.token}"}) as client:
            while not self._over.is_set():
                try:
                    answer = client.post(f"{self._url}/graphql", json=body)
                    answer.raise_for_status()
                except httpx2.HTTPError:
                    self.in_doubt += 1
                else:
                    self.placed.append(answer.json()["data"]["placeOrder"]["order"]["id"])


def test_a_process_is_killed_and_no_order_is_doubled(server_url: str) -> None:
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        shop = stack.enter_context(opened(server_url, f"orders_test_retries_{ports[0]}"))
        environment = {"DATABASE_URL": shop.url, "SECRET_KEY": SECRET, "LOG_LEVEL": "error"}
        first, _ = (stack.enter_context(served(port=port, **environment))[0] for port in ports)
        proxy = free_port()
        url = stack.enter_context(haproxy(proxy, configuration(proxy, ports)))
        until(lambda: shop.read(url) == 200, "the proxy doesn't find a process")
        buyers = [Buyer(shop, url) for _ in range(4)]
        with ExitStack() as busy:
            for buyer in buyers:
                busy.enter_context(buyer.busy())
            buyers[0].until_placed(20)
            with shop.locked() as lock:  # so that Postgres goes on with orders whose process is dead
                lock.until_waited_for()
                first.send_signal(signal.SIGKILL)
                first.wait()
            for buyer in buyers:
                buyer.until_placed(20)
        placed = sum(len(buyer.placed) for buyer in buyers)
        in_doubt = sum(buyer.in_doubt for buyer in buyers)
        assert in_doubt <= len(buyers), "only those whose request the process had received"
        assert placed <= len(shop.orders()) <= placed + in_doubt
