"""Refresh tokens: good for one use, which can be repeated for seconds; one that comes later again ends its login."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import RefreshToken, Session, User
from app.security.tokens import RefreshTokens, refresh_token_hash
from app.settings import Settings
from app.users.service import REPEATABLE
from tests.api import Api
from tests.idempotency.requests import KEY
from tests.idempotency.test_secrecy import api_with
from tests.market import Market, gid
from tests.users.operations import (
    BEGUN,
    REFRESH_TOKENS,
    REFUSED,
    SESSIONS,
    bearer,
    log_in,
    log_out,
    logged_in,
    refresh,
    value,
)


async def expire(connection: AsyncConnection, token: str) -> None:
    statement = update(RefreshToken).where(RefreshToken.token_hash == refresh_token_hash(token))
    await connection.execute(statement.values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))


async def test_a_refresh_token_gives_new_tokens(api: Api, market: Market) -> None:
    user = await market.user()
    token = await logged_in(api, user)

    session = (await refresh(api, token))["session"]

    assert session["refreshToken"] != token
    assert session["user"] == {"id": gid(user), "email": user.email, "fullName": user.full_name, "isSuperuser": False}
    response = await api.send("{ viewer { id } }", headers={"Authorization": f"Bearer {session['accessToken']}"})
    assert response.json()["data"] == {"viewer": {"id": gid(user)}}


async def test_the_new_refresh_token_gives_the_next(api: Api, market: Market) -> None:
    token = await logged_in(api, await market.user())
    seen = {token}

    for _ in range(3):
        token = (await refresh(api, token))["session"]["refreshToken"]
        seen.add(token)

    assert len(seen) == 4


async def test_the_tokens_that_follow_one_another_are_of_one_session(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    token = await logged_in(api, await market.user())

    await refresh(api, token)

    assert await value(connection, SESSIONS) == 1
    assert await value(connection, REFRESH_TOKENS) == 2


async def test_a_new_refresh_token_lives_as_long_as_is_set(
    api: Api, market: Market, connection: AsyncConnection, settings: Settings
) -> None:
    token = await logged_in(api, await market.user())
    await connection.execute(update(RefreshToken).values(expires_at=datetime.now(UTC) + timedelta(hours=1)))

    newest = (await refresh(api, token))["session"]["refreshToken"]

    expires_at = await value(
        connection, select(RefreshToken.expires_at).where(RefreshToken.token_hash == refresh_token_hash(newest))
    )
    assert expires_at > datetime.now(UTC) + timedelta(days=settings.refresh_token_days, minutes=-1)


async def test_new_tokens_tell_of_rights_that_have_changed(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    token = await logged_in(api, await market.superuser())
    await connection.execute(update(User).values(is_superuser=False))

    session = (await refresh(api, token))["session"]

    assert session["user"]["isSuperuser"] is False
    response = await api.send("{ users { totalCount } }", headers={"Authorization": f"Bearer {session['accessToken']}"})
    assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("token", ["", "unknown", "\0", "ü", "x" * 10_000])
async def test_a_token_that_was_never_given_out_is_refused(api: Api, market: Market, token: str) -> None:
    await logged_in(api, await market.user())

    assert await refresh(api, token) == REFUSED


@pytest.mark.parametrize("keys", [(None, None), (KEY, KEY), (KEY, None), (None, KEY)])
async def test_a_refresh_that_is_repeated_at_once_returns_the_same_refresh_token(
    api: Api, market: Market, connection: AsyncConnection, keys: tuple[str | None, str | None]
) -> None:
    """Two tabs refresh at once, or a response gets lost."""
    user = await market.user()
    token = await logged_in(api, user)

    first, again = [await refresh(api, token, key=key) for key in keys]

    assert again["session"]["refreshToken"] == first["session"]["refreshToken"]
    for answer in (first, again):
        response = await api.send("{ viewer { id } }", headers=bearer(answer["session"]))
        assert response.json()["data"] == {"viewer": {"id": gid(user)}}
    assert await value(connection, REFRESH_TOKENS) == 2
    assert (await refresh(api, again["session"]["refreshToken"]))["__typename"] == "RefreshSessionSuccess"


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_refresh_that_is_repeated_once_its_token_was_used_ends_the_session(
    api: Api, market: Market, key: str | None
) -> None:
    """A thief who stole the first token is noticed, whether or not the client sends keys."""
    first = await logged_in(api, await market.user())
    second = (await refresh(api, first, key=key))["session"]["refreshToken"]
    newest = (await refresh(api, second))["session"]["refreshToken"]

    assert await refresh(api, first, key=key) == REFUSED
    assert await refresh(api, newest) == REFUSED


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_refresh_that_is_repeated_later_ends_the_session(
    api: Api, market: Market, connection: AsyncConnection, key: str | None
) -> None:
    first = await logged_in(api, await market.user())
    newest = (await refresh(api, first, key=key))["session"]["refreshToken"]
    ago = func.now() - REPEATABLE
    await connection.execute(
        update(RefreshToken).where(RefreshToken.token_hash == refresh_token_hash(newest)).values(created_at=ago)
    )

    assert await refresh(api, first, key=key) == REFUSED
    assert await refresh(api, newest) == REFUSED


async def test_a_token_that_2_0_0_exchanged_is_not_exchanged_again(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    """Its successor was random, and only its hash is known."""
    token = await logged_in(api, await market.user())
    newest = (await refresh(api, token))["session"]["refreshToken"]
    of_newest = update(RefreshToken).where(RefreshToken.token_hash == refresh_token_hash(newest))
    await connection.execute(of_newest.values(token_hash=refresh_token_hash("random")))

    assert await refresh(api, token) == REFUSED
    assert await refresh(api, "random") == REFUSED


async def test_a_refresh_can_be_repeated_after_the_secret_key_was_replaced(
    connection: AsyncConnection, settings: Settings, market: Market
) -> None:
    async with api_with(connection, settings, "a" * 32) as api:
        token = await logged_in(api, await market.user())
        first = await refresh(api, token)

    async with api_with(connection, settings, f"{'b' * 32},{'a' * 32}") as api:
        again = await refresh(api, token)

    assert again["session"]["refreshToken"] == first["session"]["refreshToken"]


async def test_a_token_cannot_be_derived_from_an_earlier_one_and_the_database(
    connection: AsyncConnection, settings: Settings, market: Market
) -> None:
    """It takes the secret key, too."""
    async with api_with(connection, settings, "a" * 32) as api:
        token = await logged_in(api, await market.user())
        newest = (await refresh(api, token))["session"]["refreshToken"]
    row = select(RefreshToken.id, RefreshToken.token_hash)
    key, token_hash = (await connection.execute(row.where(RefreshToken.token_hash == refresh_token_hash(newest)))).one()

    known, guessed = [RefreshTokens((secret * 32,), timedelta(days=1)) for secret in "ab"]

    assert known.repeated_successor(token, key, token_hash) == newest
    assert guessed.repeated_successor(token, key, token_hash) is None


async def test_a_token_that_comes_twice_ends_its_session_although_the_answer_is_a_failure(
    committed_api: Api, committed_market: Market
) -> None:
    token = await logged_in(committed_api, await committed_market.user())
    await refresh(committed_api, (await refresh(committed_api, token))["session"]["refreshToken"])

    await refresh(committed_api, token)

    ended_at = await committed_market.session.scalar(select(Session.ended_at).where(BEGUN))
    assert ended_at is not None


async def test_a_token_that_comes_twice_ends_no_other_login_of_the_user(api: Api, market: Market) -> None:
    user = await market.user()
    stolen, other = await logged_in(api, user), await logged_in(api, user)
    await refresh(api, stolen)
    await refresh(api, stolen)

    assert (await refresh(api, other))["__typename"] == "RefreshSessionSuccess"


async def test_a_token_that_comes_twice_ends_its_session_even_if_it_has_expired(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    first = await logged_in(api, await market.user())
    second = (await refresh(api, first))["session"]["refreshToken"]
    newest = (await refresh(api, second))["session"]["refreshToken"]
    await expire(connection, first)

    assert await refresh(api, first) == REFUSED
    assert await refresh(api, newest) == REFUSED


async def test_a_token_that_has_expired_is_refused(api: Api, market: Market, connection: AsyncConnection) -> None:
    token = await logged_in(api, await market.user())
    await expire(connection, token)

    assert await refresh(api, token) == REFUSED
    assert await value(connection, REFRESH_TOKENS) == 1


async def test_the_token_of_a_deleted_user_is_refused(api: Api, market: Market, connection: AsyncConnection) -> None:
    token = await logged_in(api, await market.user())
    await connection.execute(update(User).values(deleted_at=func.now()))

    assert await refresh(api, token) == REFUSED


async def test_logging_out_ends_the_login(api: Api, market: Market) -> None:
    token = await logged_in(api, await market.user())

    assert await log_out(api, token) is True
    assert await refresh(api, token) == REFUSED


async def test_logging_out_with_any_token_of_the_login_ends_the_newest(api: Api, market: Market) -> None:
    first = await logged_in(api, await market.user())
    newest = (await refresh(api, first))["session"]["refreshToken"]

    assert await log_out(api, first) is True
    assert await refresh(api, newest) == REFUSED


async def test_logging_out_ends_no_other_login(api: Api, market: Market) -> None:
    user = await market.user()
    token, other = await logged_in(api, user), await logged_in(api, user)

    await log_out(api, token)

    assert (await refresh(api, other))["__typename"] == "RefreshSessionSuccess"


async def test_logging_out_again_is_false(api: Api, market: Market) -> None:
    token = await logged_in(api, await market.user())
    await log_out(api, token)

    assert await log_out(api, token) is False


@pytest.mark.parametrize("token", ["", "unknown", "\0"])
async def test_logging_out_with_a_token_that_was_never_given_out_is_false(api: Api, market: Market, token: str) -> None:
    other = await logged_in(api, await market.user())

    assert await log_out(api, token) is False
    assert (await refresh(api, other))["__typename"] == "RefreshSessionSuccess"


async def test_a_refresh_notes_where_the_user_is(api: Api, market: Market, connection: AsyncConnection) -> None:
    user = await market.user()
    session = (await log_in(api, user))["session"]
    await connection.execute(update(Session).values(network_hash=None))

    await refresh(api, session["refreshToken"])

    assert await connection.scalar(select(Session.network_hash).where(Session.network_hash.is_not(None))) is not None
