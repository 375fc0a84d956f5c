"""The line that the log has for each operation, and how it looks."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr
from io import StringIO
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.db.engine import open_database
from app.monitoring import operation_log
from app.process.logging import configure_logging
from app.settings import Environment, Settings
from tests.api import Api
from tests.market import PASSWORD, Market, gid
from tests.monitoring.conftest import Serve
from tests.orders.operations import PLACE, item
from tests.triggers import renamed

COMPILED = "query Compiled { products { totalCount nodes { name } } }"
RESOLVER = "query Resolved { stores { nodes { name owner { fullName } } } __schema { queryType { name } } }"
LOG_IN = """
mutation LogIn ($email: String!, $password: String!) {
  logIn(input: { email: $email, password: $password }) { ... on LogInSuccess { session { accessToken } } }
}
"""
LOG_OUT = 'mutation { logOut(input: { refreshToken: "x" }) { __typename } }'
FOLLOW = 'subscription { productUpdated(productId: "x") { product { id } } }'
HOSTILE = 'Evil\n{"event": "operation", "name": "Forged"}\x1b[2J' + "x" * 5_000


async def line(api: Api, *arguments: Any, **options: Any) -> Any:
    """Return the line of the operation that is sent."""
    with capture_logs() as entries:
        response = await api.send(*arguments, **options)
    (entry,) = (entry for entry in entries if entry["event"] == "operation")
    assert entry["request_id"] == response.headers["X-Request-ID"]
    return entry


@pytest.mark.parametrize("given", ["a", "7f3c.web_1-2", "x" * 64])
async def test_a_line_has_the_clients_own_id_beside_ours(serve: Serve, given: str) -> None:
    async with serve() as api:
        entry = await line(api, COMPILED, headers={"X-Request-ID": given})

    assert entry["client_request_id"] == given != entry["request_id"]


@pytest.mark.parametrize("given", ["", "forged\x7f", "two words", "x" * 65, "a\n", "ä"])
async def test_a_clients_id_that_is_not_fit_for_a_log_is_left_out(serve: Serve, given: str) -> None:
    async with serve() as api:
        with capture_logs() as entries:
            await api.client.post("/graphql", json={"query": COMPILED}, headers=[(b"X-Request-ID", given.encode())])

    (entry,) = (entry for entry in entries if entry["event"] == "operation")
    assert "client_request_id" not in entry


async def test_a_line_tells_who_sent_what_and_what_it_took(serve: Serve, committed_market: Market) -> None:
    user = await committed_market.user()
    await committed_market.product()
    async with serve() as api:
        compiled = await line(api, COMPILED, user=user)
        resolver = await line(api, RESOLVER)

    kinds = [(entry["name"], entry["type"], entry["path"]) for entry in (compiled, resolver)]
    assert kinds == [("Compiled", "query", "compiled"), ("Resolved", "query", "resolver")]
    assert (compiled["viewer"], resolver["viewer"]) == (user.id, None)
    assert (compiled["statements"], resolver["statements"]) == (1, 2)
    assert (compiled["status"], compiled["codes"], compiled["cost"], resolver["cost"]) == (200, [], 645, 40)
    assert compiled["milliseconds"] > 0


async def test_the_statements_of_a_mutation_are_counted_whichever_way_they_are_sent(
    serve: Serve, committed_market: Market
) -> None:
    user, product = await committed_market.user(), await committed_market.product(stock=5)
    async with serve() as api:
        entry = await line(api, PLACE, {"items": [item(product)]}, user=user)

    assert (entry["type"], entry["viewer"]) == ("mutation", user.id)
    assert entry["statements"] == 2


@pytest.mark.parametrize(
    ("document", "name", "type_"),
    [("{ products { totalCount } }", "", "query"), ("query Unknown { nothing }", "", ""), ("query {", "", "")],
)
async def test_what_has_no_name_or_is_not_valid_is_told_all_the_same(
    serve: Serve, document: str, name: str, type_: str
) -> None:
    async with serve() as api:
        entry = await line(api, document)

    assert (entry["name"], entry["type"]) == (name, type_)


async def test_a_get_is_told(serve: Serve) -> None:
    async with serve() as api:
        with capture_logs() as entries:
            await api.client.get("/graphql", params={"query": RESOLVER})

    assert [(entry["name"], entry["status"]) for entry in entries] == [("Resolved", 200)]


async def test_what_is_refused_is_told_with_its_status(serve: Serve) -> None:
    another = {"query": COMPILED, "operationName": "Another"}
    mutation = {"query": LOG_IN, "variables": '{"email": "a@example.com", "password": "b"}'}
    async with serve() as api:
        with capture_logs() as entries:
            await api.client.post("/graphql", json=another, headers={"Accept": "application/graphql-response+json"})
            await api.client.get("/graphql", params=mutation)

    assert [(entry["name"], entry["status"]) for entry in entries] == [("Another", 400), ("LogIn", 405)]


@pytest.mark.parametrize(
    ("method", "accept", "document", "refused"),
    [
        ("GET", "application/json", LOG_OUT, (405, "METHOD_NOT_ALLOWED", "mutation")),
        ("GET", "text/event-stream", LOG_OUT, (405, "METHOD_NOT_ALLOWED", "mutation")),
        ("POST", "application/json", FOLLOW, (406, "NOT_ACCEPTABLE", "subscription")),
    ],
)
async def test_what_cannot_be_sent_like_this_is_told_with_who_sent_it(
    serve: Serve, committed_market: Market, method: str, accept: str, document: str, refused: tuple[int, str, str]
) -> None:
    user = await committed_market.user()
    async with serve() as api:
        sent = {"params" if method == "GET" else "json": {"query": document}}
        with capture_logs() as entries:
            headers = {"Accept": accept, "Authorization": f"Bearer {api.token(user)}"}
            response = await api.client.request(method, "/graphql", headers=headers, **sent)  # type: ignore[arg-type]

    (entry,) = entries
    assert (response.status_code, entry["status"], *entry["codes"], entry["type"]) == (refused[0], *refused)
    assert (entry["viewer"], entry["statements"]) == (user.id, 0)


async def test_a_slow_operation_is_a_warning_with_its_statements_and_without_values(
    serve: Serve, committed_market: Market
) -> None:
    user = await committed_market.user()
    async with serve(slow_operation_milliseconds=0.001) as api:
        logged_in = await line(api, LOG_IN, {"email": user.email, "password": PASSWORD})
        compiled = await line(api, COMPILED)

    assert (logged_in["log_level"], compiled["log_level"]) == ("warning", "warning")
    assert any("INSERT INTO refresh_tokens" in statement["sql"] for statement in logged_in["sql"])
    (read,) = compiled["sql"]
    assert read["milliseconds"] > 0
    assert "\x7f" not in read["sql"]
    assert PASSWORD not in str(logged_in)
    assert user.email not in str(logged_in)


async def test_an_operation_that_is_not_slow_shows_no_statement(serve: Serve) -> None:
    async with serve(slow_operation_milliseconds=600_000) as api:
        entry = await line(api, COMPILED)

    assert entry["log_level"] == "info"
    assert "sql" not in entry


async def test_a_statement_that_fails_is_told(
    serve: Serve, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    user = await committed_market.user()
    async with renamed(committed_engine, "refresh_tokens"), serve(slow_operation_milliseconds=0.001) as api:
        entry = await line(api, LOG_IN, {"email": user.email, "password": PASSWORD})

    assert list(entry["codes"]) == ["INTERNAL_SERVER_ERROR"]
    assert "FROM refresh_tokens" in entry["sql"][-2]["sql"]
    assert entry["sql"][-1]["sql"] == "ROLLBACK"


Write = Callable[..., StringIO]


@pytest.fixture
def write(settings: Settings) -> Iterator[Write]:
    """Return what has the process write its log, as these settings say, where it can be read."""
    with ExitStack() as stack:

        def write(**changes: Any) -> StringIO:
            written = stack.enter_context(redirect_stderr(StringIO()))
            configure_logging(settings.model_copy(update=changes))
            return written

        yield write
    configure_logging(settings)


@pytest.mark.parametrize("changes", [{"log_format": "json"}, {"log_format": "text"}])
@pytest.mark.parametrize("document", ["{ products { totalCount } }", f"query {'x' * 5_000} {{ __typename }}"])
async def test_a_hostile_name_is_one_short_line(
    serve: Serve, write: Write, changes: dict[str, str], document: str
) -> None:
    written = write()
    async with serve(**changes) as api:
        refused = await api.client.post("/graphql", json={"query": document, "operationName": HOSTILE})
        assert "errors" in refused.json()
        await api.client.post("/graphql", json={"query": document})

    lines = written.getvalue().splitlines()
    assert len(lines) == 2
    assert all(len(line) < 600 for line in lines)
    assert "\x1b[2J" not in written.getvalue()
    assert '"name": "Forged"' not in written.getvalue()


@pytest.mark.parametrize(
    ("environment", "log_format", "is_json"),
    [
        (Environment.DEVELOPMENT, "auto", False),
        (Environment.PRODUCTION, "auto", True),
        (Environment.PRODUCTION, "text", False),
        (Environment.QA, "json", True),
    ],
)
async def test_the_format_is_that_of_the_environment_or_as_set(
    serve: Serve, committed_market: Market, write: Write, environment: Environment, log_format: str, is_json: bool
) -> None:
    user = await committed_market.user()
    written = write()
    async with serve(app_env=environment, log_format=log_format) as api:
        await api.send(COMPILED, user=user)

    (line,) = written.getvalue().splitlines()
    assert line.startswith("{") is is_json
    assert str(user.id) in line
    assert "UUID" not in line
    if is_json:
        assert json.loads(line)["viewer"] == str(user.id)
        assert json.loads(line)["timestamp"].endswith("Z")


def test_what_libraries_log_looks_the_same_and_names_the_request(write: Write) -> None:
    written = write(log_format="json")
    operation_log.begin("0123456789abcdef")
    try:
        raise ValueError("unforeseen")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    logging.getLogger("uvicorn.error").info("of no interest")

    (line,) = map(json.loads, written.getvalue().splitlines())
    assert (line["event"], line["level"]) == ("Exception in ASGI application", "error")
    assert line["request_id"] == "0123456789abcdef"
    assert "ValueError: unforeseen" in line["exception"]


async def test_a_value_that_the_driver_refuses_is_not_quoted(
    write: Write, settings: Settings, database_url: str
) -> None:
    written = write(log_format="json")
    database = open_database(database_url, settings)
    try:
        async with database.engine.connect() as connection:
            await connection.execute(text("SELECT CAST(:number AS integer)"), {"number": PASSWORD})
    except DBAPIError as failure:
        structlog.get_logger().error("refused", exc_info=failure)
    await database.close()

    (line,) = map(json.loads, written.getvalue().splitlines())
    assert "invalid input for query argument $1" in line["exception"]
    assert PASSWORD not in line["exception"]


@pytest.mark.parametrize(
    ("message", "failure", "is_logged"),
    [
        ("Exception in ASGI application", RuntimeError("unable to perform …; the handler is closed"), False),
        ("Exception in ASGI application", RuntimeError("something else"), True),
        ("Exception in ASGI application", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), True),
        (
            "Invalid UTF-8 sequence received from client.",
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            False,
        ),
    ],
)
def test_what_a_client_did_is_no_failure_of_the_server(
    write: Write, message: str, failure: Exception, is_logged: bool
) -> None:
    written = write()
    logging.getLogger("uvicorn.error").error(message, exc_info=failure)

    assert (message in written.getvalue()) == is_logged


def test_text_that_is_not_unicode_is_written(write: Write, settings: Settings) -> None:
    written = write(log_format="json")
    logging.getLogger("a.library").warning("half a character: \ud800")

    assert json.loads(written.getvalue())["event"] == "half a character: \ud800"


async def test_a_failure_of_a_read_that_nobody_foresaw_names_the_request(
    serve: Serve, write: Write, committed_engine: AsyncEngine, committed_market: Market
) -> None:
    store = await committed_market.store()
    written = write()
    async with renamed(committed_engine, "stores"), serve(log_format="json") as api:
        response = await api.send("query ($id: ID!) { store(id: $id) { name } }", {"id": gid(store)})

    *failures, told = map(json.loads, written.getvalue().splitlines())
    assert [failure["event"] for failure in failures] == ["compiled path failed", "internal error"]
    for failure in failures:
        assert "UndefinedTableError" in failure["exception"]
        assert failure["request_id"] == told["request_id"] == response.headers["X-Request-ID"]
