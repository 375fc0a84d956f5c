"""The connection and transaction of one operation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import UUID

from asyncpg import Connection as DriverConnection
from asyncpg import InterfaceError
from asyncpg.transaction import Transaction
from sqlalchemy import Executable, PoolProxiedConnection, Row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.asyncpg_internals import cut_off, has_unread
from app.db.engine import PAUSE_AFTER_BREAK, Database, driver_of, is_broken, is_disconnection, is_read_only
from app.db.statements import Prepared, Record
from app.errors import DatabaseUnavailable, OutcomeUnknown
from app.monitoring.operation_log import timed_statement

T = TypeVar("T")
_COMMIT_SECONDS = 10.0
_ROLLBACK_SECONDS = 2.0
_FIELD: ContextVar[object] = ContextVar("root field", default=None)
"""What the current task works for."""


class UnitOfWork:
    """The connection of one operation, acquired at its first statement: plain reads for a query, one transaction for a
    mutation. Statements run one at a time, even if several dataloaders send them at once.

    The transaction is begun and ended with the driver, so it covers the statements of SQLAlchemy and of the driver."""

    def __init__(self, database: Database) -> None:
        self.writes = False
        """Whether this is a mutation."""
        self.is_settled = False
        """Whether COMMIT has been sent, or a statement that commits by itself; after that nothing can be cancelled."""
        self.has_committed = False
        """Whether a statement has committed by itself, now or for an earlier request with the same idempotency key.
        After that, only the payload can fail."""
        self.writes_events = False
        """Whether the transaction has written to the event log."""
        self.is_one_statement = False
        """Whether this is a mutation of one statement, which commits by itself."""
        self.info: dict[str, Any] = {}
        """Notes of other modules about this operation."""
        self._database = database
        self._pooled: PoolProxiedConnection | None = None
        self._connection: AsyncConnection | None = None
        """SQLAlchemy's wrapper of the pooled connection, created when needed."""
        self._driver: DriverConnection[Any] | None = None
        self._transaction: Transaction | None = None
        self._savepoint: Transaction | None = None
        """What the current root field can be rolled back to."""
        self._field: object = None
        """The current root field of a mutation, or what comes after it; None before the first, and in a query."""
        self.has_effect = False
        """Whether any root field of the mutation took effect."""
        self._named: UUID | None = None
        """The entry that the current root field has written."""
        self._written: UUID | None = None
        """The entry of a root field that took effect."""
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        """The task whose statement is running."""
        self._failure: BaseException | None = None
        """The last failure of a statement, which makes Postgres abort the whole transaction."""
        self._is_doubtful = False
        """Whether a BEGIN, or a statement that commits by itself, was sent whose outcome is unknown."""
        self._has_reconnected = False
        self._is_over = False
        self._was_cut_off = False

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Run a statement and return all its rows."""
        return (await self._sent(lambda _: self._sqlalchemy.execute(statement, parameters))).all()

    async def row(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """Run a statement and return its first row, if any."""
        rows = await self.rows(statement, parameters)
        return rows[0] if rows else None

    async def fetch(self, statement: Prepared, **values: Any) -> Sequence[Record]:
        """Run a prepared statement and return all its rows."""
        sql, arguments = statement.sql, statement.arguments(values)
        return await self._sent(lambda driver: driver.fetch(sql, *arguments, record_class=Record), sql)

    async def first(self, statement: Prepared, **values: Any) -> Record | None:
        """Run a prepared statement and return its first row, if any."""
        rows = await self.fetch(statement, **values)
        return rows[0] if rows else None

    async def driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Run a statement with the driver and return its first row."""
        return await self._sent(lambda driver: driver.fetchrow(sql, *parameters), sql)

    async def execute_each(self, statement: Prepared, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a prepared statement once per row, in one round trip."""
        sql, arguments = statement.sql, [statement.arguments(row) for row in rows]
        await self._sent(lambda driver: driver.executemany(sql, arguments), sql)

    async def write(
        self, statement: Prepared, has_effect: Callable[[Sequence[Record]], bool], **values: Any
    ) -> Sequence[Record]:
        """Run the statement of a mutation and return all its rows, which say whether it has changed anything. Where it
        is alone it commits by itself, and is never sent again: Postgres ends it if it takes too long. OutcomeUnknown if
        the connection breaks or Postgres doesn't answer."""
        if not self.is_one_statement:
            return await self.fetch(statement, **values)
        sql, arguments = statement.sql, statement.arguments(values)

        async def send(driver: "DriverConnection[Any]") -> Sequence[Record]:
            if not self._has_reconnected and has_unread(driver):
                raise InterfaceError("the connection broke while it was idle")
            self.is_settled = True
            try:
                async with asyncio.timeout(self._database.write_seconds):
                    return await driver.fetch(sql, *arguments, record_class=Record)
            except Exception as failure:
                if is_disconnection(failure) or isinstance(failure, TimeoutError):
                    self._is_doubtful = True
                    raise OutcomeUnknown from failure
                raise

        rows = await self._sent(send, sql)
        self.is_settled = self.has_committed = has_effect(rows)
        if self.has_committed:
            self._database.events_committed()
        return rows

    @property
    def may_have_written(self) -> bool:
        """Whether this is a mutation that has begun."""
        return self.is_settled if self.is_one_statement else self.writes

    def name_written(self, entry_id: UUID | None) -> None:
        """Name the entry of the audit trail that the current root field writes."""
        self._named = entry_id

    @property
    def written(self) -> UUID | None:
        """An entry of the audit trail: who sees it sees all that the mutation did. None if that did nothing."""
        if self.is_one_statement:
            return self._named if self.has_committed else None
        return self._written

    @property
    def may_be_written(self) -> UUID | None:
        """The same, or an entry that may have been written, as the outcome is unknown."""
        return self.written or (self._named if self.is_settled else None)

    def begin_one_statement(self) -> None:
        """Begin a mutation of one statement, which `write` sends. It needs no transaction."""
        self.writes = self.is_one_statement = True

    async def begin_snapshot(self) -> None:
        """Begin a transaction whose statements all see one state of the database."""
        self._has_reconnected = True  # another connection would be outside
        self._transaction = await self._begun(isolation="repeatable_read", readonly=True)

    @property
    def failure(self) -> BaseException | None:
        """The last failure of a statement."""
        return self._failure

    def cut_off(self) -> None:
        """Break the connection, which doesn't answer."""
        self._was_cut_off = True
        if self._driver is not None:
            cut_off(self._driver)

    @property
    def was_closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self._driver is not None and self._driver.is_closed() and not self._was_cut_off

    async def begin(self) -> None:
        """Begin the transaction of a mutation, unless it has begun."""
        if not self.writes:
            self._transaction = await self._begun()
            self.writes = True

    async def begin_field(self, *, alone: bool) -> None:
        """Begin a root field, which can be undone by itself: a savepoint, or the whole transaction if the field is
        alone, which saves two round trips."""
        self._savepoint = self._transaction if alone else await self._begun()
        self._turn_to_next()

    async def end_field(self, *, undo: bool) -> bool:
        """End the root field, unless that has been done. Undo it if asked, or if a statement of it has failed, after
        which Postgres would commit nothing. Return whether it took effect, or had been ended before."""
        savepoint, self._savepoint = self._savepoint, None
        if savepoint is None:
            return True
        named, self._named = self._named, None
        # A part of the payload that failed may leave others loading: wait for the running statement, and allow no more.
        self._turn_to_next()
        async with self._lock:
            undo = undo or self._failure is not None
            try:
                await self._end_savepoint(savepoint, undo=undo)
            except BaseException as failure:
                self._failure = failure  # otherwise the other fields would be committed, or taken to be
                raise
        if not undo:
            self.has_effect, self._written = True, named or self._written
        return not undo

    async def _end_savepoint(self, savepoint: Transaction, *, undo: bool) -> None:
        if undo:
            await self._undo(savepoint)
        elif savepoint is not self._transaction:
            with timed_statement("RELEASE SAVEPOINT"):
                await savepoint.commit()

    def _turn_to_next(self) -> None:
        """Have this task, and those that it starts from now on, work for the next root field, and no others."""
        self._field = object()
        _FIELD.set(self._field)

    async def _undo(self, savepoint: Transaction) -> None:
        """Roll back to a savepoint, or the whole transaction. Reads afterwards return the earlier state."""
        is_whole = savepoint is self._transaction
        with timed_statement("ROLLBACK" if is_whole else "ROLLBACK TO SAVEPOINT"):
            await savepoint.rollback()
        self._failure = None
        self._transaction = None if is_whole else self._transaction

    async def finish(self, *, commit: bool) -> None:
        """Commit or roll back the transaction, if any, and return the connection.

        A failed field may leave others loading. This waits for the running statement and allows no more, so that
        nothing acquires a connection that nobody would return."""
        self._is_over = True
        async with self._lock:
            if self._pooled is None:
                return
            try:
                await self._conclude(commit=commit)
            finally:
                await self._release()

    async def close(self) -> None:
        """Return the connection; roll back what wasn't committed."""
        await self.finish(commit=False)

    def cancel(self) -> None:
        """Cancel the running statement, whichever task runs it, and allow no more."""
        self._is_over = True
        if self._holder is not None and self._holder is not asyncio.current_task():
            self._holder.cancel()

    async def _sent(self, send: Callable[["DriverConnection[Any]"], Awaitable[T]], timed_as: str | None = None) -> T:
        """Run a statement in its turn. If the connection breaks before anything was written, retry once on another one:
        after a restart of Postgres, any number of pooled connections are dead."""
        async with self._lock:
            if self._field is not None and _FIELD.get() is not self._field:
                raise RuntimeError("the root field is over and can load no more")
            self._holder = asyncio.current_task()
            try:
                try:
                    return await self._attempted(send, timed_as)
                except Exception as failure:
                    is_read = not self.may_have_written or self.has_committed
                    if not is_read or self._has_reconnected or not is_broken(failure):
                        raise
                self._has_reconnected, self._is_doubtful = True, False
                await self._invalidate()
                await self._release()
                await asyncio.sleep(PAUSE_AFTER_BREAK)
                return await self._attempted(send, timed_as)
            except BaseException as failure:
                self._failure = failure
                if is_read_only(failure):
                    self._database.servers.leave()
                raise
            finally:
                self._holder = None

    async def _attempted(self, send: Callable[["DriverConnection[Any]"], Awaitable[T]], timed_as: str | None) -> T:
        if self._is_over:
            raise RuntimeError("the operation is over and can load no more")
        if self._driver is None:
            self._pooled = await self._database.take()
            self._driver = driver_of(self._pooled)
        with timed_statement(timed_as) if timed_as else nullcontext():
            if self._database.answer_seconds is None:
                return await send(self._driver)
            ending = asyncio.get_running_loop().call_later(self._database.answer_seconds, self.cut_off)
            try:
                return await send(self._driver)
            finally:
                ending.cancel()

    async def _invalidate(self) -> None:
        """Keep the connection from being reused."""
        if self._connection is not None:
            await self._connection.invalidate()
        elif self._pooled is not None:
            self._pooled.invalidate()

    async def _release(self) -> None:
        """Return the connection to the pool; SQLAlchemy's wrapper needs a greenlet if it has work pending."""
        pooled, self._pooled = self._pooled, None
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.close()
        elif pooled is not None:
            pooled.close()

    async def _conclude(self, *, commit: bool) -> None:
        """Commit or roll back; discard the connection if the outcome is unknown."""
        failure = self._failure if self._transaction is not None else None
        try:
            transaction, self._transaction = self._transaction, None
            if transaction is not None:
                await self._end(transaction, commit=commit and failure is None)
            elif self._is_doubtful or (self._driver is not None and self._driver.is_closed()):
                await self._invalidate()
        except BaseException as broken:
            await self._invalidate()
            if commit or not isinstance(broken, Exception):
                raise
        if commit and failure is not None:
            # Postgres has aborted the transaction; COMMIT would silently roll back.
            raise failure if isinstance(failure, Exception) else RuntimeError("a statement was cancelled") from failure

    async def _end(self, transaction: Transaction, *, commit: bool) -> None:
        if not commit:
            self._written = None
            with timed_statement("ROLLBACK"):
                async with asyncio.timeout(_ROLLBACK_SECONDS):
                    await transaction.rollback()
            return
        if self._driver is None or self._driver.is_closed():
            raise DatabaseUnavailable
        self.is_settled = True
        try:
            with timed_statement("COMMIT"):
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await transaction.commit()
        except Exception as failure:
            if is_disconnection(failure):
                raise OutcomeUnknown from failure
            raise
        if self.writes_events:
            self._database.events_committed()

    async def _begun(self, **options: Any) -> Transaction:
        """Begin a transaction, or a savepoint within the current one."""

        async def start(driver: "DriverConnection[Any]") -> Transaction:
            transaction = driver.transaction(**options)
            try:
                await transaction.start()
            except BaseException:
                self._is_doubtful = self._transaction is None
                raise
            return transaction

        return await self._sent(start, "BEGIN" if self._transaction is None else "SAVEPOINT")

    @property
    def _sqlalchemy(self) -> AsyncConnection:
        """SQLAlchemy's wrapper of the acquired connection."""
        if self._connection is None:
            assert self._pooled is not None, "a connection was acquired"
            self._connection = self._database.over(self._pooled)
        return self._connection
