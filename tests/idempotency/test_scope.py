"""A key is its user's own: it never gives one user what was answered to another."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from app.db.models import Order
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings
from tests.api import Api
from tests.idempotency.requests import KEY, assert_refused, is_replay, kept, keyed, order, send
from tests.market import Market
from tests.orders.operations import PLACE, item, number_of
from tests.users.operations import ADA, SIGN_UP


@pytest.mark.parametrize("second_is_superuser", [False, True])
async def test_the_same_request_of_two_users_under_one_key_is_two_orders(
    api: Api, market: Market, connection: AsyncConnection, second_is_superuser: bool
) -> None:
    product = await market.product(stock=5)
    users = [await market.user(), await market.user(is_superuser=second_is_superuser)]

    orders = [await order(api, user, product) for user in users]
    again = [await order(api, user, product) for user in users]

    assert len({response.json()["data"]["placeOrder"]["order"]["id"] for response in orders}) == 2
    assert not any(is_replay(response) for response in orders)
    assert [response.content for response in again] == [response.content for response in orders]
    assert await number_of(connection, Order) == 2


async def test_another_request_of_another_user_under_the_same_key_is_done(api: Api, market: Market) -> None:
    product = await market.product(stock=5)
    await order(api, await market.user(), product, 1)

    second = await order(api, await market.user(), product, 2)

    assert second.json()["data"]["placeOrder"]["order"]["items"][0]["quantity"] == 2


async def test_nobody_is_answered_what_a_user_was(api: Api, market: Market) -> None:
    product = await market.product()
    await order(api, await market.user(), product)

    stranger = await order(api, None, product)

    assert stranger.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert stranger.json()["data"] == {"placeOrder": None}
    assert not is_replay(stranger)


async def test_a_user_is_not_answered_what_nobody_was(api: Api, market: Market) -> None:
    await send(api, SIGN_UP, {"input": ADA})

    response = await send(api, SIGN_UP, {"input": ADA}, user=await market.user())

    assert response.json()["data"]["signUp"]["__typename"] == "Conflict"


async def test_whoever_is_not_logged_in_shares_one_set_of_keys(api: Api) -> None:
    first = await send(api, SIGN_UP, {"input": ADA})

    again = await send(api, SIGN_UP, {"input": ADA})
    other = await send(api, SIGN_UP, {"input": {**ADA, "email": "bob@example.com"}})

    assert (again.content, is_replay(again)) == (first.content, True)
    assert_refused(other)


async def test_keys_that_differ_in_case_are_different(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product()

    responses = [await order(api, customer, product, key=key) for key in ("the-key-1", "THE-KEY-1", "The-Key-1")]

    assert len({response.json()["data"]["placeOrder"]["order"]["id"] for response in responses}) == 3
    assert len(await kept(connection)) == 3


async def test_a_token_that_has_expired_gets_no_answer_and_uses_no_key_up(
    api: Api, market: Market, connection: AsyncConnection, settings: Settings
) -> None:
    customer, product = await market.user(), await market.product()
    expired = AccessTokens(settings.secret_keys, timedelta(minutes=-1))
    token, _ = expired.issue(Viewer(id=customer.id), uuid7())

    async def order_with_expired_token() -> str:
        headers = {"Authorization": f"Bearer {token}", **keyed()}
        response = await api.send(PLACE, {"items": [item(product)]}, headers=headers)
        return str(response.json()["errors"][0]["extensions"]["code"])

    assert await order_with_expired_token() == "UNAUTHENTICATED"
    assert await kept(connection) == []
    first = await order(api, customer, product)
    assert first.json()["data"]["placeOrder"]["__typename"] == "PlaceOrderSuccess"
    assert await kept(connection) == [KEY]
    assert await order_with_expired_token() == "UNAUTHENTICATED"
    assert is_replay(await order(api, customer, product))
