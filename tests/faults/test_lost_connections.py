"""Connections that broke are not noticed by clients, as long as nothing was written on them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app.db.statements import Prepared
from app.db.unit_of_work import UnitOfWork
from tests.databases import run_on
from tests.faults.conftest import PATHS, READ, OpenShop, Shop, fault, kind
from tests.graphql.subscriptions.clients import PATIENCE
from tests.locks import held
from tests.orders.operations import PLACE, PLACE_IN_TRANSACTION

KEY = {"Idempotency-Key": "12345678"}
OURS = "FROM pg_stat_activity WHERE application_name = 'orders-api' AND datname = current_database()"


async def filled(shop: Shop, number: int) -> None:
    """Have so many idle connections in the pool."""
    for connection in [await shop.database.take() for _ in range(number)]:
        connection.close()


async def end_connections(shop: Shop) -> None:
    """Have Postgres end every connection of the pool, and wait until it has."""
    ended = {row[0] for row in await shop.sql(f"SELECT pid, pg_terminate_backend(pid) {OURS}")}
    async with asyncio.timeout(PATIENCE):
        while ended & {row[0] for row in await shop.sql(f"SELECT pid {OURS}")}:
            pass


@pytest.mark.parametrize("path", PATHS)
async def test_no_request_fails_for_connections_that_broke_while_they_were_idle(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path], database_pool_size=5) as shop:
        await filled(shop, 5)
        await end_connections(shop)
        for _ in range(4):
            assert (await shop.read()).json()["data"]
            assert kind(await shop.order()) == "PlaceOrderSuccess"
        await end_connections(shop)
        for response in await asyncio.gather(*(shop.order() for _ in range(5))):
            assert kind(response) == "PlaceOrderSuccess"
        assert shop.taken == 0
        assert await shop.state() == (9, 91)


async def test_no_write_is_sent_on_a_connection_of_which_the_event_loop_has_not_noticed_that_it_broke(
    open_shop: OpenShop, database_url: str
) -> None:
    """Or its outcome would be unknown."""
    statement = Prepared(select(func.pg_backend_pid().label("pid")))
    end = text(f"SELECT pg_terminate_backend(pid, 5000) {OURS}")
    async with open_shop(database_pool_size=1) as shop:
        await filled(shop, 1)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(run_on, database_url, lambda connection: connection.execute(end)).result()
        work = UnitOfWork(shop.database)
        work.begin_one_statement()
        assert await work.write(statement, bool)
        await work.close()


@pytest.mark.parametrize("path", PATHS)
async def test_a_query_whose_connection_breaks_under_it_is_read_on_another_one(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path]) as shop:
        async with shop.unreadable():
            reading = asyncio.create_task(shop.read())
            await shop.until_waiting(1)
            await shop.sql(f"SELECT pg_terminate_backend(pid) {OURS} AND wait_event_type = 'Lock'")
        assert (await reading).json()["data"]
        assert shop.taken == 0


async def test_what_is_read_again_is_explained_as_it_was_sent(open_shop: OpenShop) -> None:
    async with open_shop(compiled_path=False) as shop:
        async with shop.unreadable():
            reading = asyncio.create_task(shop.api.send(READ, headers={"X-Explain": "true"}))
            await shop.until_waiting(1)
            await end_connections(shop)
        assert len((await reading).json()["extensions"]["explain"]["statements"]) == 2
        assert shop.taken == 0


@pytest.mark.parametrize("path", PATHS)
async def test_a_query_whose_connections_break_again_is_given_up(open_shop: OpenShop, path: str) -> None:
    async with open_shop(compiled_path=PATHS[path]) as shop, shop.unreadable():
        reading = asyncio.create_task(shop.read())
        for _ in range(2):
            await shop.until_waiting(1)
            await end_connections(shop)
        assert fault(await reading) == "DATABASE_UNAVAILABLE"


async def test_an_order_whose_connection_breaks_has_an_unknown_outcome_and_is_not_sent_again(
    open_shop: OpenShop,
) -> None:
    """It commits by itself, so it may have by then."""
    async with open_shop() as shop:
        async with held(shop.engine, shop.product):
            ordering = asyncio.create_task(shop.order())
            await shop.until_waiting(1)
            await end_connections(shop)
            assert fault(await ordering) == "OUTCOME_UNKNOWN"
        assert await shop.state() == (0, 100)
        assert shop.taken == 0


@pytest.mark.parametrize("path", PATHS)
async def test_an_order_whose_connection_breaks_after_it_is_read_on_another_one(
    open_shop: OpenShop, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = UnitOfWork.write

    async def write_and_break(work: UnitOfWork, *arguments: Any, **values: Any) -> Any:
        rows = await write(work, *arguments, **values)
        await end_connections(shop)
        return rows

    async with open_shop(compiled_path=PATHS[path]) as shop:
        monkeypatch.setattr(UnitOfWork, "write", write_and_break)
        response = await shop.order()
        assert kind(response) == "PlaceOrderSuccess"
        assert "errors" not in response.json()
        assert await shop.state() == (1, 99)


async def test_an_order_that_cannot_be_read_says_that_it_is_placed(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No code may say that nothing was done, or the client would place it again."""
    write = UnitOfWork.write

    async def write_and_break(work: UnitOfWork, *arguments: Any, **values: Any) -> Any:
        rows = await write(work, *arguments, **values)
        monkeypatch.setattr(UnitOfWork, "_attempted", no_connection)
        return rows

    async def no_connection(*_: Any) -> Any:
        raise OSError

    async with open_shop() as shop:
        monkeypatch.setattr(UnitOfWork, "write", write_and_break)
        response = await shop.order()
        monkeypatch.undo()
        (error,) = response.json()["errors"]
        assert response.status_code == 200  # or a proxy would send it again
        assert "Retry-After" not in response.headers
        assert error["extensions"] == {"code": "PAYLOAD_UNREADABLE", "cause": "DATABASE_UNAVAILABLE"}
        assert "has been done" in error["message"]
        assert await shop.state() == (1, 99)


async def test_a_mutation_whose_connection_breaks_is_undone_and_not_sent_again(open_shop: OpenShop) -> None:
    async with open_shop() as shop:
        async with held(shop.engine, shop.product):
            ordering = asyncio.create_task(shop.order(PLACE_IN_TRANSACTION, **KEY))
            await shop.until_waiting(1)
            await end_connections(shop)
            assert fault(await ordering) == "DATABASE_UNAVAILABLE"
        assert await shop.state() == (0, 100)
        assert kind(await shop.order()) == "PlaceOrderSuccess"
        assert await shop.state() == (1, 99)


@pytest.mark.parametrize("query", [PLACE, PLACE_IN_TRANSACTION], ids=["alone", "in a transaction"])
async def test_a_commit_whose_connection_breaks_has_an_unknown_outcome(open_shop: OpenShop, query: str) -> None:
    async with open_shop() as shop:
        async with shop.at_commit("pg_terminate_backend(pg_backend_pid())"):
            response = await shop.order(query, **KEY)
        assert fault(response) == "OUTCOME_UNKNOWN"
        assert response.status_code == 200  # or a proxy might send it again
        assert shop.taken == 0
        orders, _ = await shop.state()
        assert kind(await shop.order(query, **KEY)) == "PlaceOrderSuccess"
        assert await shop.state() == (1, 99)
        assert orders in (0, 1)


async def test_a_connection_that_breaks_before_commit_has_undone_the_mutation(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.audit import recording

    write = recording.write

    async def write_and_break(*arguments: object, **options: object) -> None:
        await write(*arguments, **options)  # type: ignore[arg-type]  # passed on as they are
        await end_connections(shop)
        await asyncio.sleep(0.05)  # the socket is read by the loop

    async with open_shop() as shop:
        with monkeypatch.context() as patch:
            patch.setattr(recording, "write", write_and_break)
            assert fault(await shop.order(PLACE_IN_TRANSACTION, **KEY)) == "DATABASE_UNAVAILABLE"
        assert await shop.state() == (0, 100)
