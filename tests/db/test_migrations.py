"""Migrations go up and down, meet the models, and run once however many processes start them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import migration_locks, migrations
from app.db.migrations import alembic_config, is_declared
from app.db.models import Base
from app.settings import ROOT
from tests.databases import create_database, drop_database, run_on


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_migrations_{os.getpid()}")
    yield url
    drop_database(url)


# Postgres names the constraints of partitions itself.
NO_PARTITION = "NOT EXISTS (SELECT FROM pg_class WHERE oid = conrelid AND relispartition)"


def table_names(connection: Connection) -> set[str]:
    return {name for name in inspect(connection).get_table_names() if is_declared(name, "table", None)}


def function_names(connection: Connection) -> set[str]:
    rows = connection.exec_driver_sql("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    return {row[0] for row in rows}


def test_every_migration_goes_up_and_down_and_up_again(empty_database: str) -> None:
    config = alembic_config(empty_database)
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    for revision in reversed(revisions):
        command.upgrade(config, revision)
        command.downgrade(config, "-1")
        command.upgrade(config, revision)
    command.downgrade(config, "base")
    assert run_on(empty_database, table_names) == {"alembic_version"}
    assert run_on(empty_database, function_names) == set()
    command.upgrade(config, "head")
    assert run_on(empty_database, table_names) == {*Base.metadata.tables, "alembic_version"}


def test_there_is_one_head(database_url: str) -> None:
    assert len(ScriptDirectory.from_config(alembic_config(database_url)).get_heads()) == 1


async def test_autogenerate_finds_nothing_to_do(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "include_name": is_declared}
        )
        return list(compare_metadata(context, Base.metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_checks_of_the_models_are_those_of_the_database(engine: AsyncEngine) -> None:
    """Autogenerate compares no checks; a column without its own could let texts write into responses."""
    declared = {
        (table.name, str(constraint.name))
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }

    def found(connection: Connection) -> set[tuple[str, str]]:
        rows = connection.exec_driver_sql(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND convalidated"
            f" AND connamespace = 'public'::regnamespace AND {NO_PARTITION}"
        )
        return {(row[0], row[1]) for row in rows}

    async with engine.connect() as connection:
        assert await connection.run_sync(found) == declared


async def test_names_follow_the_convention(engine: AsyncEngine) -> None:
    def names(connection: Connection) -> set[str]:
        rows = connection.exec_driver_sql(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'"
            f" AND conrelid <> 'alembic_version'::regclass AND {NO_PARTITION}"
        )
        return {row[0] for row in rows}

    async with engine.connect() as connection:
        for name in await connection.run_sync(names):
            assert name.split("_")[0] in {"pk", "fk", "uq", "ck"}, name


def test_processes_that_migrate_at_once_do_it_once(empty_database: str) -> None:
    migrate = [sys.executable, "-m", "app", "migrate"]
    processes = [
        subprocess.Popen(migrate, cwd=ROOT, env={"DATABASE_URL": empty_database}, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum(output.count("up: ") for output in outputs) == len(list((ROOT / "alembic" / "versions").glob("*.py")))


def test_the_last_migration_can_be_discarded(empty_database: str) -> None:
    command.upgrade(alembic_config(empty_database), "head")
    discard = [str(Path(sys.executable).with_name("alembic")), "downgrade", "-1"]

    subprocess.run(discard, cwd=ROOT, env={"DATABASE_URL": empty_database}, check=True, capture_output=True)

    (last,) = ScriptDirectory.from_config(alembic_config(empty_database)).get_revisions("head")
    revision = run_on(empty_database, lambda connection: MigrationContext.configure(connection).get_current_revision())
    assert revision == last.down_revision


def test_offline_mode_writes_the_sql(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.upgrade(alembic_config(database_url), "head", sql=True)
    assert "CREATE TABLE orders" in capsys.readouterr().out


def test_a_table_in_use_ends_a_migration_which_then_has_done_nothing(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.upgrade(alembic_config(empty_database), "0002")
    monkeypatch.setattr(migration_locks, "LOCK_PATIENCE_SECONDS", 0.5)

    with ThreadPoolExecutor() as threads:

        def migrate_meanwhile(connection: Connection) -> None:
            connection.exec_driver_sql("SELECT count(*) FROM order_items")
            with pytest.raises(migrations.TablesInUse):
                threads.submit(migrations.migrate, empty_database, lambda _: None).result(timeout=10)

        run_on(empty_database, migrate_meanwhile)
    revision = "SELECT version_num FROM alembic_version"
    assert run_on(empty_database, lambda connection: connection.exec_driver_sql(revision).scalar()) == "0002"
    migrations.migrate(empty_database, lambda _: None)


def test_texts_that_hold_the_forbidden_character_are_cleaned(empty_database: str) -> None:
    config = alembic_config(empty_database)
    command.upgrade(config, "0003")
    run_on(empty_database, write_odd_texts)

    command.upgrade(config, "0004")

    assert run_on(empty_database, odd_texts) == [("A B", ["name", "", "price"])]
    assert run_on(empty_database, unvalidated) == []


def test_a_migration_that_stopped_before_it_validated_is_repeated(empty_database: str) -> None:
    """Its constraints are committed before they are validated, so the second attempt finds them."""
    config = alembic_config(empty_database)
    command.upgrade(config, "0003")
    run_on(empty_database, write_odd_texts)
    run_on(empty_database, constrain_without_validating)

    command.upgrade(config, "0004")

    assert run_on(empty_database, odd_texts) == [("A B", ["name", "", "price"])]
    assert run_on(empty_database, unvalidated) == []


def write_odd_texts(connection: Connection) -> None:
    connection.exec_driver_sql(
        "INSERT INTO users (id, email, full_name, password_hash)"
        " VALUES (gen_random_uuid(), 'a@b.c', chr(127) || 'A' || chr(127) || ' B', 'x')"
    )
    connection.exec_driver_sql(
        "INSERT INTO audit_entries (id, operation, fields, request_id)"
        " VALUES (gen_random_uuid(), 'o', ARRAY['na' || chr(127) || 'me', chr(127), 'price'], 'r')"
    )
    connection.commit()


def odd_texts(connection: Connection) -> list[Any]:
    rows = connection.exec_driver_sql("SELECT full_name, fields FROM users CROSS JOIN audit_entries")
    return [tuple(row) for row in rows]


def constrain_without_validating(connection: Connection) -> None:
    connection.exec_driver_sql(
        "ALTER TABLE users ADD CONSTRAINT ck_users_email_without_del CHECK (strpos(email, chr(127)) = 0) NOT VALID"
    )
    connection.commit()


def unvalidated(connection: Connection) -> list[Any]:
    return list(connection.exec_driver_sql("SELECT conname FROM pg_constraint WHERE NOT convalidated"))


async def test_no_update_computes_generated_columns_in_vain(engine: AsyncEngine) -> None:
    """With a trigger before updates, Postgres would compute them at each sale."""
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(
            """
            SELECT tgrelid::regclass::text, tgname FROM pg_trigger
            WHERE NOT tgisinternal AND tgtype & 2 = 2 AND tgtype & 16 = 16 AND EXISTS (
                SELECT FROM pg_attribute WHERE attrelid = tgrelid AND attgenerated = 's' AND NOT attisdropped
            )
            """
        )
        assert found.all() == []
