"""One market for all tests of the compiled path, which only read it. It is committed, so that each operation has a
connection of its own: what goes wrong in one must not reach the next."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.db.server_settings import startup_parameters
from app.settings import Settings
from tests.databases import committing, empty
from tests.graphql.compiled.world import Population, populate
from tests.market import Market
from tests.paths import Paths, Watch
from tests.statements import Statements


@pytest.fixture(scope="package")
async def pooled(database_url: str, settings: Settings) -> AsyncIterator[AsyncEngine]:
    """An engine with a pool, over the market."""
    engine = create_async_engine(database_url, connect_args={"server_settings": startup_parameters(settings)})
    yield engine
    await engine.dispose()


@pytest.fixture(scope="package")
async def population(pooled: AsyncEngine) -> AsyncIterator[Population]:
    """The market; the tables are emptied afterwards."""
    async with AsyncSession(pooled, expire_on_commit=False) as session:
        yield await populate(Market(session))
    await empty(pooled)


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What the compiled path does in this test."""
    with Watch.started() as watch:
        yield watch


@pytest.fixture
async def paths(pooled: AsyncEngine, population: Population, settings: Settings, watch: Watch) -> AsyncIterator[Paths]:
    """Both paths over the market, with empty caches."""
    async with AsyncExitStack() as stack:
        yield await Paths.open(stack, committing(pooled), settings, watch)


@pytest.fixture
def pooled_statements(pooled: AsyncEngine) -> Iterator[Statements]:
    """What is sent through SQLAlchemy, as the resolver path sends everything."""
    with Statements.recorded(pooled) as statements:
        yield statements
