"""Runs the migrations on the database of the settings, or on the one that the caller names."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection

from app.db import migration_locks, migration_writer, migrations
from app.db.engine import engine_to
from app.db.models import Base
from app.settings import settings


def announce_step(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:
    if announce := context.config.attributes.get("announce"):
        announce(f"{'up' if step.is_upgrade else 'down'}: {step.up_revision.doc}")


def migrate(connection: Connection) -> None:
    migration_locks.become_the_only_migrator(connection)
    migration_locks.limit_waits(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
        include_name=migrations.is_declared,
        on_version_apply=announce_step,
        process_revision_directives=migration_writer.write,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    migration_locks.rebuild_invalid_indexes(connection)


async def connect_and_migrate(url: str) -> None:
    engine = engine_to(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


def database_url() -> str:
    url = context.config.get_main_option("sqlalchemy.url") or settings().direct_url
    if url is None:
        raise SystemExit("DATABASE_URL: set it to the database to migrate")
    return url


if context.is_offline_mode():
    context.configure(
        url=database_url(), target_metadata=Base.metadata, literal_binds=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(connect_and_migrate(database_url()))
