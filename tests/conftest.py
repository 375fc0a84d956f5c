"""One migrated database for each process of the run. Each test works in a transaction that is rolled back;
`committed_*` fixtures, for tests of concurrency, commit for real and empty the tables afterwards."""

import os
import shutil
import ssl
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack
from functools import cache
from subprocess import PIPE, Popen
from typing import Any

import httpx2
import pytest
import structlog
from alembic import command
from hypothesis import settings as hypothesis_settings
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from app.db.migrations import alembic_config
from app.main import create_app
from app.settings import ROOT, Settings
from tests.api import Api
from tests.databases import (
    DIRECT,
    SingleConnection,
    committing,
    create_database,
    drop_database,
    empty,
    environment_of,
    rolled_back,
    through_pooler,
)
from tests.market import Market
from tests.paths import Paths, Watch
from tests.statements import Statements
from tools.postgres import embedded_postgres

# How long an example takes says how busy the machine is.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape what is not Unicode in the report of a test, as a worker cannot send it."""
    return _escaped((yield))


def _escaped(report: Any) -> Any:
    match report:
        case str():
            return report.encode(errors="backslashreplace").decode()
        case list() | tuple():
            return type(report)(map(_escaped, report))
        case dict():
            return {key: _escaped(value) for key, value in report.items()}
    return report


@pytest.fixture(scope="session", autouse=True)
def _one_tls_context() -> Iterator[None]:
    """Read the authorities' certificates once, and not for each client: it takes longer than most of what is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def _log_of_the_test() -> Iterator[None]:
    """Forget where a test has let the process log: what captured its output is closed by then."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The server of DATABASE_DIRECT_URL or DATABASE_URL, or the embedded one."""
    if url := os.environ.get("DATABASE_DIRECT_URL") or os.environ.get("DATABASE_URL"):
        yield make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    else:
        with embedded_postgres(ROOT / ".data" / "test-postgres") as url:
            yield url


@pytest.fixture(scope="session")
def direct_url(server_url: str) -> Iterator[str]:
    """A migrated database of this process's own, past any pooler."""
    url = create_database(server_url, f"orders_test_{os.getpid()}")
    command.upgrade(alembic_config(url), "head")
    yield url
    drop_database(url)


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest, direct_url: str) -> Iterator[str]:
    """The same database; through the pooler, if the tests use one and this one isn't marked as `direct`."""
    url = direct_url if hasattr(request, "param") else through_pooler(direct_url)
    with pytest.MonkeyPatch.context() as patch:  # for all settings that tests create
        patch.setenv("DATABASE_DIRECT_URL", environment_of(url)["DATABASE_DIRECT_URL"])
        yield url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Connect a test directly that is marked as `direct`, where others use a pooler."""
    if DIRECT and "database_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("direct"):
        metafunc.parametrize("database_url", ["direct"], indirect=True)


@pytest.fixture(scope="session")
def settings(database_url: str) -> Settings:
    """The settings of the tests, on the resolver path: it is the reference, which `graphql/compiled` compares with."""
    return Settings(database_url=database_url, compiled_path=False, attempt_limit="", account_attempt_limit="")


@pytest.fixture(scope="session")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_url, pool_pre_ping=True)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this process's own."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    folder = tmp_path_factory.mktemp("redis")
    options = ["--port", "0", "--unixsocket", f"{folder}/socket", "--save", "", "--dir", f"{folder}"]
    with Popen([server, *options], stdout=PIPE, text=True) as process:
        assert any("ready to accept connections" in line.lower() for line in process.stdout or ()), "Redis has ended"
        yield f"redis+unix://{folder}/socket"
        process.terminate()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The connection of the test, in a transaction that is rolled back."""
    async with rolled_back(engine) as connection:
        yield connection


@pytest.fixture
async def market(connection: AsyncConnection) -> AsyncIterator[Market]:
    """Puts users, stores, products and orders into the database."""
    async with AsyncSession(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
        yield Market(session)


@pytest.fixture
async def api(connection: AsyncConnection, settings: Settings) -> AsyncIterator[Api]:
    """The application, whose operations run in the transaction of the test."""
    app = create_app(settings, SingleConnection(connection))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)


@pytest.fixture
async def paths(connection: AsyncConnection, settings: Settings) -> AsyncIterator[Paths]:
    """The application with the compiled path and without it, in the transaction of the test."""
    async with AsyncExitStack() as stack:
        with Watch.started() as watch:
            yield await Paths.open(stack, SingleConnection(connection), settings, watch)


@pytest.fixture
def statements(engine: AsyncEngine) -> Iterator[Statements]:
    """What is sent to the database."""
    with Statements.recorded(engine) as statements:
        yield statements


@pytest.fixture
async def committed_engine(engine: AsyncEngine, database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with a pool, whose transactions commit; the tables are emptied after the test."""
    pooled = create_async_engine(database_url, pool_size=20, max_overflow=0)
    yield pooled
    await pooled.dispose()
    await empty(engine)


@pytest.fixture
async def committed_market(committed_engine: AsyncEngine) -> AsyncIterator[Market]:
    """Puts rows into the database and commits them."""
    async with AsyncSession(committed_engine, expire_on_commit=False) as session:
        yield Market(session)


@pytest.fixture
async def committed_api(committed_engine: AsyncEngine, settings: Settings) -> AsyncIterator[Api]:
    """The application as it is, each operation on a connection of its own."""
    app = create_app(settings, committing(committed_engine))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)
