"""What is stored of requests and responses reveals nothing to a reader of the table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import IdempotencyKey, User
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.idempotency.requests import assert_refused, is_replay, order, send
from tests.market import Market
from tests.orders.operations import number_of
from tests.users.operations import ADA, LOG_IN, SIGN_UP


@asynccontextmanager
async def api_with(connection: AsyncConnection, settings: Settings, secret_key: str) -> AsyncIterator[Api]:
    """The application, with another secret."""
    settings = settings.model_copy(update={"secret_key": type(settings.secret_key)(secret_key)})
    transport = httpx2.ASGITransport(app=create_app(settings, SingleConnection(connection)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Api(client, settings)


async def test_no_token_and_nothing_of_the_account_is_found_in_the_table(api: Api, connection: AsyncConnection) -> None:
    signed_up = (await send(api, SIGN_UP, {"input": ADA}, key="of-sign-up")).json()["data"]["signUp"]["session"]
    logged_in = await send(api, LOG_IN, {"email": ADA["email"], "password": ADA["password"]}, key="of-log-in")

    session = logged_in.json()["data"]["logIn"]["session"]
    values = [*ADA.values(), *(each[name] for each in (signed_up, session) for name in ("accessToken", "refreshToken"))]
    rows = (await connection.execute(select(IdempotencyKey.__table__))).all()
    assert len(rows) == 2
    for row in rows:
        stored = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
        assert not [value for value in values if value.encode() in stored]
        assert b"data" not in stored


async def test_the_same_response_is_never_stored_alike(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer, product = await market.user(), await market.product(stock=0)

    first, second = [await order(api, customer, product, key=key) for key in ("first-key", "second-key")]

    assert first.content == second.content
    assert len(set(await connection.scalars(select(IdempotencyKey.response)))) == 2


async def test_a_fingerprint_cannot_be_guessed_at_without_the_secret(
    connection: AsyncConnection, settings: Settings
) -> None:
    fingerprints = []
    for secret_key in ("a" * 32, "a" * 32, "b" * 32):
        async with api_with(connection, settings, secret_key) as api:
            await send(api, SIGN_UP, {"input": ADA})
        fingerprints.append(await connection.scalar(select(IdempotencyKey.fingerprint)))
        await connection.execute(delete(IdempotencyKey))

    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


async def test_a_response_stays_readable_while_the_secret_key_is_replaced(
    connection: AsyncConnection, settings: Settings
) -> None:
    old, new = "a" * 32, "b" * 32
    responses = []
    for secret_key in (old, f"{old},{new}", f"{new}, {old}"):
        async with api_with(connection, settings, secret_key) as api:
            responses.append(await send(api, SIGN_UP, {"input": ADA}))
            other = await send(api, SIGN_UP, {"input": {**ADA, "email": "bob@example.com"}})
            assert_refused(other)

    first, *others = responses
    assert [(other.content, is_replay(other)) for other in others] == [(first.content, True)] * 2
    assert await number_of(connection, User) == 1


async def test_a_response_is_read_with_the_secret_by_which_it_was_kept(
    connection: AsyncConnection, settings: Settings
) -> None:
    async with api_with(connection, settings, "a" * 32) as api:
        first = await send(api, SIGN_UP, {"input": ADA})
    async with api_with(connection, settings, "b" * 32) as api:
        with_another = await send(api, SIGN_UP, {"input": ADA})
    async with api_with(connection, settings, "a" * 32) as api:
        again = await send(api, SIGN_UP, {"input": ADA})

    assert with_another.json()["data"] is None
    assert not is_replay(with_another)
    assert (again.content, is_replay(again)) == (first.content, True)
    assert await number_of(connection, User) == 1
