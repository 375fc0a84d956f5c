"""A database whose partitions tests may change."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import make_url

from app.db import migrations
from app.pruning.partitions import Driver
from tests.databases import create_database, drop_database
from tests.events import driver_to


@pytest.fixture(scope="package")
def migrated(server_url: str) -> Iterator[str]:
    """The name of a migrated database."""
    url = create_database(server_url, f"orders_test_migrated_{os.getpid()}")
    migrations.migrate(url, lambda _: None)
    yield str(make_url(url).database)
    drop_database(url)


@pytest.fixture
def database(server_url: str, migrated: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_pruning_{os.getpid()}", migrated)
    yield url
    drop_database(url)


@pytest.fixture
async def driver(database: str) -> AsyncIterator[Driver]:
    async with driver_to(database) as driver:
        yield driver
