"""The words and names of existing rows: found by the migration, and by triggers for what 2.0.0 writes meanwhile."""

import os
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from alembic import command, op
from asyncpg import UniqueViolationError

from app.db.migrations import alembic_config
from tests.databases import create_database, drop_database
from tests.db.test_splitting_orders import execute

OWNER, STORE = UUID(int=1), UUID(int=2)
PRODUCTS = [UUID(int=3), UUID(int=4), UUID(int=5), UUID(int=6)]
CAFE = "Café ガム"
NAMES = [CAFE, unicodedata.normalize("NFD", CAFE), CAFE.replace(" ", "\u00a0"), "Tea"]


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_words_{os.getpid()}")
    command.upgrade(alembic_config(url), "0008")
    execute(url, "INSERT INTO users (id, email, full_name, password_hash) VALUES ($1, 'a@b.c', 'Ada', 'x')", OWNER)
    for key, name in ((STORE, CAFE), (UUID(int=7), NAMES[1])):
        execute(
            url,
            "INSERT INTO stores (id, owner_id, name, street, zipcode, city, country, currency)"
            " VALUES ($1, $2, $3, 's', 'z', 'c', 'DE', 'EUR')",
            *(key, OWNER, name),
        )
    for key, name in zip(PRODUCTS, NAMES, strict=True):
        add(url, key, name)
    yield url
    drop_database(url)


def add(url: str, key: UUID, name: str) -> None:
    """Add a product as 2.0.0 does."""
    statement = "INSERT INTO products (id, store_id, currency, name, price) VALUES ($1, $2, 'EUR', $3, 1)"
    execute(url, statement, key, STORE, name)


def found(url: str, table: str, search: str) -> list[UUID]:
    rows = execute(url, f"SELECT id FROM {table} WHERE words @@ word_query($1) ORDER BY id", search)
    return [UUID(str(id)) for (id,) in rows]


def sharing(url: str, table: str) -> list[Any]:
    return execute(url, f"SELECT name FROM {table} WHERE shares_name ORDER BY id")


def test_existing_rows_are_found(database: str) -> None:
    command.upgrade(alembic_config(database), "head")

    assert found(database, "products", "cafe") == PRODUCTS[:3]
    assert found(database, "products", "カ") == []
    assert found(database, "stores", "ガム") == [STORE, UUID(int=7)]


def test_what_2_0_0_writes_meanwhile_is_found(database: str) -> None:
    command.upgrade(alembic_config(database), "0009")
    add(database, UUID(int=8), "Καφές")
    execute(database, "UPDATE products SET description = 'Κουλούρι' WHERE id = $1", PRODUCTS[3])

    command.upgrade(alembic_config(database), "head")

    assert found(database, "products", "ΚΑΦΕΣ") == [UUID(int=8)]
    assert found(database, "products", "κουλουρι") == [PRODUCTS[3]]
    execute(database, "UPDATE products SET name = 'Kaffee' WHERE id = $1", UUID(int=8))
    assert found(database, "products", "kaffee") == [UUID(int=8)]


def test_existing_names_that_look_the_same_stay_until_they_are_changed(database: str) -> None:
    command.upgrade(alembic_config(database), "head")

    assert sharing(database, "products") == [(name,) for name in NAMES[1:3]]
    assert sharing(database, "stores") == [(NAMES[1],)]
    with pytest.raises(UniqueViolationError, match="uq_products_store_id_name"):
        add(database, UUID(int=9), NAMES[2])
    execute(database, "UPDATE products SET description = 'x', name = name WHERE id = $1", PRODUCTS[1])
    assert sharing(database, "products") == [(name,) for name in NAMES[1:3]]
    execute(database, "UPDATE products SET name = 'Water' WHERE id = $1", PRODUCTS[1])
    assert sharing(database, "products") == [(NAMES[2],)]
    with pytest.raises(UniqueViolationError, match="uq_products_store_id_name"):
        execute(database, "UPDATE products SET name = $2 WHERE id = $1", PRODUCTS[1], NAMES[1])


def test_a_name_that_is_taken_while_the_index_is_built_needs_another_attempt(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.upgrade(alembic_config(database), "0009")
    run, late = op.execute, iter([UUID(int=9)])

    def execute_and_add(statement: str) -> None:
        run(statement)
        if "SET shares_name" in statement and (key := next(late, None)):
            threads.submit(add, database, key, CAFE.replace(" ", "\u202f")).result()

    monkeypatch.setattr(op, "execute", execute_and_add)
    with ThreadPoolExecutor() as threads:
        command.upgrade(alembic_config(database), "head")

    assert len(sharing(database, "products")) == 3


def test_the_migration_can_be_repeated(database: str) -> None:
    config = alembic_config(database)
    command.upgrade(config, "0010")
    execute(database, "UPDATE alembic_version SET version_num = '0009'")

    command.upgrade(config, "0010")

    assert sharing(database, "products") == [(name,) for name in NAMES[1:3]]
    with pytest.raises(UniqueViolationError, match="uq_products_store_id_name"):
        add(database, UUID(int=9), NAMES[0])
