"""The statements that are sent to the database, to be counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest.mock import patch

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.statements import Prepared
from app.db.unit_of_work import UnitOfWork

_OF_TRANSACTIONS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


def is_of_driver(statement: str) -> bool:
    """Tell whether it is one of those with which the driver learns of a type, once on each connection."""
    return "typeinfo" in statement or "'jit'" in statement


class Statements(list[str]):
    """Every statement in its order, without those that only mark transactions."""

    @classmethod
    @contextmanager
    def recorded(cls, engine: AsyncEngine) -> Iterator[Self]:
        """Record what the engine sends."""
        statements = cls()

        def record(_: Any, __: Any, statement: str, *___: Any) -> None:
            if not statement.startswith(_OF_TRANSACTIONS):
                statements.append(statement)

        event.listen(engine.sync_engine, "before_cursor_execute", record)
        try:
            with _recorded_by_driver(statements):
                yield statements
        finally:
            event.remove(engine.sync_engine, "before_cursor_execute", record)


@contextmanager
def _recorded_by_driver(statements: list[str]) -> Iterator[None]:
    """Record what goes past SQLAlchemy."""
    fetch, write = UnitOfWork.fetch, UnitOfWork.write
    driver_row, execute_each = UnitOfWork.driver_row, UnitOfWork.execute_each

    async def recorded_fetch(self: UnitOfWork, statement: Prepared, **values: Any) -> Any:
        statements.append(statement.sql)
        return await fetch(self, statement, **values)

    async def recorded_write(self: UnitOfWork, statement: Prepared, has_effect: Any, **values: Any) -> Any:
        if self.is_one_statement:  # otherwise it is fetched
            statements.append(statement.sql)
        return await write(self, statement, has_effect, **values)

    async def recorded_driver_row(self: UnitOfWork, sql: str, parameters: Any) -> Any:
        statements.append(sql)
        return await driver_row(self, sql, parameters)

    async def recorded_execute_each(self: UnitOfWork, statement: Prepared, rows: Any) -> None:
        statements.append(statement.sql)
        await execute_each(self, statement, rows)

    with (
        patch.object(UnitOfWork, "fetch", recorded_fetch),
        patch.object(UnitOfWork, "write", recorded_write),
        patch.object(UnitOfWork, "driver_row", recorded_driver_row),
        patch.object(UnitOfWork, "execute_each", recorded_execute_each),
    ):
        yield
