"""The demo and the bulk data: what they promise, and that they could have come about through the API."""

import os
from asyncio import gather
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from alembic import command
from pydantic import TypeAdapter
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.db.migrations import alembic_config
from app.db.models import OrderStatus
from app.inputs import Email, Line
from app.products.inputs import NewProductInput
from app.security.passwords import needs_rehash, verify_password
from app.stores.inputs import CreateStoreInput
from app.users.demo import CUSTOMER, DEMO_ACCOUNTS, DEMO_PASSWORD, OWNER, SUPERUSER
from tests.databases import create_database, drop_database
from tools.bulk import Size, seed_bulk
from tools.demo import seed_demo
from tools.seeding import Counts, NotEmpty

SMALL = Size(stores=5, products=300, orders=200)
TABLES = ("users", "stores", "products", "orders", "store_orders", "order_items")

IMPOSSIBLE = {
    "an order without items": "SELECT FROM orders WHERE id NOT IN (SELECT order_id FROM order_items)",
    "a status that the items deny": """
        SELECT FROM orders JOIN order_items ON order_id = orders.id GROUP BY orders.id
        HAVING status IS DISTINCT FROM CASE count(fulfilled_at)
            WHEN 0 THEN CASE status WHEN 'CANCELLED' THEN status ELSE 'PLACED' END
            WHEN count(*) THEN 'FULFILLED'
            ELSE 'PARTIALLY_FULFILLED' END""",
    "an item that is not of its product's store and currency": """
        SELECT FROM order_items JOIN products ON products.id = product_id
        WHERE (order_items.store_id, order_items.currency) IS DISTINCT FROM (products.store_id, products.currency)""",
    "an item in a part of another store": """
        SELECT FROM order_items JOIN store_orders ON store_orders.id = store_order_id
        WHERE (order_items.store_id, order_items.order_id, order_items.currency)
            IS DISTINCT FROM (store_orders.store_id, store_orders.order_id, store_orders.currency)""",
    "a part whose items cost something else": """
        SELECT FROM store_orders JOIN order_items ON store_order_id = store_orders.id
        GROUP BY store_orders.id HAVING total <> sum(unit_price * quantity)""",
    "a part whose status its items deny": """
        SELECT FROM store_orders JOIN orders ON orders.id = store_orders.order_id
        JOIN order_items ON store_order_id = store_orders.id GROUP BY store_orders.id, orders.status
        HAVING store_orders.status <> CASE WHEN orders.status = 'CANCELLED' THEN 'CANCELLED'
            WHEN bool_and(fulfilled_at IS NOT NULL) THEN 'FULFILLED' ELSE 'OPEN' END""",
    "an order without a part": "SELECT FROM orders WHERE id NOT IN (SELECT order_id FROM store_orders)",
    "a store before its owner": """
        SELECT FROM stores JOIN users ON users.id = owner_id WHERE stores.created_at <= users.created_at""",
    "a product before its store": """
        SELECT FROM products JOIN stores ON stores.id = store_id WHERE products.created_at <= stores.created_at""",
    "an order before its customer": """
        SELECT FROM orders JOIN users ON users.id = customer_id WHERE orders.created_at <= users.created_at""",
    "an item before its product": """
        SELECT FROM order_items JOIN products ON products.id = product_id
        WHERE order_items.created_at <= products.created_at""",
    "an order not of its date": "SELECT FROM orders WHERE date <> created_at",
    "an item not of its order's date": """
        SELECT FROM order_items JOIN orders ON orders.id = order_id WHERE order_items.created_at <> date""",
    "a fulfilment out of time": """
        SELECT FROM order_items JOIN orders ON orders.id = order_id
        WHERE fulfilled_at NOT BETWEEN date AND orders.updated_at OR fulfilled_at <> order_items.updated_at""",
    "a cancellation at once": "SELECT FROM orders WHERE status = 'CANCELLED' AND updated_at = date",
    "a change of what was only placed": "SELECT FROM orders WHERE status = 'PLACED' AND updated_at <> date",
    "a negative stock": "SELECT FROM products WHERE stock < 0",
    **{
        f"a time out of order in {table}": f"""
            SELECT FROM {table} WHERE created_at > updated_at OR updated_at > now()"""
        for table in TABLES
    },
}


class Reports(list[tuple[str, int, int]]):
    """The progress that was reported."""

    def add(self, what: str, done: int, total: int) -> None:
        self.append((what, done, total))

    def of(self, wanted: str) -> Sequence[tuple[int, int]]:
        return [(done, total) for what, done, total in self if what == wanted]


@pytest.fixture(scope="module")
def seed_url(server_url: str) -> Iterator[str]:
    """A migrated database that nobody else seeds."""
    url = create_database(server_url, f"orders_seed_{os.getpid()}")
    command.upgrade(alembic_config(url), "head")
    yield url
    drop_database(url)


@pytest.fixture
async def engine(seed_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine whose database is empty, and is emptied again."""
    engine = create_async_engine(seed_url, poolclass=NullPool)
    yield engine
    await empty(engine)
    await engine.dispose()


async def empty(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(TABLES)} CASCADE"))


async def rows(engine: AsyncEngine, sql: str, **parameters: Any) -> Sequence[Any]:
    async with engine.connect() as connection:
        return (await connection.execute(text(sql), parameters)).all()


async def value(engine: AsyncEngine, sql: str, **parameters: Any) -> Any:
    [[found]] = await rows(engine, sql, **parameters)
    return found


async def exists(engine: AsyncEngine, sql: str) -> bool:
    return bool(await value(engine, f"SELECT EXISTS ({sql})"))


async def seed(engine: AsyncEngine, kind: str) -> Counts:
    return await (seed_demo(engine) if kind == "demo" else seed_bulk(engine, SMALL, 1, Reports().add))


async def digests(engine: AsyncEngine) -> Sequence[str]:
    """Return a digest of each table's rows, every column included."""
    return [
        await value(engine, f"SELECT md5(string_agg(md5({table}::text), '' ORDER BY id)) FROM {table}")
        for table in TABLES
    ]


def test_counts_read_as_a_sentence() -> None:
    assert str(Counts(1, 2, 3000, 4, 5)) == "1 users, 2 stores, 3,000 products, 4 orders of 5 items"


@pytest.mark.parametrize("kind", ["demo", "bulk"])
class TestBoth:
    async def test_inserts_what_it_counts(self, engine: AsyncEngine, kind: str) -> None:
        counts = await seed(engine, kind)
        counted = [table for table in TABLES if table != "store_orders"]
        found = [await value(engine, f"SELECT count(*) FROM {table}") for table in counted]
        assert Counts(*found) == counts

    async def test_of_two_at_once_one_fills_the_database(self, engine: AsyncEngine, kind: str) -> None:
        both = await gather(seed(engine, kind), seed(engine, kind), return_exceptions=True)
        assert [type(result) for result in both if isinstance(result, Exception)] == [NotEmpty]

    async def test_holds_nothing_impossible(self, engine: AsyncEngine, kind: str) -> None:
        await seed(engine, kind)
        assert [what for what, sql in IMPOSSIBLE.items() if await exists(engine, sql)] == []

    async def test_keys_tell_the_time_of_creation(self, engine: AsyncEngine, kind: str) -> None:
        await seed(engine, kind)
        for table in TABLES:
            for key, created_at in await rows(engine, f"SELECT id, created_at FROM {table}"):
                assert key.version == 7
                assert key.int >> 80 == round(created_at.timestamp() * 1000)

    async def test_everything_passes_the_rules_of_inputs(self, engine: AsyncEngine, kind: str) -> None:
        await seed(engine, kind)
        for row in await rows(engine, "SELECT name, description, price, stock FROM products"):
            assert NewProductInput.check(row._mapping).given() == row._mapping
        columns = "name, street, zipcode AS postcode, city, country, currency, domain, phone"
        for row in await rows(engine, f"SELECT {columns} FROM stores"):
            assert CreateStoreInput.check(row._mapping).given() == row._mapping
        for email, full_name in await rows(engine, "SELECT email, full_name FROM users"):
            assert TypeAdapter(Email).validate_python(email) == email
            assert TypeAdapter(Line).validate_python(full_name) == full_name

    async def test_accounts_can_log_in_and_have_what_their_role_says(self, engine: AsyncEngine, kind: str) -> None:
        await seed(engine, kind)
        for account in DEMO_ACCOUNTS:
            [[full_name, password_hash]] = await rows(
                engine, "SELECT full_name, password_hash FROM users WHERE email = :email", email=account.email
            )
            assert full_name == account.full_name
            assert await verify_password(password_hash, DEMO_PASSWORD)
            assert not needs_rehash(password_hash)
        assert await rows(engine, "SELECT email FROM users WHERE is_superuser") == [(SUPERUSER.email,)]
        for email, table, person in (OWNER.email, "stores", "owner_id"), (CUSTOMER.email, "orders", "customer_id"):
            join = f"SELECT count(*) FROM {table} JOIN users ON users.id = {person} WHERE email = :email"
            assert await value(engine, join, email=email) > 1

    async def test_refuses_to_seed_twice_and_leaves_all_as_it_was(self, engine: AsyncEngine, kind: str) -> None:
        await seed(engine, kind)
        before = await digests(engine)
        with pytest.raises(NotEmpty):
            await seed(engine, kind)
        assert await digests(engine) == before


class TestDemo:
    async def test_is_small_and_varied(self, engine: AsyncEngine) -> None:
        counts = await seed_demo(engine)
        assert 6 <= counts.stores <= 10
        assert 60 <= counts.products <= 80
        assert counts.orders == 60
        assert await value(engine, "SELECT count(DISTINCT country) FROM stores") >= 6
        currencies = {currency for (currency,) in await rows(engine, "SELECT DISTINCT currency FROM stores")}
        assert currencies >= {"EUR", "GBP", "USD", "JPY", "SEK", "CHF"}
        assert await value(engine, "SELECT count(*) FROM products WHERE stock = 0") in range(1, 4)
        assert await value(engine, "SELECT count(*) FROM products WHERE stock IS NULL") > 5
        assert not await exists(engine, "SELECT FROM products WHERE currency = 'JPY' AND price <> trunc(price)")
        assert not await exists(engine, "SELECT FROM products WHERE description NOT LIKE '%.'")

    async def test_is_found_without_its_accents(self, engine: AsyncEngine) -> None:
        await seed_demo(engine)
        found = "SELECT name FROM products WHERE search @@ search_query(:words)"
        assert await rows(engine, found, words="creme brulee") == [("Crème brûlée torch",)]
        assert await rows(engine, found.replace("products", "stores"), words="lodz") == [("Łódź Harbour Supplies",)]

    async def test_orders_are_of_the_last_year_and_recent_ones_wait(self, engine: AsyncEngine) -> None:
        await seed_demo(engine)
        now = datetime.now(UTC)
        orders = await rows(engine, "SELECT date, status FROM orders ORDER BY date")
        assert now - timedelta(days=365) < orders[0].date < now - timedelta(days=300)
        assert now - timedelta(days=2) < orders[-1].date < now
        recent = {status for date, status in orders if now - date < timedelta(days=3)}
        assert recent == {OrderStatus.PLACED}
        assert {status for _, status in orders} == set(OrderStatus)

    async def test_orders_are_of_few_items_and_stores(self, engine: AsyncEngine) -> None:
        await seed_demo(engine)
        orders = await rows(
            engine, "SELECT count(*) AS items, count(DISTINCT store_id) AS stores FROM order_items GROUP BY order_id"
        )
        assert {order.items for order in orders} == {1, 2, 3, 4}
        assert {order.stores for order in orders} >= {1, 2}

    async def test_some_products_were_cheaper(self, engine: AsyncEngine) -> None:
        await seed_demo(engine)
        prices = await rows(
            engine,
            """SELECT unit_price, price, order_items.created_at < products.updated_at AS before_the_rise
               FROM order_items JOIN products ON products.id = product_id""",
        )
        cheaper = [price for price in prices if price.unit_price < price.price]
        assert 0 < len(cheaper) < len(prices) / 4
        assert all(price.before_the_rise for price in cheaper)
        assert all(price.unit_price == price.price for price in prices if price not in cheaper)

    async def test_the_customer_has_orders_of_each_status(self, engine: AsyncEngine) -> None:
        await seed_demo(engine)
        orders = await rows(
            engine,
            "SELECT status FROM orders JOIN users ON users.id = customer_id WHERE email = :email",
            email=CUSTOMER.email,
        )
        assert len(orders) >= 10
        assert {status for (status,) in orders} == set(OrderStatus)

    async def test_the_owner_has_some_of_the_stores(self, engine: AsyncEngine) -> None:
        await seed_demo(engine)
        owned = "SELECT count(*) FROM stores JOIN users ON users.id = owner_id WHERE email = :email"
        assert await value(engine, owned, email=OWNER.email) in (2, 3)


class TestBulk:
    async def test_is_of_the_size_wanted(self, engine: AsyncEngine) -> None:
        counts = await seed_bulk(engine, SMALL, 1, Reports().add)
        assert (counts.stores, counts.products, counts.orders) == (5, 300, 200)
        assert counts.users == 1 + SMALL.owners + SMALL.customers == 1 + 2 + 11
        assert 2.5 < counts.order_items / counts.orders < 3.5

    async def test_is_the_same_for_the_same_seed_only(self, engine: AsyncEngine) -> None:
        made = []
        for seed in (1, 1, 2):
            await seed_bulk(engine, SMALL, seed, Reports().add)
            made.append(await digests(engine))
            await empty(engine)
        assert made[0] == made[1]
        assert not set(made[0]) & set(made[2])

    async def test_prices_and_stocks_are_spread(self, engine: AsyncEngine) -> None:
        await seed_bulk(engine, SMALL, 1, Reports().add)
        assert not await exists(engine, "SELECT FROM products WHERE price NOT BETWEEN 1 AND 2000")
        assert 300 * 0.3 < await value(engine, "SELECT count(*) FROM products WHERE price < 45") < 300 * 0.7
        assert 300 * 0.05 < await value(engine, "SELECT count(*) FROM products WHERE stock IS NULL") < 300 * 0.2
        assert await value(engine, "SELECT count(DISTINCT store_id) FROM products") == 5
        assert await value(engine, "SELECT count(DISTINCT product_id) FROM order_items") > 300 / 2

    async def test_reports_progress_at_every_fiftieth(self, engine: AsyncEngine) -> None:
        reports = Reports()
        await seed_bulk(engine, SMALL, 1, reports.add)
        for what, expected in {"users": 14, "stores": 5, "products": 300, "orders": 200}.items():
            steps = reports.of(what)
            assert steps[-1] == (expected, expected)
            assert all(0 < later - earlier <= ceil(total / 50) for (earlier, _), (later, total) in pairwise(steps))
        assert reports[-1] == ("vacuumed tables", len(TABLES), len(TABLES))

    async def test_leaves_nothing_when_interrupted(self, engine: AsyncEngine) -> None:
        class Interrupted(Exception):
            pass

        def interrupt(what: str, done: int, total: int) -> None:
            if what == "orders" and done > total / 2:
                raise Interrupted

        with pytest.raises(Interrupted):
            await seed_bulk(engine, SMALL, 1, interrupt)
        assert [await exists(engine, f"SELECT FROM {table}") for table in TABLES] == [False] * len(TABLES)

    async def test_tells_the_planner_what_is_there(self, engine: AsyncEngine) -> None:
        await seed_bulk(engine, SMALL, 1, Reports().add)
        known = "SELECT reltuples FROM pg_class WHERE oid = 'products'::regclass"
        assert await value(engine, known) == SMALL.products

    async def test_the_smallest_is_one_store_with_one_product(self, engine: AsyncEngine) -> None:
        counts = await seed_bulk(engine, Size(stores=1, products=1, orders=3), 1, Reports().add)
        assert (counts.products, counts.orders, counts.order_items) == (1, 3, 3)
        for stores, products in (0, 1), (1, 0):
            with pytest.raises(ValueError, match="at least one"):
                Size(stores=stores, products=products, orders=0)
