"""What the process writes about failures: enough to find them, and no password and no token."""

import json
from contextlib import redirect_stderr
from io import StringIO

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from app.db.texts import QUOTE
from app.process.logging import configure_logging
from app.security.tokens import RefreshTokens
from app.settings import Environment, Settings
from tests.api import Api
from tests.market import PASSWORD, Market
from tests.paths import Paths
from tests.triggers import create_trigger

CREATE_STORE = """
mutation {
  createStore(input: { name: "A", street: "B", postcode: "1", city: "C", country: "DE", currency: "EUR" }) {
    __typename
  }
}
"""
LOG_IN = """
mutation ($email: String!, $password: String!) {
  logIn(input: { email: $email, password: $password }) { __typename }
}
"""
REFRESH = "mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { __typename } }"


async def test_what_was_not_foreseen_is_logged_once_with_the_id_of_the_request(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    await create_trigger(connection, "INSERT ON stores", "RAISE 'no room for a store'")
    user = await market.user()

    with capture_logs() as entries:
        response = await api.send(CREATE_STORE, user=user)

    (entry,) = (entry for entry in entries if entry["log_level"] != "info")
    assert entry["log_level"] == "error"
    assert entry["request_id"] == response.headers["X-Request-ID"]
    assert entry["path"] == ["createStore"]
    assert "no room for a store" in str(entry["exc_info"])


@pytest.mark.parametrize(
    "document", ["{", "{ nothing }", "{ orders { totalCount } }", "{ stores(first: -1) { totalCount } }"]
)
async def test_what_was_foreseen_is_no_more_than_an_operation_to_the_log(api: Api, document: str) -> None:
    with capture_logs() as entries:
        await api.execute(document)

    assert [(entry["event"], entry["log_level"]) for entry in entries] == [("operation", "info")]


@pytest.fixture(params=[Environment.DEVELOPMENT, Environment.PRODUCTION])
def log(api: Api, settings: Settings, request: pytest.FixtureRequest) -> StringIO:
    """What the process of a development or production server writes."""
    with redirect_stderr(StringIO()) as written:
        configure_logging(settings.model_copy(update={"app_env": request.param, "secret_key": SecretStr("x" * 32)}))
    return written


async def test_the_log_shows_where_it_failed_and_not_what_with(
    api: Api, market: Market, connection: AsyncConnection, log: StringIO
) -> None:
    user = await market.user()
    await connection.execute(text("ALTER TABLE users RENAME COLUMN password_hash TO renamed"))
    response = await api.send(LOG_IN, {"email": user.email, "password": PASSWORD}, user=user)

    logged = log.getvalue()
    assert response.headers["X-Request-ID"] in logged
    assert "UndefinedColumnError: column users.password_hash does not exist" in logged
    assert "in verify_log_in" in logged
    assert PASSWORD not in logged
    assert api.token(user) not in logged


async def test_a_failing_statement_of_a_login_logs_no_password_and_no_token(
    api: Api, market: Market, connection: AsyncConnection, log: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await market.user()
    monkeypatch.setattr(RefreshTokens, "first", lambda _: "the-refresh-token")
    await connection.execute(text("ALTER TABLE refresh_tokens ADD CHECK (false) NOT VALID"))

    assert (await api.error(LOG_IN, {"email": user.email, "password": PASSWORD}))["code"] == "INTERNAL_SERVER_ERROR"

    logged = log.getvalue()
    assert "INSERT INTO refresh_tokens" in logged
    assert PASSWORD not in logged
    assert "the-refresh-token" not in logged


async def test_a_failing_statement_is_logged_as_people_read_it(
    paths: Paths, connection: AsyncConnection, log: StringIO
) -> None:
    await connection.execute(text("ALTER TABLE products RENAME COLUMN price TO renamed"))

    await paths.compiled.send("{ products { nodes { price { amount } } } }")

    logged = log.getvalue()
    assert "[SQL: SELECT" in logged
    assert QUOTE not in logged
    assert json.dumps(QUOTE)[1:-1] not in logged


async def test_a_failing_refresh_logs_no_token(api: Api, connection: AsyncConnection, log: StringIO) -> None:
    await connection.execute(text("ALTER TABLE refresh_tokens RENAME TO renamed"))

    assert (await api.error(REFRESH, {"token": "the-refresh-token"}))["code"] == "INTERNAL_SERVER_ERROR"

    logged = log.getvalue()
    assert "UndefinedTableError" in logged
    assert "the-refresh-token" not in logged


@pytest.mark.parametrize("environment", [Environment.DEVELOPMENT, Environment.PRODUCTION])
async def test_a_row_that_the_database_refuses_is_not_quoted(
    settings: Settings, connection: AsyncConnection, capsys: pytest.CaptureFixture[str], environment: Environment
) -> None:
    production = settings.model_copy(update={"app_env": environment, "secret_key": SecretStr("x" * 32)})
    configure_logging(production)
    refused = text(
        "INSERT INTO users (id, email, full_name, password_hash) VALUES (gen_random_uuid(), 'A', 'B', 'hash!')"
    )

    try:
        await connection.execute(refused)
    except DBAPIError as failure:
        structlog.get_logger().error("refused", exc_info=failure)
    configure_logging(settings)

    logged = capsys.readouterr().err
    assert "ck_users_email_normalised" in logged
    assert "DETAIL" not in logged
