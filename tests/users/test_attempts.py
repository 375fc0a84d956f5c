"""Attempts to log in, and whatever else tries a password or a token or tells of an account, are few."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db.engine import Database
from app.db.models import User
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection, committing
from tests.market import PASSWORD, Market, gid
from tests.security.hashing import RecordingHasher
from tests.statements import Statements
from tests.users.operations import ADA, LOG_IN, REFUSED, SIGN_UP, UPDATE_USER, log_in

HOME, OFFICE, ELSEWHERE = "192.0.2.1", "192.0.2.2", "198.51.100.1"
LIMITED = "RATE_LIMIT_EXCEEDED"

At = Callable[[str], Api]
"""Returns a client at an address."""

LOG_OUT_FIELD = 'logOut(input: { refreshToken: "" }) { __typename }'
LOG_IN_FIELD = 'logIn(input: { email: "a@example.com", password: "wrong" }) { __typename }'
REFRESH_FIELD = 'refreshSession(input: { refreshToken: "" }) { __typename }'
SIGN_UP_FIELD = 'signUp(input: { email: "a@example.com", password: "a long password", fullName: "A" }) { __typename }'
NAME_FIELD = 'updateUser(input: { id: $me, fullName: "B" }) { __typename }'
EMAIL_FIELD = 'updateUser(input: { id: $me, email: "a@example.com" }) { __typename }'
PASSWORD_FIELD = 'updateUser(input: { id: $me, password: "another long password" }) { __typename }'
ATTEMPTS = [LOG_OUT_FIELD, LOG_IN_FIELD, REFRESH_FIELD, SIGN_UP_FIELD, EMAIL_FIELD, PASSWORD_FIELD]


@asynccontextmanager
async def opened(database: AsyncConnection | Database, settings: Settings) -> AsyncIterator[At]:
    app = create_app(settings, SingleConnection(database) if isinstance(database, AsyncConnection) else database)
    clients: dict[str, httpx2.AsyncClient] = {}

    def at(address: str) -> Api:
        if address not in clients:
            transport = httpx2.ASGITransport(app=app, client=(address, 1))
            clients[address] = httpx2.AsyncClient(transport=transport, base_url="http://test")
        return Api(clients[address], settings)

    yield at
    for client in clients.values():
        await client.aclose()


@pytest.fixture
async def at(connection: AsyncConnection, settings: Settings) -> AsyncIterator[At]:
    """Opens the application to clients at addresses of their own: 3 attempts from each, 2 on an account."""
    limits = {"attempt_limit": "3/hour", "account_attempt_limit": "2/hour"}
    async with opened(connection, settings.model_copy(update=limits)) as at:
        yield at


def document(*fields: str) -> str:
    return f"mutation ($me: ID!) {{ {' '.join(f'a{number}: {field}' for number, field in enumerate(fields))} }}"


async def try_log_in(api: Api, user: User, password: str = "a wrong one") -> str:
    """Return the type of the result, or the code of the error."""
    result = await api.execute(LOG_IN, {"email": user.email, "password": password})
    if "errors" in result:
        assert result["data"] == {"logIn": None}
        return str(result["errors"][0]["extensions"]["code"])
    return str(result["data"]["logIn"]["__typename"])


# One attempt per request


@pytest.mark.parametrize("second", ATTEMPTS)
@pytest.mark.parametrize("first", [LOG_IN_FIELD, LOG_OUT_FIELD, PASSWORD_FIELD])
async def test_a_request_with_two_attempts_is_refused_before_it_runs(
    api: Api, market: Market, statements: Statements, hasher: RecordingHasher, first: str, second: str
) -> None:
    user = await market.user()
    statements.clear()

    result = await api.execute(document(NAME_FIELD, first, second), {"me": gid(user)}, user=user)

    assert "data" not in result
    assert [error["extensions"]["code"] for error in result["errors"]] == ["MULTIPLE_ATTEMPTS"]
    assert (statements, hasher.calls) == ([], [])


@pytest.mark.parametrize(
    ("query", "is_refused"),
    [
        (f"mutation {{ a: {LOG_IN_FIELD} ... {{ b: {LOG_IN_FIELD} }} }}", True),
        (f"mutation {{ a: {LOG_IN_FIELD} ...F }} fragment F on Mutation {{ b: {LOG_IN_FIELD} }}", True),
        (f"mutation {{ a: {LOG_IN_FIELD} a: {LOG_IN_FIELD} }}", False),  # which is one field
        (f"mutation {{ a: {LOG_IN_FIELD} ... @skip(if: true) {{ b: {LOG_IN_FIELD} }} }}", False),
    ],
)
async def test_attempts_are_found_wherever_they_are_selected(api: Api, query: str, is_refused: bool) -> None:
    result = await api.execute(query)

    codes = [error["extensions"]["code"] for error in result.get("errors", ())]
    assert codes == (["MULTIPLE_ATTEMPTS"] if is_refused else [])


async def test_attempts_are_found_in_variables(api: Api, market: Market) -> None:
    user = await market.user()
    query = """mutation ($a: UpdateUserInput!, $b: ID!, $name: String, $email: String) {
      a: updateUser(input: $a) { __typename }
      b: updateUser(input: { id: $b, fullName: $name, email: $email }) { __typename }
    }"""
    names = {"a": {"id": gid(user), "fullName": "A"}, "b": gid(user), "name": "B"}
    emails = {"a": {"id": gid(user), "email": "a@example.com"}, "b": gid(user), "email": "b@example.com"}

    renamed = await api.data(query, names, user=user)

    assert [payload["__typename"] for payload in renamed.values()] == ["UpdateUserSuccess"] * 2
    result = await api.execute(query, emails, user=user)
    assert [error["extensions"]["code"] for error in result["errors"]] == ["MULTIPLE_ATTEMPTS"]


async def test_an_attempt_goes_with_mutations_that_are_none(api: Api, market: Market) -> None:
    user = await market.user()
    query = f"""mutation ($me: ID!, $email: String!) {{
      first: {NAME_FIELD}
      logIn(input: {{ email: $email, password: "{PASSWORD}" }}) {{ __typename }}
      last: updateUser(input: {{ id: $me, fullName: "C" }}) {{ ... on UpdateUserSuccess {{ user {{ fullName }} }} }}
    }}"""

    data = await api.data(query, {"me": gid(user), "email": user.email}, user=user)

    assert data["logIn"] == {"__typename": "LogInSuccess"}
    assert data["last"] == {"user": {"fullName": "C"}}


# Attempts from an address


@pytest.mark.parametrize("field", ATTEMPTS)
async def test_every_kind_of_attempt_counts(
    connection: AsyncConnection, settings: Settings, market: Market, field: str
) -> None:
    user, query = await market.user(), document(NAME_FIELD, field)
    async with opened(connection, settings.model_copy(update={"attempt_limit": "3/hour"})) as at:
        for _ in range(3):
            await at(HOME).data(query, {"me": gid(user)}, user=user)

        result = await at(HOME).execute(query, {"me": gid(user)}, user=user)

    assert result["data"] == {"a0": {"__typename": "UpdateUserSuccess"}, "a1": None}
    (error,) = result["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["a1"], LIMITED)
    assert "attempts per" in error["message"]


async def test_what_tries_nothing_does_not_count(at: At, market: Market) -> None:
    user = await market.user()
    for _ in range(5):
        await at(HOME).data(document(NAME_FIELD), {"me": gid(user)}, user=user)

    assert await log_in(at(HOME), user, "wrong") == REFUSED


async def test_an_attempt_over_the_limit_reads_and_hashes_nothing(
    at: At, market: Market, hasher: RecordingHasher
) -> None:
    user, api = await market.user(), at(HOME)
    for _ in range(3):
        await try_log_in(api, user)
    hasher.calls.clear()

    variables = {"email": user.email, "password": PASSWORD}
    result = (await api.send(LOG_IN, variables, headers={"X-Explain": "true"})).json()

    assert result["errors"][0]["extensions"]["code"] == LIMITED
    assert (result["extensions"]["explain"]["statements"], hasher.calls) == ([], [])


async def test_other_addresses_have_attempts_of_their_own(at: At, market: Market) -> None:
    user = await market.user()
    for _ in range(4):
        await at(ELSEWHERE).execute(f"mutation {{ {LOG_IN_FIELD} }}")

    assert await try_log_in(at(HOME), user, PASSWORD) == "LogInSuccess"


# Attempts on an account


async def test_many_addresses_together_may_not_try_one_account_more_often(at: At, market: Market) -> None:
    user, other = await market.user(), await market.user()

    tried = [await try_log_in(at(f"198.51.100.{number}"), user) for number in range(3)]

    assert tried == ["IncorrectCredentials", "IncorrectCredentials", LIMITED]
    assert await try_log_in(at("198.51.100.9"), user, PASSWORD) == LIMITED  # or guessing would go on
    assert await try_log_in(at("198.51.100.9"), other, PASSWORD) == "LogInSuccess"


async def test_an_account_that_does_not_exist_is_counted_alike(at: At) -> None:
    nobody = User(email="nobody@example.com")

    tried = [await try_log_in(at(f"198.51.100.{number}"), nobody) for number in range(3)]

    assert tried == ["IncorrectCredentials", "IncorrectCredentials", LIMITED]


async def test_however_an_email_is_written_it_is_one_account(at: At) -> None:
    written = ["nobody@example.com", "NOBODY@example.com", " Nobody@Example.com "]

    tried = [await try_log_in(at(f"198.51.100.{number}"), User(email=email)) for number, email in enumerate(written)]

    assert tried[-1] == LIMITED


async def test_its_user_still_logs_in_from_where_they_did_before(at: At, market: Market) -> None:
    user = await market.user()
    assert await try_log_in(at(HOME), user, PASSWORD) == "LogInSuccess"
    for number in range(5):
        await try_log_in(at(f"198.51.100.{number}"), user)

    assert await try_log_in(at(HOME), user, PASSWORD) == "LogInSuccess"
    assert await try_log_in(at(OFFICE), user, PASSWORD) == LIMITED


async def test_a_user_who_signed_up_is_known_there(at: At) -> None:
    await at(HOME).data(SIGN_UP, {"input": ADA})
    user = User(email=ADA["email"])
    for number in range(3):
        await try_log_in(at(f"198.51.100.{number}"), user)

    assert await try_log_in(at(HOME), user, ADA["password"]) == "LogInSuccess"


async def test_logging_in_somewhere_makes_no_other_user_known_there(at: At, market: Market) -> None:
    user, thief = await market.user(), await market.user()
    assert await try_log_in(at(ELSEWHERE), thief, PASSWORD) == "LogInSuccess"

    for number in range(2):
        await try_log_in(at(f"198.51.100.2{number}"), user)

    assert await try_log_in(at(ELSEWHERE), user) == LIMITED


async def test_after_a_new_password_only_the_place_of_the_session_that_changed_it_is_known(
    at: At, market: Market
) -> None:
    user = await market.user()
    assert await try_log_in(at(ELSEWHERE), user, PASSWORD) == "LogInSuccess"  # by a thief
    session = (await log_in(at(HOME), user))["session"]
    change = {"id": gid(user), "password": "another long password", "currentPassword": PASSWORD}
    changed = await at(HOME).send(
        UPDATE_USER, {"input": change}, headers={"Authorization": f"Bearer {session['accessToken']}"}
    )
    assert changed.json()["data"]["updateUser"]["__typename"] == "UpdateUserSuccess"
    for number in range(2):
        await try_log_in(at(f"198.51.100.2{number}"), user)

    assert await try_log_in(at(ELSEWHERE), user) == LIMITED
    assert await try_log_in(at(HOME), user, "another long password") == "LogInSuccess"


async def test_the_current_password_is_tried_as_seldom(at: At, market: Market) -> None:
    user = await market.user()
    change = {"input": {"id": gid(user), "email": "new@example.com", "currentPassword": "a guess"}}

    tried = [await at(f"198.51.100.{n}").execute(UPDATE_USER, change, user=user) for n in range(3)]

    assert [result["data"]["updateUser"] is None for result in tried] == [False, False, True]
    assert tried[-1]["errors"][0]["extensions"]["code"] == LIMITED
    assert await try_log_in(at("198.51.100.9"), user, PASSWORD) == LIMITED


async def test_no_address_is_kept_in_the_clear(at: At, market: Market, connection: AsyncConnection) -> None:
    await try_log_in(at(HOME), await market.user(), PASSWORD)

    rows = "\n".join(await connection.scalars(text("SELECT sessions::text FROM sessions")))
    assert rows
    assert HOME not in rows


# What is hashed before the transaction


async def test_an_attempt_that_is_tried_again_counts_once(
    connection: AsyncConnection, settings: Settings, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password's hash changes once between being verified and being compared, as if another login renewed it."""
    user = await market.user()
    renewed = RecordingHasher().hash(PASSWORD)

    async def renew(*_: Any) -> None:
        await connection.execute(text("UPDATE users SET password_hash = :hash"), {"hash": renewed})

    async with opened(connection, settings.model_copy(update={"attempt_limit": "1/hour"})) as at:
        with monkeypatch.context() as patch:
            patch.setattr("app.users.service.passwords.needs_rehash", lambda _: False)
            verified_then(patch, renew)
            assert await try_log_in(at(HOME), user, PASSWORD) == "LogInSuccess"

        assert await try_log_in(at(HOME), user, PASSWORD) == LIMITED


def verified_then(patch: pytest.MonkeyPatch, once: Callable[[], Awaitable[None]]) -> None:
    """Have something happen after the first password was verified."""
    from app.security import passwords

    verify, happened = passwords.verify_password, False

    async def verified(password_hash: str | None, password: str) -> bool:
        nonlocal happened
        is_right = await verify(password_hash, password)
        if not happened:
            happened = True
            await once()
        return is_right

    patch.setattr(passwords, "verify_password", verified)


async def test_an_input_that_is_refused_is_not_hashed(api: Api, hasher: RecordingHasher) -> None:
    result = await api.data(SIGN_UP, {"input": {**ADA, "email": "nobody"}})

    assert result["signUp"]["__typename"] == "InvalidInput"
    assert hasher.calls == []


async def test_a_wrong_current_password_hashes_no_new_one(api: Api, market: Market, hasher: RecordingHasher) -> None:
    user = await market.user()
    change = {"id": gid(user), "password": "another long password", "currentPassword": "wrong"}

    await api.data(UPDATE_USER, {"input": change}, user=user)

    assert hasher.methods == ["verify"]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8:1:{}::1"], ids=["an address", "48 bits of IPv6"])
async def test_attempts_of_one_customer_leave_the_hashing_to_others(
    committed_engine: AsyncEngine, settings: Settings, address: str
) -> None:
    log_in = 'mutation { logIn(input: { email: "a@b.example", password: "wrong horse battery" }) { __typename } }'

    async with opened(committing(committed_engine), settings) as at:
        answers = await asyncio.gather(*(at(address.format(number)).send(log_in) for number in range(30)))
    results = [answer.json() for answer in answers]

    codes = Counter(result["errors"][0]["extensions"]["code"] if "errors" in result else "" for result in results)
    assert codes == {"": 20, "OVERLOADED": 10}
