"""A standby is promoted while customers order: they are served again, no acknowledged order is lost, none is doubled,
and the former primary gets no more writes."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from uuid import uuid4

import httpx2
import pytest

from tests.clusters import Cluster, cluster
from tests.faults.stores import NOTHING_DONE, SECRET, UNKNOWN, UNREADABLE, Customers, Shop, fill
from tests.orders.operations import PLACE, item
from tests.servers import served


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster(is_synchronous=True) as servers:
        yield servers


@contextmanager
def serving(url: str) -> Iterator[str]:
    with served(DATABASE_URL=url, SECRET_KEY=SECRET, LOG_LEVEL="error") as (_, address):
        yield address


@contextmanager
def ordering(shop: Shop, address: str) -> Iterator[Customers]:
    """Yield customers who order, and expect that they are only ever told what clients can handle."""
    customers = Customers(shop, address)
    with customers.busy():
        customers.until_placed(5)
        yield customers
        customers.until_placed(20)
    assert not customers.unexpected
    assert not customers.unanswered
    assert set(customers.codes) <= NOTHING_DONE | {UNKNOWN, UNREADABLE}


def require_all_there(customers: Customers, shop: Shop) -> None:
    """Fail if an order was lost or doubled."""
    placed = shop.orders()
    assert placed >= set(customers.placed)
    assert len(placed) <= len(customers.placed) + customers.in_doubt
    assert shop.state() == (len(placed), len(placed))


@pytest.fixture
def independent() -> Iterator[Cluster]:
    """A primary that waits for no standby: what it is sent when it wakes up, it commits."""
    with cluster() as servers:
        yield servers


def test_a_primary_that_is_frozen_is_left_and_gets_no_writes_when_it_wakes_up(independent: Cluster) -> None:
    servers = independent
    shop = fill(servers.primary.url)
    with serving(servers.url) as address:
        with ordering(shop, address) as customers:
            servers.primary.freeze()
            servers.standby.promote()
            customers.until_placed(5)
            servers.primary.wake()
            former = replace(shop, url=servers.primary.url)
            before = len(former.orders())
            customers.until_placed(20)
            with serving(servers.url) as later:  # a process that knows nothing of the past
                assert shop.place(later)["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
        assert len(former.orders()) == before


def test_a_primary_that_is_killed_under_idempotent_orders(servers: Cluster) -> None:
    shop = fill(servers.primary.url)
    keys = [f"order-{number:03}-{uuid4()}" for number in range(60)]
    placed: dict[str, str] = {}
    with serving(servers.url) as address, httpx2.Client(timeout=20) as client:
        for number, key in enumerate(keys):
            if number == len(keys) // 2:
                servers.primary.kill()
                servers.standby.promote()
            placed[key] = until_placed(client, shop, address, key)
        again = {key: until_placed(client, shop, address, key) for key in keys}
    assert again == placed
    assert replace(shop, url=servers.standby.url).orders() == set(placed.values())
    assert len(set(placed.values())) == len(keys)


def until_placed(client: httpx2.Client, shop: Shop, address: str, key: str) -> str:
    """Send an order under its key until it is placed; return its id."""
    headers = {"Authorization": f"Bearer {shop.token}", "Idempotency-Key": key}
    body = {"query": PLACE, "variables": {"items": [item(shop.product)]}}
    for _ in range(2_000):
        result = client.post(f"{address}/graphql", json=body, headers=headers).json()
        match result:
            case {"data": {"placeOrder": {"order": {"id": str(id_)}}}}:
                return id_
            case {"errors": [{"extensions": {"code": code}}]}:
                assert code in NOTHING_DONE | {UNKNOWN, UNREADABLE}
    raise AssertionError("the service does not return")


def test_customers_go_on_when_the_primary_is_killed(servers: Cluster) -> None:
    shop = fill(servers.primary.url)
    with serving(servers.url) as address, ordering(shop, address) as customers:
        servers.primary.kill()
        servers.standby.promote()
        customers.until_placed(5)
    require_all_there(customers, replace(shop, url=servers.standby.url))


def test_a_host_that_drops_packets_does_not_delay_the_start_for_long(servers: Cluster) -> None:
    shop = fill(servers.primary.url)
    with dropping_packets() as port:
        url = servers.url.replace("@", f"@127.0.0.1:{port},")
        with serving(url) as address:
            assert shop.place(address)["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"


@contextmanager
def dropping_packets() -> Iterator[int]:
    """Yield a port whose queue of connections is full, so that nobody is answered."""
    with ExitStack() as stack, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def test_a_server_that_takes_no_writes_any_more_is_left(servers: Cluster) -> None:
    shop = fill(servers.primary.url)

    def become_read_only(value: str) -> None:
        servers.primary.run(
            "psql",
            *("-h127.0.0.1", f"-p{servers.primary.port}", "-Upostgres", "-c"),
            f"ALTER SYSTEM SET default_transaction_read_only = {value}",
            *("-c", "SELECT pg_reload_conf()"),
        )

    with serving(servers.primary.url) as address, ordering(shop, address) as customers:
        become_read_only("on")
        customers.until_told({"DATABASE_UNAVAILABLE"})
        become_read_only("off")
    require_all_there(customers, shop)
    assert set(customers.codes) <= {"DATABASE_UNAVAILABLE", UNKNOWN}  # of orders that others wait for when it is left


def test_a_standby_is_not_ready(servers: Cluster) -> None:
    fill(servers.primary.url)
    with serving(servers.standby.url) as address:
        ready = httpx2.get(f"{address}/readyz")
    assert (ready.status_code, ready.text) == (503, "the database is a read-only standby")
