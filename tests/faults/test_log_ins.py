"""A flood of log-ins does not stand in the way of anybody else, and nobody stands in the way of log-ins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.security import passwords
from app.settings import Settings
from tests.api import Api
from tests.faults.conftest import OpenShop, Shop, fault, kind
from tests.graphql.subscriptions.clients import PATIENCE, until
from tests.market import PASSWORD, Market, gid
from tests.servers import served
from tests.users.operations import ADA, LOG_IN, SIGN_UP, UPDATE_USER

BESIDE = """
mutation ($id: ID!, $email: String!, $password: String!) {
  updateUser(input: { id: $id, fullName: "B" }) { __typename }
  logIn(input: { email: $email, password: $password }) { __typename }
}
"""
RENAME_AND_ORDER = """
mutation ($id: ID!, $product: ID!) {
  updateUser(input: { id: $id, fullName: "B" }) { __typename }
  placeOrder(input: { items: [{ productId: $product, quantity: 1 }] }) { __typename }
}
"""


async def until_waiting(connection: AsyncConnection, number: int) -> None:
    """Return once so many connections of the application wait for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'orders-api'"
        " AND datname = current_database()"
    )
    async with asyncio.timeout(PATIENCE):
        while await connection.scalar(waiting) != number:
            await connection.execute(text("SELECT pg_stat_clear_snapshot()"))


@asynccontextmanager
async def occupied_thread() -> AsyncIterator[None]:
    """Occupy the thread that hashes passwords."""
    over = Event()
    occupied = asyncio.create_task(passwords._thread.run(over.wait, 10))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        over.set()
        await occupied


async def log_in(shop: Shop, query: str = LOG_IN) -> httpx2.Response:
    variables = {"email": shop.customer.email, "password": "a wrong password"}
    if query == BESIDE:
        return await shop.api.send(query, {**variables, "id": gid(shop.customer)}, user=shop.customer)
    return await shop.api.send(query, variables)


async def test_who_waits_for_a_hash_holds_no_connection(open_shop: OpenShop) -> None:
    change = {"id": "", "password": "a new password", "currentPassword": PASSWORD}
    async with open_shop(database_pool_size=1) as shop:
        change["id"] = gid(shop.customer)
        async with occupied_thread():
            waiting = [
                asyncio.create_task(request)
                for request in (
                    *(log_in(shop) for _ in range(10)),
                    log_in(shop, BESIDE),
                    shop.api.send(SIGN_UP, {"input": ADA}),
                    shop.api.send(UPDATE_USER, {"input": change}, user=shop.customer),
                )
            ]
            await until(lambda: passwords.waiting() == 1 + len(waiting))
            assert shop.taken == 0
            assert (await shop.read()).json()["data"]
            assert kind(await shop.order()) == "PlaceOrderSuccess"
        for response in await asyncio.gather(*waiting):
            (*_, result) = response.json()["data"].values()
            assert result["__typename"] in ("IncorrectCredentials", "SignUpSuccess", "UpdateUserSuccess")
        assert shop.taken == 0


async def test_log_ins_over_the_queue_are_refused_whoever_they_are_of(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_MOST_WAITING", 2)
    async with open_shop() as shop:
        me = gid(shop.customer)
        change = {"id": me, "password": "another password", "currentPassword": PASSWORD}
        async with occupied_thread():
            logging_in = asyncio.create_task(log_in(shop))
            await until(lambda: passwords.waiting() == 2)
            refused = [
                await log_in(shop),
                await shop.api.send(LOG_IN, {"email": "nobody@example.com", "password": "a wrong password"}),
                await shop.api.send(SIGN_UP, {"input": ADA}),
                await shop.api.send(UPDATE_USER, {"input": change}, user=shop.customer),
                await log_in(shop, BESIDE),
            ]
            assert [fault(response) for response in refused] == ["OVERLOADED"] * 5
            assert {response.status_code for response in refused} == {503}
            renamed = await shop.api.send(UPDATE_USER, {"input": {"id": me, "fullName": "B"}}, user=shop.customer)
            assert renamed.json()["data"]["updateUser"]["__typename"] == "UpdateUserSuccess"  # it hashes nothing
        await logging_in
        assert (await log_in(shop)).status_code == 200


async def test_a_log_in_that_is_given_up_waits_no_longer(open_shop: OpenShop) -> None:
    async with open_shop(operation_timeout_seconds=0.2) as shop, occupied_thread():
        assert fault(await log_in(shop)) == "TIMEOUT"
        assert passwords.waiting() == 1


@pytest.mark.direct("five requests of one user wait in Postgres, as many as the pooler has connections")
async def test_a_user_whose_account_is_locked_keeps_nobody_else_from_logging_in(
    committed_market: Market, database_url: str, settings: Settings
) -> None:
    """One of their requests holds the lock and waits for a product; four more want to change the password."""
    user, others = await committed_market.user(), [await committed_market.user() for _ in range(5)]
    product = await committed_market.product(stock=10)
    ids = {"id": gid(user), "product": gid(product)}
    change = {"input": {"id": gid(user), "password": "another horse battery", "currentPassword": PASSWORD}}
    engine = create_async_engine(database_url)
    with served(DATABASE_URL=database_url) as (_, url):
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client, engine.connect() as connection:
            api = Api(client, settings)
            await connection.execute(text("SELECT FROM products FOR UPDATE"))
            held_up = [asyncio.create_task(api.send(RENAME_AND_ORDER, ids, user=user))]
            await until_waiting(connection, 1)
            held_up += [asyncio.create_task(api.send(UPDATE_USER, change, user=user)) for _ in range(4)]
            await until_waiting(connection, 5)

            for other in others:
                answer = await api.data(LOG_IN, {"email": other.email, "password": PASSWORD})
                assert answer["logIn"]["__typename"] == "LogInSuccess"

            assert not any(task.done() for task in held_up)
            await connection.rollback()
            ordered, *changed = [response.json()["data"] for response in await asyncio.gather(*held_up)]
    await engine.dispose()
    assert ordered["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    kinds = sorted(result["updateUser"]["__typename"] for result in changed)
    assert kinds == ["InvalidInput"] * 3 + ["UpdateUserSuccess"]  # the current password is another one by then
