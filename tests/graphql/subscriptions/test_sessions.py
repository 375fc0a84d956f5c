"""What is open for a session ends with it: a subscription at the next event, a websocket within a minute."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.graphql.http.websockets import SESSION_OVER
from app.graphql.subscriptions import sessions
from tests.graphql.subscriptions.clients import connected
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PRODUCT
from tests.market import PASSWORD, gid
from tests.products.changes import update
from tests.users.operations import UPDATE_USER, bearer, log_in, log_out


@pytest.fixture(params=[False, True], ids=["resolver", "compiled"])
def changed_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"compiled_path": request.param}


async def logged_out(shop: Shop, session: Any) -> None:
    await log_out(shop.api, session["refreshToken"])


async def password_changed_elsewhere(shop: Shop, session: Any) -> None:
    elsewhere = (await log_in(shop.api, shop.customer))["session"]
    changes = {"password": "another long password", "currentPassword": PASSWORD}
    variables = {"input": {"id": gid(shop.customer), **changes}}
    response = await shop.api.send(UPDATE_USER, variables, headers=bearer(elsewhere))
    assert response.json()["data"]["updateUser"]["__typename"] == "UpdateUserSuccess"


async def logged_in(shop: Shop) -> Any:
    return (await log_in(shop.api, shop.customer))["session"]


ends = pytest.mark.parametrize("end", [logged_out, password_changed_elsewhere])
Ending = Callable[[Shop, Any], Awaitable[None]]


@ends
async def test_a_subscription_ends_at_the_next_event(shop: Shop, end: Ending) -> None:
    session = await logged_in(shop)
    async with connected(shop.address, session["accessToken"]) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()
        await end(shop, session)
        await update(shop.api, shop.owner, id=gid(shop.product), price="2")
        assert (await client.end())["code"] == "UNAUTHENTICATED"
    await shop.followed(0)


async def test_a_subscription_of_another_session_of_the_user_goes_on(shop: Shop) -> None:
    """Both follow the same thing, and their reads must not be one."""
    ended, other = await logged_in(shop), await logged_in(shop)
    async with (
        connected(shop.address, ended["accessToken"]) as first,
        connected(shop.address, other["accessToken"]) as second,
    ):
        for client in (first, second):
            await client.subscribe(PRODUCT, {"id": gid(shop.product)})
            await client.next()
        await log_out(shop.api, ended["refreshToken"])
        await update(shop.api, shop.owner, id=gid(shop.product), price="2")
        assert (await second.next())["productUpdated"]["product"]["price"] == {"amount": "2.00"}
        assert (await first.end())["code"] == "UNAUTHENTICATED"


async def test_a_subscription_of_an_ended_session_does_not_begin(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    session = await logged_in(shop)
    await log_out(shop.api, session["refreshToken"])
    async with connected(shop.address, session["accessToken"]) as client:
        for query, row in ((ORDER, order), (PRODUCT, shop.product)):
            await client.subscribe(query, {"id": gid(row)})
            assert await client.refusal() == "UNAUTHENTICATED"


@ends
async def test_a_websocket_is_closed_within_a_minute(shop: Shop, end: Ending) -> None:
    session = await logged_in(shop)
    other, anonymous = connected(shop.address, shop.token(shop.owner)), connected(shop.address)
    async with connected(shop.address, session["accessToken"]) as client, other as others, anonymous as nobodys:
        for each in (client, others, nobodys):
            await each.subscribe(PRODUCT, {"id": gid(shop.product)})
            await each.next()
        await shop.services.live_sessions.check()
        await client.subscribe("{ __typename }", id="2")
        assert await client.next("2") == {"__typename": "Query"}

        await end(shop, session)
        await shop.services.live_sessions.check()

        assert await client.close_code() == SESSION_OVER
        assert client.websocket.close_reason == "The session has ended. Log in again."
        await update(shop.api, shop.owner, id=gid(shop.product), price="2")
        for each in (others, nobodys):
            await each.next()


async def test_sessions_are_checked_again_and_again_although_a_check_fails(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await logged_in(shop)
    live, check = shop.services.live_sessions, sessions.LiveSessions.check
    failures = [OSError("the database is away")]

    async def checked(self: sessions.LiveSessions) -> None:
        if failures:
            raise failures.pop()
        await check(self)

    monkeypatch.setattr(sessions, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(sessions.LiveSessions, "check", checked)
    async with connected(shop.address, session["accessToken"]) as client, live.running():
        await logged_out(shop, session)
        assert await client.close_code() == SESSION_OVER
    assert not failures
