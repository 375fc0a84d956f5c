"""Logging in, which tells nobody which accounts exist."""

import hashlib
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import RefreshToken, User
from app.security.tokens import refresh_token_hash
from app.settings import Settings
from tests.api import Api
from tests.market import PASSWORD, PASSWORD_HASH, Market, gid
from tests.security.hashing import RecordingHasher
from tests.users.operations import ISSUED, LOG_IN, REFUSED, SESSIONS, log_in, logged_in, refresh, value


async def test_the_right_password_lets_in(api: Api, market: Market) -> None:
    user = await market.user(full_name="Ada")

    session = (await log_in(api, user))["session"]

    assert session["user"] == {"id": gid(user), "email": user.email, "fullName": "Ada", "isSuperuser": False}
    response = await api.send("{ viewer { id } }", headers={"Authorization": f"Bearer {session['accessToken']}"})
    assert response.json()["data"] == {"viewer": {"id": gid(user)}}


@pytest.mark.parametrize("email", ["ADA@Example.com", "  ada@example.com\n", "ada@EXAMPLE.COM"])
async def test_the_case_of_the_email_does_not_count(api: Api, market: Market, email: str) -> None:
    user = await market.user(email="ada@example.com")

    assert (await log_in(api, email))["session"]["user"]["id"] == gid(user)


@pytest.mark.parametrize("email", ["ada@müller.de", "ada@xn--mller-kva.de", "ada@mu\u0308ller.de", "ADA@MÜLLER.DE"])
async def test_an_email_lets_in_however_it_is_written(api: Api, market: Market, email: str) -> None:
    user = await market.user(email="ada@müller.de")

    assert (await log_in(api, email))["session"]["user"]["id"] == gid(user)


async def test_the_tokens_say_who_and_for_how_long(api: Api, market: Market, settings: Settings) -> None:
    superuser = await market.superuser()
    before = datetime.now(UTC).replace(microsecond=0)

    session = (await log_in(api, superuser))["session"]

    expires_at = datetime.fromisoformat(session["expiresAt"])
    lifetime = timedelta(minutes=settings.access_token_minutes)
    assert before + lifetime <= expires_at <= datetime.now(UTC) + lifetime
    claims = jwt.decode(session["accessToken"], options={"verify_signature": False})
    assert claims["exp"] == expires_at.timestamp()
    assert claims["sub"] == str(superuser.id)
    assert claims["superuser"] is True


async def test_a_refresh_token_lives_as_long_as_is_set(
    api: Api, market: Market, connection: AsyncConnection, settings: Settings
) -> None:
    before = datetime.now(UTC)

    await logged_in(api, await market.user())

    expires_at = await value(connection, select(RefreshToken.expires_at).where(ISSUED))
    lifetime = timedelta(days=settings.refresh_token_days)
    assert before + lifetime <= expires_at <= datetime.now(UTC) + lifetime


async def test_a_refresh_token_is_kept_only_as_its_hash(api: Api, market: Market, connection: AsyncConnection) -> None:
    token = await logged_in(api, await market.user())

    row = (await connection.execute(select(RefreshToken.__table__).where(ISSUED))).mappings().one()
    assert row["token_hash"] == hashlib.sha256(token.encode()).digest()
    assert not any(kept in (token, token.encode()) for kept in row.values())


async def test_each_login_has_tokens_of_its_own(api: Api, market: Market) -> None:
    user = await market.user()

    first, second = await logged_in(api, user), await logged_in(api, user)

    assert first != second
    assert len(first) >= 43
    assert (await refresh(api, first))["__typename"] == "RefreshSessionSuccess"
    assert (await refresh(api, second))["__typename"] == "RefreshSessionSuccess"


async def test_no_account_a_wrong_password_and_a_deleted_account_are_answered_alike(api: Api, market: Market) -> None:
    user = await market.user()
    deleted = await market.user(deleted_at=func.now())

    answers = [
        await log_in(api, user, "wrong password"),
        await log_in(api, "nobody@example.com"),
        await log_in(api, deleted),
        await log_in(api, "not an email"),
        await log_in(api, "", ""),
    ]

    assert answers == [REFUSED] * len(answers)


async def test_a_password_is_verified_where_there_is_no_account_too(
    api: Api, market: Market, hasher: RecordingHasher
) -> None:
    user = await market.user()
    await log_in(api, user, "wrong password")
    with_account = list(hasher.methods)
    hasher.calls.clear()

    await log_in(api, "nobody@example.com", "wrong password")

    assert with_account == hasher.methods == ["verify"]
    assert len(hasher.verified) == 2
    assert not hasher.check_needs_rehash(hasher.verified[-1])


async def test_a_login_that_fails_costs_the_same_statements_with_and_without_an_account(
    api: Api, market: Market
) -> None:
    user = await market.user()

    async def statements(email: str) -> list[str]:
        variables = {"email": email, "password": "wrong password"}
        answer = (await api.send(LOG_IN, variables, headers={"X-Explain": "true"})).json()
        assert answer["data"]["logIn"]["__typename"] == "IncorrectCredentials"
        return [statement["sql"] for statement in answer["extensions"]["explain"]["statements"]]

    with_account = await statements(user.email)

    assert any("FROM users" in statement for statement in with_account)
    assert await statements("nobody@example.com") == with_account


async def test_a_failed_login_leaves_no_session(api: Api, market: Market, connection: AsyncConnection) -> None:
    await log_in(api, await market.user(), "wrong password")

    assert await value(connection, SESSIONS) == 0


@pytest.mark.parametrize(
    ("email", "password"), [("ada@example.com\0", PASSWORD), ("\0", PASSWORD), ("ada@example.com", PASSWORD + "\0")]
)
async def test_characters_that_no_text_can_hold_are_only_wrong(
    api: Api, market: Market, email: str, password: str
) -> None:
    await market.user(email="ada@example.com")

    assert await log_in(api, email, password) == REFUSED


async def test_hashing_runs_off_the_event_loop(api: Api, market: Market, hasher: RecordingHasher) -> None:
    await log_in(api, await market.user())

    assert [call.thread.split("_")[0] for call in hasher.calls] == ["argon2"]


async def test_a_login_makes_a_hash_of_weaker_parameters_anew(
    api: Api, market: Market, connection: AsyncConnection, hasher: RecordingHasher
) -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, hash_len=16).hash(PASSWORD)
    user = await market.user(password_hash=weaker)

    assert (await log_in(api, user))["__typename"] == "LogInSuccess"

    password_hash = await value(connection, select(User.password_hash))
    assert password_hash != weaker
    assert not hasher.check_needs_rehash(password_hash)
    assert (await log_in(api, user))["__typename"] == "LogInSuccess"


async def test_a_failed_login_leaves_a_weak_hash_as_it_is(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, hash_len=16).hash(PASSWORD)

    await log_in(api, await market.user(password_hash=weaker), "wrong password")

    assert await value(connection, select(User.password_hash)) == weaker


async def test_a_login_leaves_a_hash_of_todays_parameters_as_it_is(
    api: Api, market: Market, connection: AsyncConnection, hasher: RecordingHasher
) -> None:
    await log_in(api, await market.user())

    assert hasher.methods == ["verify"]
    assert await value(connection, select(User.password_hash)) == PASSWORD_HASH


async def test_a_login_forgets_the_users_sessions_that_have_expired_and_no_others(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    user, other = await market.user(), await market.user()
    await logged_in(api, user)
    others = await logged_in(api, other)
    await connection.execute(update(RefreshToken).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    live = await logged_in(api, user)

    last = await logged_in(api, user)

    kept = set((await connection.execute(select(RefreshToken.token_hash).where(ISSUED))).scalars())
    assert kept == {refresh_token_hash(token) for token in (others, live, last)}
    assert await value(connection, SESSIONS) == 3


async def test_neither_the_password_nor_its_hash_is_in_an_answer(api: Api, market: Market) -> None:
    user = await market.user()

    for password in (PASSWORD, "wrong password"):
        answer = (await api.send(LOG_IN, {"email": user.email, "password": password})).text
        assert password not in answer
        assert "argon2" not in answer
