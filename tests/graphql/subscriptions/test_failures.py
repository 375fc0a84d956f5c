"""Connections break, clients are slow or gone: nothing is lost in silence, and nothing is left."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from alembic import command
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from websockets.asyncio.client import connect

from app.db.engine import Database, open_database
from app.db.engine import connect as driver_of
from app.db.migrations import alembic_config
from app.db.models import Product
from app.events import log as events
from app.events.catalog import Topic
from app.events.repository import Driver
from app.graphql.subscriptions import manager as subscriptions
from app.main import application, create_services
from app.settings import Settings
from tests.events import legacy_text
from tests.graphql.subscriptions.clients import PATIENCE, PROTOCOL, Client, connected, serving, until
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PLACED, PRODUCT
from tests.market import Market, gid
from tests.orders.operations import item, place
from tests.products.changes import update
from tests.servers import served
from tools.postgres import embedded_postgres, home_of

LISTENERS = "FROM pg_stat_activity WHERE application_name = 'orders-api event log' AND datname = current_database()"


async def log_change(driver: Driver, product: Product) -> None:
    """Write an event as a mutation does."""
    sql = "INSERT INTO events (id, type, entity_id, payload) VALUES (gen_random_uuid(), 'product.updated', $1, '{}')"
    await driver.execute(sql, product.id)


async def test_what_happens_while_the_listening_connection_is_broken_is_read_from_the_log(shop: Shop) -> None:
    async with connected(shop.address, shop.token(shop.owner)) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id="product")
        await client.next("product")
        await client.subscribe(PLACED, {"id": gid(shop.store)}, id="store")
        await shop.followed(2)

        for number in range(1, 4):
            await shop.sql(f"SELECT pg_terminate_backend(pid) {LISTENERS}")
            await place(shop.api, shop.customer, item(shop.product, number))

            told = [await client.receive(), await client.receive()]
            assert {message["id"]: message["type"] for message in told} == {"product": "next", "store": "next"}
            placed = next(each for each in told if each["id"] == "store")["payload"]["data"]["storeOrderPlaced"]
            assert placed["storeOrder"]["items"] == [{"quantity": number}]
    assert await shop.sql(f"SELECT count(*) {LISTENERS}") == [(1,)]


async def test_what_the_log_no_longer_tells_is_told_as_missed(shop: Shop) -> None:
    """Its last position has another batch: a backup was restored meanwhile."""
    await place(shop.api, shop.customer, item(shop.product))
    async with connected(shop.address, shop.token(shop.owner)) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id="product")
        await client.next("product")
        await client.subscribe(PLACED, {"id": gid(shop.store)}, id="store")
        await shop.followed(2)
        await place(shop.api, shop.customer, item(shop.product))
        assert {(await client.receive())["id"] for _ in range(2)} == {"product", "store"}

        await shop.sql(
            f"WITH ended AS (SELECT pg_terminate_backend(pid) {LISTENERS}) UPDATE event_batches"
            " SET made_at = made_at + interval '1 s' WHERE (SELECT count(*) FROM ended) = 1"
        )

        told = [await client.receive() for _ in range(3)]
        assert sorted((message["id"], message["type"]) for message in told) == [
            ("product", "next"),
            ("store", "complete"),
            ("store", "next"),
        ]
        (ended,) = [message["payload"] for message in told if (message["id"], message["type"]) == ("store", "next")]
        assert ended["errors"][0]["extensions"]["code"] == "EVENTS_MISSED"


async def test_an_event_that_cannot_be_read_yet_is_read_when_the_database_answers(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        others = "FROM pg_stat_activity WHERE application_name <> 'orders-api event log' AND pid <> pg_backend_pid()"
        broken = f"SELECT pg_terminate_backend(pid) {others} AND datname = current_database()"
        event = legacy_text(Topic("Product", shop.product.id))
        driver = await driver_of(shop.engine.url, "test", PATIENCE)
        try:
            # The connections of the pool break unnoticed, and the one that listens does not.
            await driver.execute(broken)
            await driver.execute("UPDATE products SET price = 8.00")
            await driver.execute("SELECT pg_notify('orders_api', $1)", event)
            assert (await client.next())["productUpdated"]["product"]["price"] == {"amount": "8.00"}
        finally:
            await driver.close()


@pytest.fixture
def restarting_postgres(tmp_path: Path) -> Iterator[tuple[str, ExitStack, Path]]:
    """A Postgres that is stopped by closing the stack, and started in its directory."""
    with ExitStack() as stack:
        url = stack.enter_context(embedded_postgres(tmp_path))
        command.upgrade(alembic_config(url), "head")
        yield url, stack, tmp_path
    shutil.rmtree(home_of(tmp_path), ignore_errors=True)


async def test_streams_outlive_a_restart_of_postgres(
    restarting_postgres: tuple[str, ExitStack, Path], settings: Settings
) -> None:
    url, postgres, directory = restarting_postgres
    own = settings.model_copy(update={"database_url": url, "database_direct_url": None})
    engine = create_async_engine(url)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        product = await Market(session).product(stock=5)
    await engine.dispose()
    database = open_database(url, own)
    tasks = len(asyncio.all_tasks())
    services = create_services(own, database)
    lives = services.subscriptions
    async with serving(application(services)) as address, connected(address) as client, connected(address) as other:
        await lives.events.heard()
        for follower in (client, other):
            await follower.subscribe(PRODUCT, {"id": gid(product)})
            assert (await follower.next())["productUpdated"]["product"]["stock"] == 5

        driver = await driver_of(make_url(url), "test", PATIENCE)
        await driver.execute("UPDATE products SET stock = 4")
        await log_change(driver, product)  # and nobody announces it
        await driver.close()
        postgres.close()
        await until(lambda: not lives.events.is_heard)
        with embedded_postgres(directory):
            for follower in (client, other):
                while (await follower.next())["productUpdated"]["product"]["stock"] != 4:
                    pass
            driver = await driver_of(make_url(url), "test", PATIENCE)
            listeners = await driver.fetchval(f"SELECT count(*) {LISTENERS}")
            assert listeners == 1
            assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pool that it is
            await client.send({"type": "complete", "id": "1"})
            await until(lambda: len(lives.events) == 1)
            await driver.close()
            await client.websocket.close()
            await other.websocket.close()
            await until(lambda: len(lives.events) == 0)
            await until(lambda: len(asyncio.all_tasks()) <= tasks + 6)
            postgres.pop_all()
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_client_that_reads_nothing_slows_nobody(shop: Shop) -> None:
    big = "x" * 5_000
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL], max_queue=1) as websocket:
        slow = Client(websocket)
        await slow.send({"type": "connection_init"})
        assert await slow.receive() == {"type": "connection_ack"}
        query = (
            "subscription ($id: ID!) { productUpdated(productId: $id) { product { description price { amount } } } }"
        )
        await update(shop.api, shop.owner, id=gid(shop.product), description=big)
        websocket.transport.pause_reading()
        for number in range(90):
            await slow.subscribe(query, {"id": gid(shop.product)}, id=str(number))
        await shop.followed(90)
        async with connected(shop.address) as quick:
            await quick.subscribe(PRODUCT, {"id": gid(shop.product)})
            await quick.next()
            for number in range(20):
                await update(shop.api, shop.owner, id=gid(shop.product), price=f"{1 + number}")
                assert (await quick.next())["productUpdated"]["product"]["price"] == {"amount": f"{1 + number}.00"}
        websocket.transport.resume_reading()
        last = {str(number): "" for number in range(90)}
        while set(last.values()) != {"20.00"}:
            message = await slow.receive()
            last[message["id"]] = message["payload"]["data"]["productUpdated"]["product"]["price"]["amount"]
    await shop.followed(0)


async def test_nothing_is_left_of_clients_that_are_gone(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    async with connected(shop.address) as client:  # what the first one makes may stay
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
    await shop.followed(0)
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        clients = [await opened(shop) for _ in range(10)]
        for client in clients:
            await client.subscribe(ORDER, {"id": gid(order)}, id="order")
            await client.subscribe(PRODUCT, {"id": gid(shop.product)}, id="product")
            await client.receive()
        await update(shop.api, shop.owner, id=gid(shop.product), price="4")
        for client in clients:
            client.websocket.transport.abort()
        await shop.followed(0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert not shop.live._of_client
    assert not shop.live._reads
    assert not shop.live._at_end
    assert shop.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pool that it is


async def opened(shop: Shop) -> Client:
    websocket = await connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL])
    client = Client(websocket)
    await client.send({"type": "connection_init", "payload": {"authorization": f"Bearer {shop.token(shop.customer)}"}})
    await client.receive()
    return client


async def test_a_client_that_reads_nothing_does_not_hold_the_process(
    committed_market: Market, settings: Settings, database_url: str
) -> None:
    product = await committed_market.product(description="x" * 50_000)
    query = "subscription ($id: ID!) { productUpdated(productId: $id) { product { description } } }"
    secret = settings.secret_key.get_secret_value()
    with served(DATABASE_URL=database_url, SECRET_KEY=secret, SHUTDOWN_GRACE_SECONDS="1") as (server, url):
        async with connected(url.removeprefix("http://"), max_queue=1) as slow:
            slow.websocket.transport.pause_reading()
            for number in range(90):
                await slow.subscribe(query, {"id": gid(product)}, id=str(number))
            async with connected(url.removeprefix("http://")) as quick:
                await quick.subscribe(query, {"id": gid(product)})
                await quick.next()
                server.terminate()
                assert await quick.close_code() == 1012
            await asyncio.to_thread(server.wait, PATIENCE)
            slow.websocket.transport.abort()


async def test_a_connection_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def is_closed(self) -> bool:
            return False

        async def fetchval(self, *_: str) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(events, "_PATIENCE_SECONDS", 0.01)
    silent = cast(Any, Silent())
    nowhere = Database(create_async_engine("postgresql+asyncpg://nowhere/none"))
    with pytest.raises(TimeoutError):
        await events.Events(nowhere)._work(silent, silent)


async def test_who_never_gets_a_connection_is_told_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: Database) -> None:
        raise ConnectionError("a secret of the network")

    monkeypatch.setattr(subscriptions, "_ATTEMPTS", 2)
    monkeypatch.setattr(Database, "take", refuse)
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        error = await client.end()
    assert error["code"] == "INTERNAL_SERVER_ERROR"
    assert "secret" not in error["message"]
