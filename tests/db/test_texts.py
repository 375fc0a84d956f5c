"""No text in the database holds the character that the compiled path writes for its own quotation marks."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from asyncpg import CheckViolationError
from sqlalchemy import Column, MetaData, Table, Text, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry, Base, Product
from app.db.texts import OURS, QUOTE, constraint_against_quote, is_free_of_quote
from tests.market import Market


def columns() -> Iterator[Column[Any]]:
    """Yield the columns that store texts, those of an array included."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            kind = column.type.item_type if isinstance(column.type, ARRAY) else column.type
            if isinstance(kind, Text) and column.computed is None:
                yield column


NOW = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = {str(column): column for column in columns() if not column.info.get(OURS)}


EXAMPLES = {"country": "DE", "currency": "EUR", "status": "PLACED", "payload": {"number": 1}}
EXAMPLES_OF: dict[type, Any] = {str: "x", UUID: UUID(int=0), Decimal: 1, int: 1, bytes: b"x", bool: True, list: ["x"]}


def row_of(table: Table) -> dict[str, Any]:
    """Return a row that meets every check. What it refers to does not exist, which Postgres looks at last."""
    required = (column for column in table.columns if not column.nullable and column.server_default is None)
    return {
        column.key: EXAMPLES.get(column.name) or EXAMPLES_OF.get(column.type.python_type, NOW) for column in required
    }


async def refusal(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> BaseException | None:
    """Return why the database refuses the row, None where it does not."""
    try:
        async with connection.begin_nested():
            await connection.execute(insert(table).values({**row_of(table), **values}))
    except IntegrityError as failure:
        return failure.orig and failure.orig.__cause__
    return None


def odd_values(column: Column[Any]) -> list[Any]:
    """Return values with the character: alone, inside a text, and in each place of an array."""
    texts = [QUOTE, f"a{QUOTE}b", f"{QUOTE},{QUOTE}admin{QUOTE}:true"]
    if not isinstance(column.type, ARRAY):
        return texts
    return [*([text] for text in texts), ["a", f"b{QUOTE}"], [f"{QUOTE}a", "b"], [["a"], [QUOTE]]]


def test_there_are_columns_to_try() -> None:
    assert {"products.name", "audit_entries.fields", "users.password_hash", "idempotency_keys.key"} <= COLUMNS.keys()


@pytest.mark.parametrize("name", COLUMNS)
async def test_the_database_refuses_the_character(connection: AsyncConnection, name: str) -> None:
    column = COLUMNS[name]
    assert not isinstance(await refusal(connection, column.table, {}), CheckViolationError)

    for value in odd_values(column):
        violation = await refusal(connection, column.table, {column.key: value})

        assert isinstance(violation, CheckViolationError)
        assert str(violation.constraint_name).startswith(f"ck_{column.table.name}_{column.name}_")


async def test_a_changed_row_is_refused_like_a_new_one(connection: AsyncConnection, market: Market) -> None:
    await market.product()

    with pytest.raises(IntegrityError, match="ck_products_name_without_del"):
        await connection.execute(update(Product).values(name=Product.name + QUOTE))


async def test_other_odd_characters_are_stored_as_they_are(connection: AsyncConnection) -> None:
    text = "\x01\x1f\x7e\x80\x9f ÿ 漢 \U0001f600"
    values = {"operation": text, "fields": [text, "", text], "request_id": text}
    await connection.execute(insert(AuditEntry).values(values))

    found = (await connection.execute(select(AuditEntry.operation, AuditEntry.fields, AuditEntry.request_id))).one()

    assert found == (text, [text, "", text], text)


def test_a_column_without_the_constraint_is_not_free_of_the_character() -> None:
    forgotten = Column("name", Text)
    Table("scratch", MetaData(), forgotten)

    assert constraint_against_quote(forgotten) is not None
    assert not is_free_of_quote(forgotten)
    assert all(map(is_free_of_quote, COLUMNS.values()))
