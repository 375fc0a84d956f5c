"""What takes long in a migration keeps nobody waiting, and is finished by the next attempt."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.db import migration_locks, migration_writer, migrations
from app.db.migrations import alembic_config
from app.settings import ROOT
from tests.databases import create_database, drop_database, run_on
from tools.migration_safety import objections

INDEX = "ix_products_words"
BUILDING = "SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database()"


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_slow_{os.getpid()}")
    yield url
    drop_database(url)


@pytest.fixture
async def onlooker(database: str) -> AsyncIterator[AsyncEngine]:
    """Connections beside those of the migrators."""
    engine = create_async_engine(database, isolation_level="AUTOCOMMIT")
    yield engine
    await engine.dispose()


async def start(database: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "migrate"), cwd=ROOT, env={"DATABASE_URL": database}, stderr=subprocess.PIPE
    )


async def rows(engine: AsyncEngine, statement: str) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.exec_driver_sql(statement)).scalars())


async def until_building(engine: AsyncEngine) -> int:
    async with asyncio.timeout(30):
        while not (found := await rows(engine, BUILDING)):
            pass
    pid: int = found[0]
    return pid


async def test_three_migrate_at_once_and_one_is_killed_amid_an_index(database: str, onlooker: AsyncEngine) -> None:
    await asyncio.to_thread(migrate_to, database, "0009")
    async with onlooker.connect() as holding:
        # An index that is built concurrently waits for this transaction, so it is unfinished for as long as we like.
        held = await holding.execution_options(isolation_level="REPEATABLE READ")
        await held.exec_driver_sql("SELECT count(*) FROM products")
        migrators = [await start(database) for _ in range(3)]
        backend = await until_building(onlooker)
        await rows(onlooker, f"SELECT pg_terminate_backend({backend})")
        assert INDEX in await until_invalid(onlooker)
        await held.rollback()
    ends = [(await migrator.communicate())[1].decode() for migrator in migrators]
    assert sorted(migrator.returncode != 0 for migrator in migrators) == [False, False, True], ends
    assert await rows(onlooker, migration_locks.INVALID_INDEXES) == []
    assert await rows(onlooker, "SELECT version_num FROM alembic_version") == [migrations.newest_revision()]
    assert await rows(onlooker, f"SELECT 1 FROM pg_class WHERE relname = '{INDEX}'") == [1]


async def until_invalid(engine: AsyncEngine) -> list[Any]:
    async with asyncio.timeout(30):
        while not (found := await rows(engine, migration_locks.INVALID_INDEXES)):
            pass
    return found


def migrate_to(database: str, revision: str) -> None:
    command.upgrade(alembic_config(database), revision)


def test_an_unfinished_index_is_rebuilt_when_nothing_else_is_left_to_do(database: str) -> None:
    migrations.migrate(database, lambda _: None)
    run_on(database, leave_unfinished)
    assert run_on(database, migration_locks.invalid_indexes) == [INDEX]

    migrations.migrate(database, lambda _: None)

    assert run_on(database, migration_locks.invalid_indexes) == []
    assert run_on(database, lambda connection: has_index(connection, INDEX))


def leave_unfinished(connection: Connection) -> None:
    connection.exec_driver_sql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass")
    connection.commit()


def has_index(connection: Connection, name: str) -> bool:
    return connection.exec_driver_sql(f"SELECT to_regclass('{name}') IS NOT NULL").scalar() is True


def test_a_step_that_commits_by_itself_is_tried_until_the_table_is_free(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_on(database, create_table)

    def alter_while_it_is_read(reader: Connection) -> None:
        """End the reader's transaction after the first attempt."""
        reader.exec_driver_sql("SELECT * FROM t")
        has_waited = Event()

        def pause(_: migration_locks.Patience) -> bool:
            has_waited.set()
            return True

        monkeypatch.setattr(migration_locks.Patience, "pause", pause)
        with ThreadPoolExecutor() as threads:
            altering = threads.submit(run_on, database, alter)
            assert has_waited.wait(timeout=30)
            reader.rollback()
            altering.result(timeout=30)

    run_on(database, alter_while_it_is_read)


def create_table(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE t (a int)")
    connection.commit()


def alter(connection: Connection) -> None:
    migration_locks.limit_waits(connection)
    alone = connection.execution_options(isolation_level="AUTOCOMMIT")
    alone.exec_driver_sql("ALTER TABLE t ADD COLUMN b int")


def test_an_index_and_a_column_become_two_migrations(database: str) -> None:
    table = ops.ModifyTableOps(
        "stores",
        [ops.AddColumnOp("stores", Column("motto", Text())), ops.CreateIndexOp("ix_stores_motto", "stores", ["motto"])],
    )
    down = ops.ModifyTableOps(
        "stores", [ops.DropIndexOp("ix_stores_motto", "stores"), ops.DropColumnOp("stores", "motto")]
    )
    scripts = [ops.MigrationScript("1", ops.UpgradeOps([table]), ops.DowngradeOps([down]), message="mottos")]

    def written(connection: Connection) -> list[str]:
        context = MigrationContext.configure(connection)
        migration_writer.write(context, (), scripts)
        return [render_python_code(script.upgrade_ops) for script in scripts if script.upgrade_ops]

    first, second = run_on(database, written)
    assert "add_column" in first
    assert "postgresql_not_valid=True" in first
    assert "create_index" not in first
    assert second.index("    with op.get_context().autocommit_block():\n") < second.index("        op.create_index(")
    assert "postgresql_concurrently=True, if_not_exists=True" in second
    assert "VALIDATE CONSTRAINT ck_stores_motto_without_del" in second
    assert scripts[1].head == scripts[0].rev_id


@pytest.mark.parametrize(
    ("statement", "rule", "instead"),
    [
        ("CREATE INDEX IF NOT EXISTS i ON products (name)", "require-concurrent-index-creation", "concurrently"),
        ("ALTER TABLE products ADD CONSTRAINT c CHECK (price > 0)", "constraint-missing-not-valid", "NOT VALID"),
        ("ALTER TABLE products ALTER COLUMN stock SET NOT NULL", "adding-not-nullable-field", "CHECK"),
        ("ALTER TABLE products ADD COLUMN c text NOT NULL", "adding-required-field", "DEFAULT"),
        ("ALTER TABLE products ALTER COLUMN stock TYPE bigint", "changing-column-type", "ACCESS EXCLUSIVE"),
    ],
)
def test_dangerous_forms_are_refused_by_name_with_the_safe_form(statement: str, rule: str, instead: str) -> None:
    told = objections({"20300101_test": f"BEGIN;\n{statement};\nCOMMIT;\n"})
    assert rule in told
    assert instead in told
    assert "20300101_test.sql:2" in told


def test_a_dangerous_form_with_a_reason_passes() -> None:
    drop = "ALTER TABLE products DROP COLUMN IF EXISTS search;"
    assert "ban-drop-column" in objections({"x": drop})
    assert objections({"x": f"-- squawk-ignore-file ban-drop-column\n{drop}"}) == ""
