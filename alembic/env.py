"""Runs the migrations on the database of the settings, or on the one that the caller names."""

import asyncio
import time
from typing import Any

from alembic import context
from alembic.autogenerate.rewriter import Rewriter
from alembic.operations import ops
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.db import migrations
from app.db.models import Base
from app.db.texts import constraint_against_quote
from app.settings import settings

MIGRATION_LOCK = 7_034_512  # any constant: processes that migrate at once wait here for the first
LOCK_POLL_SECONDS = 0.1


def announce_step(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:
    if announce := context.config.attributes.get("announce"):
        announce(f"{'up' if step.is_upgrade else 'down'}: {step.up_revision.doc}")


writer = Rewriter()


@writer.rewrites(ops.AddColumnOp)
def constrain_texts(_context: Any, _revision: Any, operation: ops.AddColumnOp) -> list[ops.MigrateOperation]:
    """Write the constraint of a new column that stores texts, which Alembic would only write for a new table."""
    constraint = constraint_against_quote(operation.column)
    if constraint is None:
        return [operation]
    check = ops.CreateCheckConstraintOp(constraint.name, operation.table_name, str(constraint.sqltext))
    return [operation, check]


def migrate(connection: Connection) -> None:
    # The lock belongs to the connection, which is closed at the end: migrations may commit on the way. Whoever waits
    # for it polls: CREATE INDEX CONCURRENTLY would wait for a transaction that waits for the lock.
    while not connection.scalar(text(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})")):
        connection.commit()
        time.sleep(LOCK_POLL_SECONDS)
    connection.execute(text(f"SET lock_timeout = {migrations.LOCK_WAIT_MILLISECONDS}"))
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):  # of the role: requests, not migrations
        connection.execute(text(f"SET {limit} = 0"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
        on_version_apply=announce_step,
        process_revision_directives=writer,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_migrate(url: str) -> None:
    engine = create_async_engine(url)
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
