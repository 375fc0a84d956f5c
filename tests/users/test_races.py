"""What happens to accounts and sessions when two things happen at once."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db.models import RefreshToken, Session, Store, User
from app.security import passwords
from tests.api import Api
from tests.idempotency.requests import KEY
from tests.locks import held
from tests.market import PASSWORD, PASSWORD_HASH, Market, gid
from tests.users.operations import REFUSED, SESSIONS, log_in, logged_in, refresh, sign_up

SECONDS = 10
CHANGED_HASH = PASSWORD_HASH[:-1] + "A"


async def until_somebody_waits_for(connection: AsyncConnection) -> None:
    """Return once a lock of this connection's transaction is waited for."""
    waiting = text(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
    )
    async with asyncio.timeout(SECONDS):
        while not await connection.scalar(waiting):
            pass


async def log_in_while_it_changes(api: Api, user: User, engine: AsyncEngine, change: Mapping[str, Any]) -> Any:
    """Log in; the account changes after its password was verified and before it is locked."""
    async with engine.begin() as changing:
        await changing.execute(update(User).values(**change))
        logging_in = asyncio.create_task(log_in(api, user))
        await until_somebody_waits_for(changing)
    return await logging_in


@pytest.mark.parametrize("keys", [(None, None), (KEY, KEY), (KEY, None)])
async def test_uses_of_a_refresh_token_at_once_return_the_same_one(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, keys: tuple[str | None, ...]
) -> None:
    """The second waits for the first, and must read what that has committed."""
    token = await logged_in(committed_api, await committed_market.user())

    async with asyncio.TaskGroup() as tasks, committed_engine.connect() as holding:
        await holding.execute(select(Session.id).with_for_update())
        refreshing = [tasks.create_task(refresh(committed_api, token, key=key)) for key in keys]
        await until_somebody_waits_for(holding)

    (successor,) = {task.result()["session"]["refreshToken"] for task in refreshing}
    assert (await refresh(committed_api, successor))["__typename"] == "RefreshSessionSuccess"


async def test_of_a_refresh_token_and_its_successor_at_once_the_session_ends_or_goes_on_for_both(
    committed_api: Api, committed_market: Market
) -> None:
    token = await logged_in(committed_api, await committed_market.user())
    successor = (await refresh(committed_api, token))["session"]["refreshToken"]

    again, next_ = await asyncio.gather(refresh(committed_api, token), refresh(committed_api, successor))

    if again == REFUSED:  # it came after its successor was used
        newest = next_["session"]["refreshToken"]
        assert await refresh(committed_api, newest) == REFUSED
    else:
        assert again["session"]["refreshToken"] == successor
        assert next_["__typename"] == "RefreshSessionSuccess"


async def test_of_two_accounts_with_one_email_at_once_one_is_created(
    committed_api: Api, committed_market: Market
) -> None:
    answers = await asyncio.gather(sign_up(committed_api), sign_up(committed_api, email="ADA@example.com"))

    assert sorted(answer["__typename"] for answer in answers) == ["Conflict", "SignUpSuccess"]
    assert await committed_market.session.scalar(select(func.count(User.id))) == 1


@pytest.mark.parametrize(
    "change", [{"password_hash": CHANGED_HASH}, {"deleted_at": func.now()}], ids=["a new password", "closed"]
)
async def test_an_account_that_changes_while_the_password_is_verified_lets_nobody_in(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, change: dict[str, object]
) -> None:
    user = await committed_market.user()

    assert await log_in_while_it_changes(committed_api, user, committed_engine, change) == REFUSED
    assert await committed_market.session.scalar(SESSIONS) == 0


async def test_a_rehash_does_not_undo_a_new_password(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=16, parallelism=1).hash(PASSWORD)
    assert passwords.needs_rehash(weaker)
    user = await committed_market.user(password_hash=weaker)

    await log_in_while_it_changes(committed_api, user, committed_engine, {"password_hash": CHANGED_HASH})

    assert await committed_market.session.scalar(select(User.password_hash)) == CHANGED_HASH


async def test_a_password_that_another_login_hashes_anew_still_lets_in(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    user = await committed_market.user()
    anew = await passwords.hash_password(PASSWORD)

    answer = await log_in_while_it_changes(committed_api, user, committed_engine, {"password_hash": anew})

    assert answer["__typename"] == "LogInSuccess"


async def test_a_refresh_does_not_wait_for_a_change_of_the_account(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    """A new password locks the account and then its sessions: a refresh that locked them the other way round
    would be a deadlock."""
    token = await logged_in(committed_api, await committed_market.user())

    async with committed_engine.connect() as changing, asyncio.timeout(SECONDS):
        await changing.execute(select(User.id).with_for_update(key_share=True))

        assert (await refresh(committed_api, token))["__typename"] == "RefreshSessionSuccess"


async def test_a_refresh_locks_the_session_before_the_token(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    """As the deletion of a session does with its tokens."""
    token = await logged_in(committed_api, await committed_market.user())

    async with asyncio.TaskGroup() as tasks, committed_engine.connect() as deleting:
        await deleting.execute(select(Session.id).with_for_update())
        refreshing = tasks.create_task(refresh(committed_api, token))
        await until_somebody_waits_for(deleting)
        await deleting.execute(select(RefreshToken.id).with_for_update(nowait=True))

    assert refreshing.result()["__typename"] == "RefreshSessionSuccess"


async def test_an_account_that_is_being_closed_opens_no_store(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner, superuser = await committed_market.user(), await committed_market.superuser()
    store = await committed_market.store(owner)
    close = f'mutation {{ deleteUser(input: {{ id: "{gid(owner)}" }}) {{ __typename }} }}'
    opening = """mutation { createStore(input: {
      name: "Late", street: "A", postcode: "1", city: "B", country: "DE", currency: "EUR"
    }) { __typename } }"""

    async with held(committed_engine, store) as gate:
        closing = asyncio.ensure_future(committed_api.data(close, user=superuser))
        await gate.until_waiting(1)
        late = asyncio.ensure_future(committed_api.error(opening, user=owner))
        await gate.until_waiting(2)

    assert await closing == {"deleteUser": {"__typename": "DeleteUserSuccess"}}
    assert (await late)["code"] == "UNAUTHENTICATED"
    async with committed_engine.connect() as connection:
        assert await connection.scalar(select(func.count()).where(Store.deleted_at.is_(None))) == 0
