"""While orders are placed, partitions are added and dropped, and the tables become partitioned: no order fails."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import httpx2
import pytest
from alembic import command
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.db import migrations
from app.main import application, create_services
from app.pruning.partitions import Driver, layout_of
from app.settings import Settings
from tests.api import Api
from tests.databases import committing, create_database, drop_database
from tests.events import driver_to
from tests.graphql.subscriptions.clients import PATIENCE, serving
from tests.market import Market
from tests.orders.operations import PLACE, item
from tests.pruning import WEEK, pruned

BUYERS = 4
ENOUGH = 20
FILES = "SELECT pg_relation_filenode(oid) FROM pg_class WHERE relname = ANY($1)"
SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = $1"


class Orders:
    """Orders that are placed one after the other by each of some buyers, and what became of them."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    async def more(self) -> None:
        """Return after ENOUGH more orders."""
        enough = self.outcomes.total() + ENOUGH
        async with asyncio.timeout(PATIENCE):
            while self.outcomes.total() < enough:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def ordering(url: str) -> AsyncIterator[Orders]:
    """Serve the database at `url`, and place orders meanwhile."""
    settings = Settings(database_url=url, database_direct_url=None, log_level="warning")
    async with AsyncExitStack() as stack:
        engine = create_async_engine(url, pool_size=BUYERS)
        stack.push_async_callback(engine.dispose)
        session = await stack.enter_async_context(AsyncSession(engine, expire_on_commit=False))
        market = Market(session)
        product, buyers = await market.product(), [await market.user() for _ in range(BUYERS)]
        await session.commit()
        services = create_services(settings, committing(engine))
        address = await stack.enter_async_context(serving(application(services)))
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE))
        api, orders, is_over = Api(client, settings), Orders(), asyncio.Event()

        async def order(buyer: int) -> None:
            while not is_over.is_set():
                answer = await api.send(PLACE, {"items": [item(product)]}, user=buyers[buyer])
                placed = (answer.json().get("data") or {}).get("placeOrder")
                orders.outcomes[placed["__typename"] if placed else answer.text] += 1

        async with asyncio.TaskGroup() as group:
            for buyer in range(BUYERS):
                group.create_task(order(buyer))
            try:
                yield orders
            finally:
                is_over.set()


async def test_no_order_fails_while_partitions_are_added_and_dropped(database: str, driver: Driver) -> None:
    added = dropped = 0
    settings = Settings(audit_retention_days=14)
    async with ordering(database) as orders:
        await orders.more()
        for weeks in range(4, 30, 2):
            results = await pruned(driver, settings, now=datetime.now(UTC) + weeks * WEEK)
            added += sum(result.added for result in results.values())
            dropped += sum(result.dropped for result in results.values())
        await orders.more()

    assert orders.outcomes.keys() == {"PlaceOrderSuccess"}
    assert min(added, dropped) > 20


@pytest.fixture
def before(server_url: str) -> Iterator[str]:
    """A database whose logs have no partitions yet."""
    url = create_database(server_url, f"orders_test_partitioning_{os.getpid()}")
    command.upgrade(migrations.alembic_config(url), "0017")
    yield url
    drop_database(url)


async def test_tables_become_partitions_without_being_rewritten_or_read_again(before: str) -> None:
    async with driver_to(before) as driver:
        async with ordering(before) as orders:
            await orders.more()
            assert (await pruned(driver))["events"].added == 0, "it would be in the way"
            files = {*await driver.fetch(FILES, ["audit_entries", "pk_audit_entries", "events_default"])}
            await asyncio.to_thread(command.upgrade, migrations.alembic_config(before), "0018")
            await orders.more()
            scans = await driver.fetchval(SCANS, "audit_entries")
            await asyncio.to_thread(migrations.migrate, before, lambda _: None)
            await orders.more()

        assert orders.outcomes.keys() == {"PlaceOrderSuccess"}
        assert {*await driver.fetch(FILES, ["audit_entries_past", "audit_entries_past_pkey", "events_past"])} == files
        assert await driver.fetchval(SCANS, "audit_entries_past") == scans
        placed = orders.outcomes.total()
        assert await driver.fetchval("SELECT count(*) FROM ONLY audit_entries_past") >= placed
        assert await driver.fetchval("SELECT count(*) FROM audit_entries WHERE operation = 'placeOrder'") == placed
        for table in ("events", "audit_entries"):
            assert (await layout_of(driver, table)).ahead(datetime.now(UTC)) > 4 * WEEK
