"""An access token outlives its session by minutes, in which it changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Order, Store
from tests.api import Api
from tests.idempotency.requests import kept, keyed
from tests.market import PASSWORD, Market, gid
from tests.orders.operations import PLACE, item, number_of
from tests.security.test_rights import CREATE_STORE
from tests.users.operations import DELETE_USER, LOG_OUT, UPDATE_USER, bearer, log_in, log_out, sign_up

ENDED = {"message": "The session has ended. Log in again.", "code": "UNAUTHENTICATED"}
OTHER_PASSWORD = "another long password"
DELETE_SESSIONS = text("DELETE FROM sessions WHERE user_id = :user")


async def logged_out(api: Api, session: Any) -> None:
    assert await log_out(api, session["refreshToken"])


async def password_changed_elsewhere(api: Api, session: Any) -> None:
    user = session["user"]
    elsewhere = (await log_in(api, user["email"]))["session"]
    await updated(api, elsewhere, user["id"], password=OTHER_PASSWORD, currentPassword=PASSWORD)


ends = pytest.mark.parametrize("end", [logged_out, password_changed_elsewhere])
Ending = Callable[[Api, Any], Awaitable[None]]


async def updated(api: Api, session: Any, id: str, **changes: str) -> Any:
    return (await api.send(UPDATE_USER, {"input": {"id": id, **changes}}, headers=bearer(session))).json()


async def errors_of(api: Api, session: Any, document: str, variables: Any = None) -> list[dict[str, str]]:
    """Return the errors of a mutation that has done nothing."""
    result = (await api.send(document, variables, headers={**bearer(session), **keyed()})).json()
    assert [*result["data"].values()] == [None]
    return [{"message": error["message"], "code": error["extensions"]["code"]} for error in result["errors"]]


@ends
@pytest.mark.parametrize("password", [PASSWORD, OTHER_PASSWORD])
async def test_a_token_of_an_ended_session_changes_no_email_or_password(
    api: Api, market: Market, end: Ending, password: str
) -> None:
    user = await market.user(email="ada@example.com")
    session = (await log_in(api, user))["session"]
    await end(api, session)

    for change in ({"email": "thief@example.com"}, {"password": "the password of a thief"}, {"fullName": "Thief"}):
        changes = {"input": {"id": gid(user), "currentPassword": password, **change}}
        assert await errors_of(api, session, UPDATE_USER, changes) == [ENDED]

    assert (await market.reload(user)).email == "ada@example.com"
    assert user.full_name != "Thief"


@ends
async def test_a_token_of_an_ended_session_orders_nothing_and_opens_no_store(
    api: Api, market: Market, connection: AsyncConnection, end: Ending
) -> None:
    product, user = await market.product(stock=5), await market.user()
    session = (await log_in(api, user))["session"]
    stores = await number_of(connection, Store)
    await end(api, session)

    assert await errors_of(api, session, PLACE, {"items": [item(product)]}) == [ENDED]
    assert await errors_of(api, session, CREATE_STORE) == [ENDED]

    assert (await number_of(connection, Order), await number_of(connection, Store)) == (0, stores)
    assert (await market.reload(product)).stock == 5
    assert await kept(connection) == []


@ends
@pytest.mark.parametrize("whose", ["own", "another"])
async def test_a_token_of_an_ended_session_closes_no_account(api: Api, market: Market, end: Ending, whose: str) -> None:
    superuser, other = await market.superuser(), await market.user()
    session = (await log_in(api, superuser))["session"]
    await end(api, session)

    account = superuser if whose == "own" else other
    assert await errors_of(api, session, DELETE_USER, {"id": gid(account)}) == [ENDED]

    assert (await market.reload(account)).deleted_at is None


async def test_the_session_that_changes_a_password_goes_on(api: Api, market: Market) -> None:
    user = await market.user()
    session = (await log_in(api, user))["session"]

    for name, password in (("Ada", PASSWORD), ("Ada Lovelace", OTHER_PASSWORD)):
        changes = {"password": OTHER_PASSWORD, "currentPassword": password, "fullName": name}
        result = await updated(api, session, gid(user), **changes)
        assert result["data"]["updateUser"]["user"]["fullName"] == name


async def test_who_logs_out_can_change_nothing_afterwards_in_the_same_request(api: Api) -> None:
    session = (await sign_up(api))["session"]
    document = LOG_OUT.replace("mutation ($token: String!) {", f"mutation ($token: String!) {{ {OPEN}", 1)
    document = document.rsplit("}", 1)[0] + OPEN.replace("before", "after") + "}"

    result = (await api.send(document, {"token": session["refreshToken"]}, headers=bearer(session))).json()

    assert result["data"]["before"] == {"__typename": "CreateStoreSuccess"}
    assert result["data"]["logOut"]["wasOpen"]
    assert result["data"]["after"] is None
    assert [error["message"] for error in result["errors"]] == [ENDED["message"]]


OPEN = """
before: createStore(input: {
  name: "before", street: "Main Street 1", postcode: "10115", city: "Berlin", country: "DE", currency: "EUR"
}) { __typename }
"""


async def test_a_token_of_a_session_that_the_database_does_not_know_changes_nothing(api: Api, market: Market) -> None:
    """It was deleted by hand, or the database was restored."""
    user = await market.user()
    session = {"accessToken": api.token(user)}
    user_of_another = await market.user()
    await market.session.execute(DELETE_SESSIONS, {"user": user.id})
    await market.session.commit()

    assert await errors_of(api, session, CREATE_STORE) == [ENDED]
    assert (await api.data(CREATE_STORE, user=user_of_another))["createStore"]["__typename"] == "CreateStoreSuccess"


async def test_reads_go_on_until_the_token_expires(api: Api, market: Market) -> None:
    user = await market.user()
    session = (await log_in(api, user))["session"]
    await log_out(api, session["refreshToken"])

    response = await api.send("{ viewer { id } }", headers=bearer(session))

    assert response.json()["data"] == {"viewer": {"id": gid(user)}}


async def test_with_the_token_of_an_ended_session_one_can_log_in_again(api: Api, market: Market) -> None:
    user = await market.user()
    session = (await log_in(api, user))["session"]
    await log_out(api, session["refreshToken"])

    log_in_again = f'mutation {{ logIn(input: {{ email: "{user.email}", password: "{PASSWORD}" }}) {{ __typename }} }}'
    response = await api.send(log_in_again, headers=bearer(session))

    assert response.json()["data"] == {"logIn": {"__typename": "LogInSuccess"}}
