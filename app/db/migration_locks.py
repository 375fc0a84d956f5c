"""What migrations lock, and for how long: one migrator at a time, and no table while others wait for it."""

import random
import re
import time
from collections.abc import Sequence
from typing import Any

from asyncpg import LockNotAvailableError
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError

LOCK_WAIT_MILLISECONDS = 100
"""How long a migration waits for a table at a time; meanwhile everyone else, readers included, waits behind it."""
LOCK_PATIENCE_SECONDS = 60.0
"""How long it tries again."""
MIGRATION_LOCK = 7_034_512
"""Any constant: who changes tables holds this advisory lock, and others wait here."""
LOCK_POLL_SECONDS = 0.1

_PAUSE_SECONDS = 0.2, 0.6
# These wait for transactions that are open, and nobody waits for them.
_BLOCKS_NOBODY = re.compile(r"\bCONCURRENTLY\b|\bVALIDATE\s+CONSTRAINT\b", re.IGNORECASE)
_CREATES_INDEX = re.compile(
    r'\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?"?(\w+)', re.IGNORECASE
)
_REINDEX_LEFTOVER = re.compile(r"_cc(new|old)\d*$")
INVALID_INDEXES = """
SELECT relname::text FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE NOT indisvalid AND relkind = 'i' AND relnamespace = current_schema()::regnamespace
AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = indexrelid)
ORDER BY relname
"""
"""The indexes that were left unfinished, except those that somebody is building now."""


class Patience:
    """How long locks are waited for, all attempts together."""

    def __init__(self) -> None:
        self._end = time.monotonic() + LOCK_PATIENCE_SECONDS

    def seconds(self) -> float | None:
        """Return how long to let others pass before the next attempt; None if there is none."""
        return None if time.monotonic() >= self._end else random.uniform(*_PAUSE_SECONDS)  # noqa: S311  # no secret

    def pause(self) -> bool:
        """Let others pass before the next attempt; return False if there is none."""
        seconds = self.seconds()
        if seconds is not None:
            time.sleep(seconds)
        return seconds is not None


def is_lock_timeout(failure: BaseException | None) -> bool:
    """Return whether Postgres refused a statement because it waited too long for a lock."""
    if isinstance(failure, DBAPIError):
        failure = failure.orig
    return failure is not None and isinstance(failure.__cause__, LockNotAvailableError)


def become_the_only_migrator(connection: Connection) -> None:
    """Wait until no other process migrates. The lock belongs to the connection, which is closed at the end: migrations
    may commit on the way. No transaction is open meanwhile, as CREATE INDEX CONCURRENTLY would wait for it."""
    while not connection.scalar(text(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})")):
        connection.commit()
        time.sleep(LOCK_POLL_SECONDS)
    connection.commit()


def limit_waits(connection: Connection) -> None:
    """Limit how long each statement of this connection waits for a lock. In autocommit mode, it is tried again; in a
    transaction, the caller must roll back and repeat the whole."""
    connection.exec_driver_sql(f"SET lock_timeout = {LOCK_WAIT_MILLISECONDS}")
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):  # of the role: requests, not migrations
        connection.exec_driver_sql(f"SET {limit} = 0")
    connection.commit()
    event.listen(connection, "before_cursor_execute", _drop_unfinished_index)
    event.listen(connection.engine, "do_execute", _execute_alone)


def invalid_indexes(connection: Connection) -> Sequence[str]:
    """Return the names of the indexes that were left unfinished."""
    return connection.exec_driver_sql(INVALID_INDEXES).scalars().all()


def rebuild_invalid_indexes(connection: Connection) -> None:
    """Rebuild the indexes that are still unfinished after all migrations, in place."""
    connection.commit()
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
    for name in invalid_indexes(connection):
        statement = "DROP INDEX CONCURRENTLY" if _REINDEX_LEFTOVER.search(name) else "REINDEX INDEX CONCURRENTLY"
        connection.exec_driver_sql(f'{statement} "{name}"')


def _drop_unfinished_index(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    """Drop what an earlier attempt to build the same index has left: IF NOT EXISTS takes it for the index."""
    if (created := _CREATES_INDEX.match(statement)) and created[1] in invalid_indexes(connection):
        connection.exec_driver_sql(f'DROP INDEX CONCURRENTLY "{created[1]}"')


def _execute_alone(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute a statement in autocommit mode, in place of SQLAlchemy; return False in a transaction."""
    if context.root_connection.connection.dbapi_connection.isolation_level != "autocommit":
        return False
    if not _BLOCKS_NOBODY.search(statement):
        _execute_patiently(cursor, statement, parameters)
        return True
    cursor.execute("SET lock_timeout = 0")
    try:
        cursor.execute(statement, parameters)
    finally:
        cursor.execute(f"SET lock_timeout = {LOCK_WAIT_MILLISECONDS}")
    return True


def _execute_patiently(cursor: Any, statement: str, parameters: Any) -> None:
    patience = Patience()
    while True:
        try:
            cursor.execute(statement, parameters)
            return
        except Exception as failure:
            if not (is_lock_timeout(failure) and patience.pause()):
                raise
