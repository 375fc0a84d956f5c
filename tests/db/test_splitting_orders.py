"""Orders are split by store: those that exist by the migration, and those that 1.0.0 places meanwhile by triggers."""

import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from sqlalchemy import Connection

from app.db.migrations import alembic_config
from tests.databases import create_database, drop_database, run_on

BAKERY, WINERY = UUID(int=1), UUID(int=2)
BREAD, CAKE, WINE = UUID(int=3), UUID(int=4), UUID(int=5)
CUSTOMER = UUID(int=6)

MARKETPLACE = f"""
    INSERT INTO users (id, email, full_name, password_hash) VALUES ('{CUSTOMER}', 'ada@example.com', 'Ada', 'x');
    INSERT INTO stores (id, owner_id, name, street, zipcode, city, country, currency)
    VALUES ('{BAKERY}', '{CUSTOMER}', 'Bakery', 's', 'z', 'c', 'DE', 'EUR'),
           ('{WINERY}', '{CUSTOMER}', 'Winery', 's', 'z', 'c', 'GB', 'GBP');
    INSERT INTO products (id, store_id, currency, name, price, stock)
    VALUES ('{BREAD}', '{BAKERY}', 'EUR', 'Bread', 2.50, 100), ('{CAKE}', '{BAKERY}', 'EUR', 'Cake', 4, 100),
           ('{WINE}', '{WINERY}', 'GBP', 'Wine', 9, NULL);
"""
# As 1.0.0 sends it.
PLACE = """
WITH taken AS
(UPDATE products SET stock=(products.stock - "new".quantity), version=(products.version + $1::INTEGER), updated_at=now() FROM unnest(CAST((SELECT $2::UUID[] AS anon_1) AS UUID[]), CAST((SELECT $3::UUID[] AS anon_2) AS UUID[]), CAST((SELECT $4::UUID[] AS anon_3) AS UUID[]), CAST((SELECT $5::INTEGER[] AS anon_4) AS INTEGER[]), CAST((SELECT $6::NUMERIC(12, 2)[] AS anon_5) AS NUMERIC(12, 2)[]), CAST((SELECT $7::TEXT[] AS anon_6) AS TEXT[]), CAST((SELECT $8::BOOLEAN[] AS anon_7) AS BOOLEAN[])) AS "new"(id, product_id, store_id, quantity, unit_price, currency, from_stock) WHERE products.id = "new".product_id AND "new".from_stock),
placed AS
(INSERT INTO orders (customer_id, id) VALUES ($9::UUID, $10::UUID) RETURNING orders.customer_id, orders.date, orders.status, orders.deleted_at, orders.id, orders.created_at, orders.updated_at),
inserted AS
(INSERT INTO order_items (order_id, id, product_id, store_id, quantity, unit_price, currency, from_stock) SELECT placed.id AS id, "new".id AS id_1, "new".product_id AS product_id, "new".store_id AS store_id, "new".quantity AS quantity, "new".unit_price AS unit_price, "new".currency AS currency, "new".from_stock AS from_stock
FROM placed, unnest(CAST((SELECT $2::UUID[] AS anon_1) AS UUID[]), CAST((SELECT $3::UUID[] AS anon_2) AS UUID[]), CAST((SELECT $4::UUID[] AS anon_3) AS UUID[]), CAST((SELECT $5::INTEGER[] AS anon_4) AS INTEGER[]), CAST((SELECT $6::NUMERIC(12, 2)[] AS anon_5) AS NUMERIC(12, 2)[]), CAST((SELECT $7::TEXT[] AS anon_6) AS TEXT[]), CAST((SELECT $8::BOOLEAN[] AS anon_7) AS BOOLEAN[])) AS "new"(id, product_id, store_id, quantity, unit_price, currency, from_stock))
SELECT placed.customer_id, placed.date, placed.status, placed.deleted_at, placed.id, placed.created_at, placed.updated_at
FROM placed
"""  # noqa: E501
PARTS = """
    SELECT stores.name, store_orders.status, total, store_orders.currency, placed_at = date, store_orders.deleted_at
    FROM store_orders JOIN stores ON stores.id = store_id JOIN orders ON orders.id = order_id
    WHERE order_id = $1 ORDER BY stores.name
"""
ITEMS = """
    SELECT product_name, stores.name FROM order_items
    JOIN store_orders ON store_orders.id = store_order_id JOIN stores ON stores.id = store_orders.store_id
    WHERE order_items.order_id = $1 AND store_orders.order_id = order_items.order_id
    ORDER BY product_name
"""


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_splitting_{os.getpid()}")
    yield url
    drop_database(url)


def migrate(database: str, revision: str) -> None:
    command.upgrade(alembic_config(database), revision)


def execute(database: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the driver takes it, and return its rows."""

    async def run(driver: Any) -> list[tuple[Any, ...]]:
        if not parameters and statement.count(";") > 1:
            await driver.execute(statement)
            return []
        return [tuple(row) for row in await driver.fetch(statement, *parameters)]

    def in_transaction(connection: Connection) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = connection.connection.run_async(run)
        connection.commit()
        return rows

    return run_on(database, in_transaction)


def place(database: str) -> UUID:
    """Place an order of bread, cake and wine as 1.0.0 does."""
    order = uuid4()
    products, stores = [BREAD, CAKE, WINE], [BAKERY, BAKERY, WINERY]
    prices, currencies = [Decimal("2.50"), Decimal("4.00"), Decimal("9.00")], ["EUR", "EUR", "GBP"]
    tracked, keys = [True, True, False], [uuid4(), uuid4(), uuid4()]
    execute(database, PLACE, 1, keys, products, stores, [2, 1, 3], prices, currencies, tracked, CUSTOMER, order)
    return order


def assert_is_split(database: str, order: UUID, bakery: str = "OPEN", winery: str = "OPEN") -> None:
    assert execute(database, PARTS, order) == [
        ("Bakery", bakery, Decimal("9.00"), "EUR", True, None),
        ("Winery", winery, Decimal("27.00"), "GBP", True, None),
    ]
    assert execute(database, ITEMS, order) == [("Bread", "Bakery"), ("Cake", "Bakery"), ("Wine", "Winery")]
    ((number, name),) = execute(database, "SELECT number, customer_name FROM orders WHERE id = $1", order)
    assert (len(number), number[4], name) == (9, "-", "Ada")


def test_orders_that_exist_are_split(database: str) -> None:
    migrate(database, "0004")
    execute(database, MARKETPLACE)
    untouched, begun, fulfilled, cancelled, deleted = (place(database) for _ in range(5))
    fulfill = "UPDATE order_items SET fulfilled_at = now() WHERE order_id = $1 AND store_id = $2"
    execute(database, fulfill, begun, WINERY)
    execute(database, fulfill, fulfilled, WINERY)
    execute(database, fulfill, fulfilled, BAKERY)
    execute(database, "UPDATE orders SET status = 'CANCELLED' WHERE id = $1", cancelled)
    execute(database, "UPDATE orders SET deleted_at = now() WHERE id = $1", deleted)

    migrate(database, "head")

    assert_is_split(database, untouched)
    assert_is_split(database, begun, winery="FULFILLED")
    assert_is_split(database, fulfilled, bakery="FULFILLED", winery="FULFILLED")
    assert_is_split(database, cancelled, bakery="CANCELLED", winery="CANCELLED")
    assert all(row[5] is not None for row in execute(database, PARTS, deleted))
    ((orders, numbers),) = execute(database, "SELECT count(*), count(DISTINCT number) FROM orders")
    assert (orders, numbers) == (5, 5)


@pytest.mark.parametrize("revision", ["0005", "head"])
def test_orders_that_the_first_release_places_meanwhile_are_split(database: str, revision: str) -> None:
    migrate(database, revision)
    execute(database, MARKETPLACE)

    order = place(database)

    assert_is_split(database, order)
    migrate(database, "head")
    assert_is_split(database, order)


def test_steps_that_the_first_release_takes_meanwhile_are_followed(database: str) -> None:
    migrate(database, "head")
    execute(database, MARKETPLACE)
    begun, cancelled, deleted = (place(database) for _ in range(3))

    execute(
        database, "UPDATE order_items SET fulfilled_at = now() WHERE order_id = $1 AND product_id = $2", begun, BREAD
    )
    assert_is_split(database, begun)
    execute(
        database, "UPDATE order_items SET fulfilled_at = now() WHERE order_id = $1 AND product_id = $2", begun, CAKE
    )
    assert_is_split(database, begun, bakery="FULFILLED")
    execute(database, "UPDATE orders SET status = 'CANCELLED' WHERE id = $1", cancelled)
    assert_is_split(database, cancelled, bakery="CANCELLED", winery="CANCELLED")
    execute(database, "UPDATE orders SET deleted_at = now() WHERE id = $1", deleted)
    assert all(row[5] is not None for row in execute(database, PARTS, deleted))


def test_amounts_get_the_decimals_of_their_currency_and_none_is_rounded(database: str) -> None:
    migrate(database, "0006")
    execute(database, MARKETPLACE)
    execute(database, "UPDATE products SET price = 2.50 WHERE name = 'Cake'")
    for name, currency in (("Tokyo", "JPY"), ("Kuwait", "KWD")):
        execute(
            database,
            f"INSERT INTO stores (id, owner_id, name, street, zipcode, city, country, currency)"
            f" VALUES (gen_random_uuid(), '{CUSTOMER}', $1, 's', 'z', 'c', 'JP', $2)",
            name,
            currency,
        )
    for name, price in (("Tokyo", "1800"), ("Tokyo", "0.50"), ("Kuwait", "1.25")):
        execute(
            database,
            "INSERT INTO products (id, store_id, currency, name, price)"
            " SELECT gen_random_uuid(), id, currency, $2, $3 FROM stores WHERE name = $1",
            name,
            f"{name} {price}",
            Decimal(price),
        )

    migrate(database, "head")

    prices = execute(database, "SELECT name, price::text FROM products ORDER BY name")
    assert prices == [
        ("Bread", "2.50"),
        ("Cake", "2.50"),
        ("Kuwait 1.25", "1.250"),
        ("Tokyo 0.50", "0.50"),
        ("Tokyo 1800", "1800"),
        ("Wine", "9.00"),
    ]
