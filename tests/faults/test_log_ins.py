"""A flood of log-ins does not stand in the way of anybody else."""

import asyncio
from threading import Event

import httpx2
import pytest

from app.security import passwords
from tests.faults.conftest import OpenShop, Shop, fault, kind
from tests.graphql.subscriptions.clients import until
from tests.users.operations import ADA, LOG_IN, SIGN_UP, UPDATE_USER

BESIDE = """
mutation ($email: String!, $password: String!) {
  logOut(input: { refreshToken: "unknown" }) { __typename }
  logIn(input: { email: $email, password: $password }) { __typename }
}
"""


def occupied_threads() -> Event:
    """Occupy the threads that verify passwords until this is set."""
    over = Event()
    for _ in range(passwords._threads._max_workers):
        passwords._threads.submit(over.wait, 10)
    return over


async def log_in(shop: Shop, query: str = LOG_IN) -> httpx2.Response:
    return await shop.api.send(query, {"email": shop.customer.email, "password": "a wrong password"})


async def test_others_are_served_while_many_log_in(open_shop: OpenShop) -> None:
    many = passwords._AT_ONCE + 10
    async with open_shop(database_pool_size=2 * passwords._AT_ONCE) as shop:
        over = occupied_threads()
        logging_in = [asyncio.create_task(log_in(shop)) for _ in range(many)]
        await until(lambda: shop.taken == passwords._AT_ONCE)
        assert (await shop.read()).json()["data"]
        assert kind(await shop.order()) == "PlaceOrderSuccess"
        assert shop.taken == passwords._AT_ONCE
        over.set()
        for response in await asyncio.gather(*logging_in):
            assert response.json()["data"]["logIn"]["__typename"] == "IncorrectCredentials"
        assert shop.taken == 0


async def test_log_ins_over_the_queue_are_refused_whoever_they_are_of(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_MOST_WAITING", 1)
    async with open_shop() as shop:
        over = occupied_threads()
        logging_in = [asyncio.create_task(log_in(shop)) for _ in range(passwords._AT_ONCE + 1)]
        await until(lambda: shop.taken == passwords._AT_ONCE)
        refused = [
            await log_in(shop),
            await shop.api.send(LOG_IN, {"email": "nobody@example.com", "password": "a wrong password"}),
            await shop.api.send(SIGN_UP, {"input": ADA}),
            await shop.api.send(UPDATE_USER, {"input": {"id": "User_1", "password": "another"}}, user=shop.customer),
        ]
        assert [fault(response) for response in refused] == ["OVERLOADED"] * 4
        assert {response.status_code for response in refused} == {503}
        renamed = await shop.api.send(UPDATE_USER, {"input": {"id": "User_1", "fullName": "B"}}, user=shop.customer)
        assert renamed.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"  # it has no password to wait for
        over.set()
        await asyncio.gather(*logging_in)
        assert (await log_in(shop)).status_code == 200


async def test_what_holds_a_connection_already_does_not_wait(open_shop: OpenShop) -> None:
    async with open_shop() as shop:
        over = occupied_threads()
        logging_in = [asyncio.create_task(log_in(shop)) for _ in range(passwords._AT_ONCE)]
        await until(lambda: shop.taken == passwords._AT_ONCE)
        assert fault(await log_in(shop, BESIDE)) == "OVERLOADED"
        assert shop.taken == passwords._AT_ONCE
        over.set()
        await asyncio.gather(*logging_in)
        assert (await log_in(shop, BESIDE)).json()["data"]["logIn"]["__typename"] == "IncorrectCredentials"
