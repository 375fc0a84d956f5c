"""Whether products are in stock: triggers set it whatever changes their stock, and a migration for existing ones."""

import os
from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from alembic import command

from app.db.migrations import alembic_config
from tests.databases import create_database, drop_database
from tests.db.test_splitting_orders import execute

OWNER, STORE = UUID(int=1), UUID(int=2)
STOCKS = [None, 0, 1, 9_999]
RIGHT = {(None, True), (0, False), (1, True), (9_999, True)}


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_in_stock_{os.getpid()}")
    command.upgrade(alembic_config(url), "0013")
    execute(url, "INSERT INTO users (id, email, full_name, password_hash) VALUES ($1, 'a@b.c', 'Ada', 'x')", OWNER)
    execute(
        url,
        "INSERT INTO stores (id, owner_id, name, street, zipcode, city, country, currency)"
        " VALUES ($1, $2, 'Tools', 's', 'z', 'c', 'DE', 'EUR')",
        *(STORE, OWNER),
    )
    yield url
    drop_database(url)


def add(url: str, *stocks: int | None) -> None:
    """Add products as 2.0.0 does."""
    statement = (
        "INSERT INTO products (id, store_id, currency, name, price, stock)"
        " SELECT gen_random_uuid(), $1, 'EUR', 'Product ' || gen_random_uuid(), 1, stock"
        " FROM unnest($2::int[]) AS stock"
    )
    execute(url, statement, STORE, [*stocks])


def in_stock(url: str) -> set[tuple[Any, bool]]:
    found = execute(url, "SELECT stock, in_stock FROM products")
    return {(stock, is_in_stock) for stock, is_in_stock in found}


def test_existing_products_are_marked_however_many_there_are(database: str) -> None:
    add(database, *STOCKS, *[0] * 2_500)

    command.upgrade(alembic_config(database), "head")

    assert in_stock(database) == RIGHT


def test_new_products_and_changes_are_marked(database: str) -> None:
    command.upgrade(alembic_config(database), "head")
    add(database, *STOCKS)
    assert in_stock(database) == RIGHT

    for before, after in product(STOCKS, STOCKS):
        execute(database, "UPDATE products SET stock = $1", before)
        execute(database, "UPDATE products SET stock = $1", after)

        assert in_stock(database) == {(after, after != 0)}


def test_an_attempt_that_failed_half_way_is_completed(database: str) -> None:
    """Such as one that left a wrong value, an index that is invalid, and others that are valid."""
    command.upgrade(alembic_config(database), "head")
    add(database, *STOCKS)
    execute(database, "UPDATE products SET in_stock = NOT in_stock")
    execute(database, "DROP TRIGGER set_in_stock_again ON products")
    invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_products_by_name'::regclass"
    execute(database, invalid)
    valid = "SELECT relfilenode FROM pg_class WHERE relname = 'ix_products_by_price'"
    before = execute(database, valid)
    execute(database, "DROP TABLE events, event_batches")  # of a later migration
    execute(database, "UPDATE alembic_version SET version_num = '0013'")

    command.upgrade(alembic_config(database), "head")

    assert in_stock(database) == RIGHT
    assert execute(database, valid) == before
    assert execute(database, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid") == []
    execute(database, "UPDATE products SET stock = 0")
    assert in_stock(database) == {(0, False)}
