"""An operation of several statements sees one state of a replica."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, text

from app.db.engine import open_database
from app.db.unit_of_work import UnitOfWork
from app.replicas.reading import Replicas
from app.replicas.replica import Reason, Replica, Unfit
from app.settings import Settings
from tests.clusters import Cluster, cluster
from tests.databases import run_on
from tests.graphql.subscriptions.clients import until


@pytest.fixture
async def servers() -> AsyncIterator[Cluster]:
    """A standby that waits for nobody with its replay."""
    servers = cluster(max_standby_streaming_delay="0")
    yield await asyncio.to_thread(servers.__enter__)
    await asyncio.to_thread(servers.__exit__, None, None, None)


def change(connection: Connection) -> None:
    """Change a table so that nobody may be reading it."""
    connection.execute(text("TRUNCATE numbers"))
    connection.commit()


def create(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE numbers AS SELECT 1 AS number"))
    connection.commit()


async def test_replay_ends_an_operation_in_its_way_and_the_replica_stays(servers: Cluster) -> None:
    await asyncio.to_thread(run_on, servers.primary.url, create)
    settings = Settings(database_url=servers.primary.url, database_replica_urls=servers.standby.url)
    primary = open_database(servers.primary.url, settings)
    replicas = Replicas(primary, settings)
    async with replicas.running():
        await until(lambda: replicas.fit == 1)
        (replica,) = replicas.in_turn()
        for _ in range(2):
            with pytest.raises(Unfit) as unfit:
                await read_while_it_changes(replica, servers)
            assert unfit.value.reason is Reason.CONFLICT
            assert replica.is_fit
    await primary.close()


async def read_while_it_changes(replica: Replica, servers: Cluster) -> None:
    work = UnitOfWork(replica.database)
    async with replica.snapshot(work, ()):
        await work.driver_row("SELECT count(*) FROM numbers", [])
        await asyncio.to_thread(run_on, servers.primary.url, change)
        await until(lambda: work.was_closed)
        await work.driver_row("SELECT count(*) FROM numbers", [])
