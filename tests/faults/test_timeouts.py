"""What takes too long is given up, and undone: by Postgres a statement, by the server a whole operation."""

import asyncio
from typing import Any

import pytest
from asyncpg import QueryCanceledError
from sqlalchemy import event, text

from app.db.unit_of_work import UnitOfWork
from tests.faults.conftest import PATHS, OpenShop, Shop, fault, kind
from tests.graphql.subscriptions.clients import until
from tests.locks import held
from tests.orders.operations import PLACE, PLACE_IN_TRANSACTION, item

pytestmark = pytest.mark.direct("each test has a time limit of its own, which belongs to the role behind a pooler")

# What waits for ever takes longer than these, and what waits for nothing does not, on a machine that is busy.
STATEMENT, OPERATION = 0.5, 1.0


def let_statements_run(shop: Shop) -> None:
    """Have Postgres end no statement by itself, which it does otherwise when the operation's time is over."""

    @event.listens_for(shop.database.engine.sync_engine, "connect")
    def unlimit(connection: Any, _: Any) -> None:
        connection.run_async(lambda driver: driver.execute("SET statement_timeout = 0"))


@pytest.mark.parametrize("path", PATHS)
async def test_a_query_whose_statement_takes_too_long_is_a_timeout(open_shop: OpenShop, path: str) -> None:
    async with open_shop(statement_timeout_seconds=STATEMENT, compiled_path=PATHS[path]) as shop:
        async with shop.unreadable():
            response = await shop.read()
        assert fault(response) == "TIMEOUT"
        assert response.status_code == 200
        assert shop.taken == 0
        assert (await shop.read()).json()["data"]


async def test_a_mutation_whose_statement_takes_too_long_is_undone(open_shop: OpenShop) -> None:
    async with open_shop(statement_timeout_seconds=STATEMENT) as shop:
        async with held(shop.engine, shop.product):
            assert fault(await shop.order()) == "TIMEOUT"
        assert await shop.state() == (0, 100)
        assert kind(await shop.order()) == "PlaceOrderSuccess"
        assert await shop.state() == (1, 99)


@pytest.mark.parametrize("path", PATHS)
async def test_a_query_that_takes_too_long_as_a_whole_is_a_timeout_and_ends_in_postgres(
    open_shop: OpenShop, path: str
) -> None:
    async with open_shop(operation_timeout_seconds=OPERATION, compiled_path=PATHS[path]) as shop:
        let_statements_run(shop)
        async with shop.unreadable():
            assert fault(await shop.read()) == "TIMEOUT"
            assert shop.taken == 0
            async with asyncio.timeout(5):
                while await shop.statements():
                    pass
        assert (await shop.read()).json()["data"]


async def test_a_mutation_that_takes_too_long_as_a_whole_is_undone_and_its_key_is_free(open_shop: OpenShop) -> None:
    key = {"Idempotency-Key": "12345678"}
    async with open_shop(operation_timeout_seconds=OPERATION) as shop:
        let_statements_run(shop)
        async with held(shop.engine, shop.product):
            assert fault(await shop.order(PLACE_IN_TRANSACTION, **key)) == "TIMEOUT"
            assert shop.taken == 0
        assert await shop.state() == (0, 100)
        assert kind(await shop.order(PLACE_IN_TRANSACTION, **key)) == "PlaceOrderSuccess"
        assert await shop.state() == (1, 99)


async def test_what_is_being_committed_is_not_given_up(open_shop: OpenShop) -> None:
    async with open_shop(operation_timeout_seconds=OPERATION) as shop:
        let_statements_run(shop)
        async with shop.at_commit(f"pg_sleep({1.2 * OPERATION})"):
            assert kind(await shop.order()) == "PlaceOrderSuccess"
        assert await shop.state() == (1, 99)


async def test_a_commit_that_is_never_answered_has_an_unknown_outcome(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = "pg_advisory_xact_lock(1)"
    async with open_shop() as shop:
        async with shop.at_commit(lock), shop.engine.begin() as other:
            await other.execute(text(f"SELECT {lock}"))
            with monkeypatch.context() as patch:
                patch.setattr("app.db.unit_of_work._COMMIT_SECONDS", 0.1)
                assert fault(await shop.order(**{"Idempotency-Key": "12345678"})) == "OUTCOME_UNKNOWN"
            assert shop.taken == 0
        assert kind(await shop.order()) == "PlaceOrderSuccess"


async def test_an_order_that_is_never_answered_has_an_unknown_outcome(open_shop: OpenShop) -> None:
    lock = "pg_advisory_xact_lock(1)"
    async with open_shop(database_pool_size=1) as shop:
        async with shop.at_commit(lock), shop.engine.begin() as other:
            await other.execute(text(f"SELECT {lock}"))
            shop.database.write_seconds = 0.1
            (before,) = await shop.database.driver_row("SELECT pg_backend_pid()", [])
            assert fault(await shop.order()) == "OUTCOME_UNKNOWN"
            assert shop.taken == 0
            # On the connection another order might wait for the end of this one.
            (after,) = await shop.database.driver_row("SELECT pg_backend_pid()", [])
            assert after != before
        assert kind(await shop.order()) == "PlaceOrderSuccess"


@pytest.mark.parametrize("quantity", [1, 101], ids=["placed", "refused"])
async def test_what_is_read_of_an_order_has_a_time_limit_too(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch, quantity: int
) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)

    async with open_shop(operation_timeout_seconds=0.3) as shop:
        monkeypatch.setattr(UnitOfWork, "driver_row", never)
        monkeypatch.setattr(UnitOfWork, "rows", never)
        response = await shop.api.send(PLACE, {"items": [item(shop.product, quantity)]}, user=shop.customer)
        assert response.status_code == 200
        (error,) = response.json()["errors"]
        codes = {"code": "TIMEOUT"} if quantity > 100 else {"code": "PAYLOAD_UNREADABLE", "cause": "TIMEOUT"}
        assert error["extensions"] == codes
        assert await shop.state() == ((1, 99) if quantity == 1 else (0, 100))


@pytest.mark.parametrize("path", PATHS)
async def test_what_could_not_be_read_of_an_order_is_shown_when_the_request_is_sent_again(
    open_shop: OpenShop, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: Any, **__: Any) -> Any:
        raise QueryCanceledError

    key = {"Idempotency-Key": "12345678"}
    async with open_shop(compiled_path=PATHS[path]) as shop:
        with monkeypatch.context() as patch:
            patch.setattr(UnitOfWork, "driver_row", cancelled)
            patch.setattr(UnitOfWork, "rows", cancelled)
            errors = (await shop.order(**key)).json()["errors"]
        assert {error["extensions"]["code"] for error in errors} == {"PAYLOAD_UNREADABLE"}

        again, last = [await shop.order(**key) for _ in range(2)]

        assert kind(again) == "PlaceOrderSuccess"
        assert "errors" not in again.json()
        assert last.content == again.content
        assert await shop.state() == (1, 99)


async def test_a_transaction_in_which_nothing_happens_is_ended_by_postgres(open_shop: OpenShop) -> None:
    async with open_shop(operation_timeout_seconds=7, statement_timeout_seconds=30) as shop:
        async with shop.database.engine.connect() as connection:
            names = ("idle_in_transaction_session_timeout", "statement_timeout")
            shown = [await connection.scalar(text(f"SHOW {name}")) for name in names]
        assert shown == ["14s", "7s"]
        await until(lambda: shop.taken == 0)


async def test_what_took_too_long_is_not_asked_again(open_shop: OpenShop) -> None:
    async with open_shop(compiled_path=False, statement_timeout_seconds=STATEMENT) as shop:
        sent: list[str] = []
        engine = shop.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda _, __, statement, *___: sent.append(statement))
        async with shop.engine.begin() as connection:
            await connection.execute(text("LOCK TABLE stores IN ACCESS EXCLUSIVE MODE"))
            response = await shop.api.send("{ products { nodes { store { name } } } }")
        assert fault(response) == "TIMEOUT"
        assert sum("FROM stores" in statement for statement in sent) == 1
