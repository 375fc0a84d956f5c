"""The pieces of a statement: Postgres runs each, and its text is rendered as the response is."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import Boolean, ColumnElement, DateTime, Integer, Numeric, Text, Uuid, column, literal, null, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.graphql.compiled.path import rendered
from app.graphql.compiled.plans import Declined
from app.graphql.compiled.statements import (
    Json,
    Part,
    Scope,
    json_object,
    shown_as,
    text_of,
    text_of_array,
    text_or_null,
)

ODD = '"},{"name":"\\ \n\t\x01 \x1f \x80 é \U0001f600 \u2028'
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
KEY = UUID("01970000-0000-7000-8000-000000000001")


async def answered(connection: AsyncConnection, text: ColumnElement[str]) -> bytes:
    found: str = (await connection.execute(select(text))).scalar_one()
    return rendered(found)


async def test_an_object_is_its_json_around_its_values(connection: AsyncConnection) -> None:
    name: list[Part] = [Json('"'), literal(ODD, Text), Json('"')]
    parts = json_object([("name", name), ("kind", [Json('"Product"')]), ("stock", [Json("null")])])

    expected = orjson.dumps({"name": ODD, "kind": "Product", "stock": None})
    assert await answered(connection, text_of(parts)) == expected


async def test_an_object_without_fields_is_empty(connection: AsyncConnection) -> None:
    assert await answered(connection, text_of(json_object([]))) == b"{}"


@pytest.mark.parametrize(("value", "expected"), [("a", b'"a"'), ("", b'""'), (None, b"null")])
async def test_a_value_that_may_be_null(connection: AsyncConnection, value: str | None, expected: bytes) -> None:
    parts: list[Part] = [Json('"'), sql_cast(literal(value), Text), Json('"')]

    assert await answered(connection, text_or_null(parts)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], b"[]"),
        ([""], b'[""]'),
        (["a", "b,c"], b'["a","b,c"]'),
        (['","', "\\"], b'["\\",\\"","\\\\"]'),
        (None, b"null"),
    ],
)
async def test_a_list_of_texts(connection: AsyncConnection, values: list[str] | None, expected: bytes) -> None:
    array = text_of_array(sql_cast(literal(values, ARRAY(Text)), ARRAY(Text)))

    assert await answered(connection, text_or_null([array])) == expected


@pytest.mark.parametrize(
    ("kind", "value", "type_", "expected"),
    [
        ("Int", 7, Integer(), "7"),
        ("Boolean", True, Boolean(), "true"),
        ("Boolean", False, Boolean(), "false"),
        ("Boolean", None, Boolean(), None),
        ("DateTime", MOMENT, DateTime(timezone=True), "2026-01-02T03:04:05.000006+00:00"),
        ("Decimal", Decimal("1.50"), Numeric(12, 2), "1.50"),
        ("ID", KEY, Uuid(), str(KEY)),
        ("String", "a", Text(), "a"),
    ],
)
async def test_a_value_as_text(
    connection: AsyncConnection, kind: str, value: object, type_: Any, expected: str | None
) -> None:
    text, is_quoted = shown_as(kind, sql_cast(literal(value, type_), type_))

    assert (await connection.execute(select(text))).scalar_one() == expected
    assert is_quoted is (kind not in ("Int", "Boolean"))


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("Int", Text()),
        ("Int", Numeric()),
        ("Boolean", Text()),
        ("DateTime", Text()),
        ("Float", Numeric()),
        ("String", JSONB()),
        ("JSON", JSONB()),
        ("String", ARRAY(Text)),
        ("String", null().type),
    ],
)
def test_a_value_of_another_type_than_the_field_is_declined(kind: str, type_: Any) -> None:
    with pytest.raises(Declined):
        shown_as(kind, column("value", type_))


async def test_the_rows_of_a_scope_that_belong_to_the_page(connection: AsyncConnection) -> None:
    rows = select(literal(1).label("n")).union_all(select(literal(3)), select(literal(2))).subquery()
    scope = Scope(rows, only=rows.c.n < literal(3))

    text = scope.text_of_rows([sql_cast(rows.c.n, Text)], [rows.c.n.desc()])

    assert (await connection.execute(select(text).select_from(rows))).scalar_one() == "2,1"
    assert (await connection.execute(select(text).select_from(rows).where(rows.c.n > 5))).scalar_one() == ""
