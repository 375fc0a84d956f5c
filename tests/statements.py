"""The statements that are sent to the database, to be counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

_OF_TRANSACTIONS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


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
            yield statements
        finally:
            event.remove(engine.sync_engine, "before_cursor_execute", record)
