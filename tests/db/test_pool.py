"""Every connection goes back to the pool, whatever became of the operation that took it."""

import asyncio

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from app.db.unit_of_work import UnitOfWork
from tests.api import Api
from tests.databases import committing
from tests.graphql.test_transactions import CREATE, CREATE_AND_FAIL, PAGE
from tests.market import Market, gid
from tests.triggers import renamed, triggered


class Pool:
    """How many connections of the application's pool are out."""

    def __init__(self, engine: AsyncEngine) -> None:
        assert isinstance(engine.pool, QueuePool)
        self._pool = engine.pool

    @property
    def taken(self) -> int:
        return self._pool.checkedout()


@pytest.fixture
def pool(committed_engine: AsyncEngine) -> Pool:
    return Pool(committed_engine)


INSERT = """
    INSERT INTO idempotency_keys (id, scope, key, fingerprint) VALUES (gen_random_uuid(), '', 'k', '') RETURNING id
"""
OPERATIONS = {
    "a query": PAGE,
    "a query of nothing in the database": "{ __typename }",
    "a document that does not parse": "{",
    "a document that is not valid": "{ nothing }",
    "a mutation that commits": CREATE,
    "a mutation with a typed failure": CREATE.replace("Bread", ""),
    "a mutation that is forbidden": CREATE_AND_FAIL,
    "a mutation with a malformed id": 'mutation { deleteStore(input: { id: "1" }) { __typename } }',
    "a field that fails at once beside one that loads": "{ products { nodes { id } } users { nodes { id } } }",
    "a field that fails at once before one that loads": "{ users { nodes { id } } products { nodes { id } } }",
    "a page too large beside one that loads": "{ stores { nodes { id } } products(first: 101) { nodes { id } } }",
    "a malformed id beside one that loads": 'query ($store: ID!) { nodes(ids: [$store, $store, "1"]) { id } }',
    "a malformed id before one that loads": 'query ($store: ID!) { nodes(ids: ["1", $store]) { id } }',
    "a nested field that fails beside one that loads": """
        query ($store: ID!) { store(id: $store) { owner { fullName } products(first: 101) { totalCount } } }
    """,
    "a payload of which a part fails": """
        mutation ($store: ID!) {
          updateStore(input: { id: $store, city: "Paris" }) {
            ... on UpdateStoreSuccess {
              store { owner { stores { nodes { id } } } products(first: 101) { nodes { id } } }
            }
          }
        }
    """,
}


async def test_the_connection_goes_back_to_the_pool_after_every_operation(
    committed_api: Api, committed_market: Market, pool: Pool
) -> None:
    owner = await committed_market.user()
    variables = {"store": gid(await committed_market.store(owner))}
    assert pool.taken == 0

    for name, operation in OPERATIONS.items():
        await committed_api.send(operation, variables, user=owner)
        assert pool.taken == 0, name
        # what a field that failed had begun to load must not take a connection later either
        await committed_api.send("{ stores { totalCount } }")
        assert pool.taken == 0, name


async def test_the_connection_goes_back_to_the_pool_after_a_statement_that_failed(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, pool: Pool
) -> None:
    owner = await committed_market.user()

    async with renamed(committed_engine, "users"):
        for operation in ("{ viewer { id } }", CREATE):
            error = await committed_api.error(operation, {"store": "Store_1"}, user=owner)
            assert error["code"] == "INTERNAL_SERVER_ERROR"
            assert pool.taken == 0


async def test_a_connection_is_not_given_back_while_a_statement_is_on_its_way(
    committed_engine: AsyncEngine, pool: Pool
) -> None:
    lock = select(func.pg_advisory_xact_lock(1))
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    work = UnitOfWork(committing(committed_engine))

    async with committed_engine.begin() as holder:
        await holder.execute(lock)
        reading = asyncio.create_task(work.rows(lock))
        while not await holder.scalar(waiting):
            pass
        closing = asyncio.create_task(work.close())
        await holder.scalar(waiting)
        assert not closing.done()
        assert pool.taken == 2
    await asyncio.gather(reading, closing)

    assert pool.taken == 0


async def test_the_connection_goes_back_to_the_pool_after_a_commit_that_failed(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, pool: Pool
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)

    async with triggered(committed_engine, "INSERT ON products DEFERRABLE INITIALLY DEFERRED", "RAISE disk_full"):
        error = await committed_api.error(CREATE, {"store": gid(store)}, user=owner)
        assert pool.taken == 0

    assert error["code"] == "INTERNAL_SERVER_ERROR"


async def test_a_statement_that_a_failure_makes_useless_ends_no_other(
    committed_api: Api, committed_market: Market
) -> None:
    """A node of the list fails while its total is counted, and the product beside it is still to be read."""
    store = await committed_market.store()
    query = """query ($store: ID!) {
      stores { nodes { products(before: "x") { totalCount } } totalCount again: totalCount }
      store(id: $store) { id }
      product(id: "Product_01970000-0000-7000-8000-000000000000") { id }
    }"""

    for _ in range(20):
        assert (await committed_api.error(query, {"store": gid(store)}))["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("moments", range(6))
async def test_a_begin_that_is_given_up_takes_no_later_write_with_it(
    committed_engine: AsyncEngine, database_url: str, moments: int
) -> None:
    """The connection on which nobody knows what became of BEGIN must not serve others: their commits would be none."""
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0)
    database = committing(engine)
    async with engine.connect():
        pass  # so that it is not connecting that is given up
    given_up = UnitOfWork(database)
    task = asyncio.create_task(given_up.begin())
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await given_up.close()

    work = UnitOfWork(database)
    await work.begin()
    await work.rows(text(INSERT))
    await work.finish(commit=True)
    await engine.dispose()

    async with committed_engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == 1


async def test_connections_that_broke_do_not_come_back(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, pool: Pool
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)
    others = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND datname = current_database()
    """
    works = [UnitOfWork(committing(committed_engine)) for _ in range(3)]
    for work in works:
        await work.rows(text("SELECT 1"))
    for work in works:
        await work.close()
    async with committed_engine.connect() as connection:
        await connection.execute(text(others))

    for _ in range(8):
        await committed_api.data(CREATE, {"store": gid(store)}, user=owner)
        assert pool.taken == 0


async def test_a_write_that_postgres_has_given_up_is_not_confirmed(committed_engine: AsyncEngine) -> None:
    work = UnitOfWork(committing(committed_engine))
    await work.begin()
    with pytest.raises(DBAPIError):
        await work.rows(text("SELECT 1/0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        await work.finish(commit=True)


async def test_a_field_that_failed_does_not_spoil_the_others(committed_engine: AsyncEngine) -> None:
    work = UnitOfWork(committing(committed_engine))
    await work.begin()
    await work.begin_field(alone=False)
    with pytest.raises(DBAPIError):
        await work.rows(text("SELECT 1/0"))
    assert not await work.end_field(undo=False)  # of which Postgres would commit nothing
    assert not work.has_effect

    await work.begin_field(alone=False)
    await work.rows(text(INSERT))
    assert await work.end_field(undo=False)
    assert work.has_effect
    await work.finish(commit=True)
    async with committed_engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == 1


async def test_a_field_that_is_undone_leaves_what_was_before_it(committed_engine: AsyncEngine) -> None:
    work = UnitOfWork(committing(committed_engine))
    await work.begin()
    for undo in (False, True):
        await work.begin_field(alone=False)
        await work.rows(text(INSERT.replace("'k'", f"'{undo}'")))
        await work.end_field(undo=undo)
        assert await work.end_field(undo=True)  # it is over by then
    await work.finish(commit=True)

    async with committed_engine.connect() as connection:
        assert list(await connection.scalars(text("SELECT key FROM idempotency_keys"))) == ["False"]


async def test_what_a_field_left_running_reads_nothing_after_it(committed_engine: AsyncEngine) -> None:
    work, is_over = UnitOfWork(committing(committed_engine)), asyncio.Event()

    async def read_later() -> None:
        await is_over.wait()
        await work.rows(text("SELECT 1"))

    await work.begin()
    await work.begin_field(alone=False)
    left = asyncio.create_task(read_later())
    running = asyncio.create_task(work.rows(text("SELECT pg_sleep(0.05)")))
    await asyncio.sleep(0)
    assert await work.end_field(undo=False)
    assert running.done()
    is_over.set()
    await work.begin_field(alone=False)
    with pytest.raises(RuntimeError, match="the root field is over"):
        await left
    await work.rows(text("SELECT 1"))
    assert await work.end_field(undo=False)
    await work.finish(commit=True)


async def test_what_is_cancelled_within_a_field_stays_cancelled(committed_engine: AsyncEngine, pool: Pool) -> None:
    work, begun = UnitOfWork(committing(committed_engine)), asyncio.Event()

    async def wait() -> None:
        await work.begin()
        begun.set()
        try:
            await work.begin_field(alone=True)
            await work.rows(text("SELECT pg_sleep(60)"))
        finally:
            await work.close()

    task = asyncio.create_task(wait())
    await begun.wait()
    await asyncio.sleep(0.05)  # let the statement be sent
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.taken == 0
    await asyncio.sleep(0.01)  # the connection that was given up is closed a moment later
