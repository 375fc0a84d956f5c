"""The one connection that an operation works on, and its transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from asyncpg import Connection as DriverConnection
from asyncpg.transaction import Transaction
from sqlalchemy import Executable, PoolProxiedConnection, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.db.engine import PAUSE_AFTER_BREAK, Database, driver_of, is_broken, is_disconnection
from app.db.statements import Prepared, Record
from app.errors import DatabaseUnavailable, OutcomeUnknown
from app.monitoring.operation_log import noted

T = TypeVar("T")
_COMMIT_SECONDS = 10.0
_ROLLBACK_SECONDS = 2.0


class Turn:
    """Lets statements run one after the other, and notes the failure of one: Postgres gives up a whole transaction."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.holder: asyncio.Task[Any] | None = None
        self.failure: BaseException | None = None

    async def __aenter__(self) -> None:
        await self.lock.acquire()
        self.holder = asyncio.current_task()

    async def __aexit__(self, _: Any, failure: BaseException | None, __: Any) -> None:
        self.holder = None
        self.lock.release()
        if failure is not None:
            self.failure = failure


class UnitOfWork:
    """The connection of one operation, taken at its first statement: plain reads for a query, one transaction
    for a mutation. Statements run one after the other, whichever dataloaders send them at once.

    The transaction is begun and ended here, with the driver: what SQLAlchemy runs on its connection is a part of it,
    and so is what the driver runs without it."""

    def __init__(self, database: Database) -> None:
        self.writes = False
        """Whether this is a mutation."""
        self.is_settled = False
        """Whether COMMIT has been sent, after which nothing can be given up any more."""
        self.info: dict[str, Any] = {}
        """What parts of the application note about this operation, as in a session of SQLAlchemy."""
        self._database = database
        self._pooled: PoolProxiedConnection | None = None
        self._connection: AsyncConnection | None = None
        """SQLAlchemy's, over the pool's; made where something needs it."""
        self._driver: DriverConnection[Any] | None = None
        self._transaction: Transaction | None = None
        self._session: AsyncSession | None = None
        self._turn = Turn()
        self._is_doubtful = False
        """Whether a BEGIN was sent of which nobody knows what became."""
        self._has_reconnected = False
        self._over = False

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Run one statement and return all its rows."""

        async def send() -> Sequence[Row[Any]]:
            await self._driven()
            return (await self._sqlalchemy.execute(statement, parameters)).all()

        return await self._sent(send)

    async def row(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """Run one statement and return its first row, if any."""
        rows = await self.rows(statement, parameters)
        return rows[0] if rows else None

    async def fetch(self, statement: Prepared, **values: Any) -> Sequence[Record]:
        """Run a prepared statement and return all its rows."""

        async def send() -> Sequence[Record]:
            driver = await self._driven()
            with noted(statement.sql):
                return await driver.fetch(statement.sql, *statement.arguments(values), record_class=Record)

        return await self._sent(send)

    async def driver_row(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Run one statement of the driver's own, and return its first row."""

        async def send() -> Any:
            driver = await self._driven()
            with noted(sql):
                return await driver.fetchrow(sql, *parameters)

        return await self._sent(send)

    async def execute_each(self, statement: Prepared, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a prepared statement for each of these rows, in one round trip."""
        async with self._turn:
            driver = await self._driven()
            with noted(statement.sql):
                await driver.executemany(statement.sql, [statement.arguments(row) for row in rows])

    async def begin(self) -> None:
        """Begin the transaction of a mutation, if it has not been."""
        if not self.writes:
            self._transaction = await self._begun()
            self.writes = True

    @property
    def session(self) -> AsyncSession:
        """A session within the transaction, for one root field."""
        if self._session is None:
            self._session = self._database.session(self._sqlalchemy, self.info)
        return self._session

    async def flush(self) -> None:
        """Send what the session has not sent yet."""
        if self._session is not None:
            await self._session.flush()

    @asynccontextmanager
    async def savepoint(self, *, alone: bool) -> AsyncIterator[None]:
        """Undo what is done within, where it raises: back to a savepoint, or the whole transaction where nothing
        else is in it, which saves two round trips. What is read afterwards reads what was before."""
        savepoint = self._transaction if alone else await self._begun()
        assert savepoint is not None, "the transaction was begun"
        try:
            yield
            await self.end_session(commit=True)
        except Exception:
            await self.end_session(commit=False)
            with noted("ROLLBACK" if alone else "ROLLBACK TO SAVEPOINT"):
                await savepoint.rollback()
            self._turn.failure = None
            self._transaction = None if alone else self._transaction
            raise
        if not alone:
            with noted("RELEASE SAVEPOINT"):
                await savepoint.commit()

    async def end_session(self, *, commit: bool) -> None:
        """Send what the session has not sent yet, or drop it; the next one begins with nothing read."""
        session, self._session = self._session, None
        if session is not None:
            try:
                if commit:
                    await session.commit()
            finally:
                await session.close()

    async def finish(self, *, commit: bool) -> None:
        """Commit or undo the transaction, if one was begun, and give the connection back.

        A field that failed leaves those beside it loading: the statement being sent is waited for, and no other
        is sent, so that nothing takes a connection which nobody would give back."""
        self._over = True
        async with self._turn.lock:
            if self._pooled is None:
                return
            try:
                await self._conclude(commit=commit)
            finally:
                await self._give_back()

    async def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        await self.finish(commit=False)

    def cancel(self) -> None:
        """Give up the statement being sent, whichever task sends it; no other follows."""
        self._over = True
        if self._turn.holder is not None and self._turn.holder is not asyncio.current_task():
            self._turn.holder.cancel()

    async def _sent(self, send: Callable[[], Awaitable[T]]) -> T:
        """Return what a statement returns. Where the connection breaks before anything was written, it is sent once
        more, on another one: after a restart of Postgres nobody knows how many connections are dead."""
        async with self._turn:
            try:
                return await send()
            except Exception as failure:
                if self.writes or self._has_reconnected or not is_broken(failure):
                    raise
            self._has_reconnected = True
            await self._give_up_connection()
            await asyncio.sleep(PAUSE_AFTER_BREAK)
            return await send()

    async def _give_up_connection(self) -> None:
        self._is_doubtful = False
        if self._pooled is not None:
            await self._invalidate()
            await self._give_back()

    async def _invalidate(self) -> None:
        """Let nobody else have the connection."""
        if self._connection is not None:
            await self._connection.invalidate()
        elif self._pooled is not None:
            self._pooled.invalidate()

    async def _give_back(self) -> None:
        """Give the connection back to the pool; SQLAlchemy's needs a greenlet where it has something left to send."""
        pooled, self._pooled = self._pooled, None
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.close()
        elif pooled is not None:
            pooled.close()

    async def _conclude(self, *, commit: bool) -> None:
        """Commit or undo; where it is not sure what became of it, the connection is given up, and all with it."""
        failure = self._turn.failure if self._transaction is not None else None
        try:
            await self.end_session(commit=commit)
            if self._transaction is not None:
                await self._end_transaction(commit=commit and failure is None)
            elif self._is_doubtful or (self._driver is not None and self._driver.is_closed()):
                await self._invalidate()
        except BaseException as broken:
            await self._invalidate()
            if commit or not isinstance(broken, Exception):
                raise
        if commit and failure is not None:
            # Postgres has given up the transaction, and would commit nothing, without a word.
            raise failure if isinstance(failure, Exception) else RuntimeError("a statement was given up") from failure

    async def _end_transaction(self, *, commit: bool) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return None
        if not commit:
            with noted("ROLLBACK"):
                async with asyncio.timeout(_ROLLBACK_SECONDS):
                    return await transaction.rollback()
        if self._driver is None or self._driver.is_closed():
            raise DatabaseUnavailable
        self.is_settled = True
        try:
            with noted("COMMIT"):
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await transaction.commit()
        except Exception as failure:
            if is_disconnection(failure):
                raise OutcomeUnknown from failure
            raise

    async def _begun(self) -> Transaction:
        """Begin a transaction, or a savepoint in the one that there is."""

        async def send() -> Transaction:
            transaction = (await self._driven()).transaction()
            try:
                with noted("BEGIN" if self._transaction is None else "SAVEPOINT"):
                    await transaction.start()
            except BaseException:
                self._is_doubtful = self._transaction is None
                raise
            return transaction

        return await self._sent(send)

    async def _driven(self) -> "DriverConnection[Any]":
        """Return the driver's connection, which is taken out of the pool where there is none."""
        if self._over:
            raise RuntimeError("the operation is over; what it still loaded is wanted no more")
        if self._driver is None:
            self._pooled = await self._database.take()
            self._driver = driver_of(self._pooled)
        return self._driver

    @property
    def _sqlalchemy(self) -> AsyncConnection:
        """SQLAlchemy's connection over the one that was taken."""
        if self._connection is None:
            assert self._pooled is not None, "a connection was taken"
            self._connection = self._database.over(self._pooled)
        return self._connection
