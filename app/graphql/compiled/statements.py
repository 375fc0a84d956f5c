"""Writes the one statement of an operation: for each list a subquery that returns its rows as one text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from graphql import GraphQLList, GraphQLNonNull, GraphQLOutputType, get_named_type, get_nullable_type
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db.pagination import CURSOR_VALUE, Ordering, constant
from app.db.texts import QUOTE
from app.graphql.compiled.plans import Declined

_UTC = sa.literal_column("'UTC'", sa.Text)
_MOMENT = sa.literal_column('\'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"\'', sa.Text)


class Json(str):
    """A stretch of the response that does not depend on data."""

    __slots__ = ()


Part = Json | sa.ColumnElement[str]


class Columns:
    """The columns of a subquery by their keys, each made when it is first read. SQLAlchemy makes all as soon as one is
    read, and of each a copy of all that the table's column has: that took a third of the time of compiling a query."""

    def __init__(self, found: Any) -> None:
        element: Any = found.element
        statement = element.element if isinstance(element, sa.Subquery) else element  # of a LATERAL
        self._found = found
        self._selected = {column.key: column for column in statement.selected_columns}

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):  # no column's does, and before `__init__` this would recurse
            raise AttributeError(key)
        return self[key]

    def __getitem__(self, key: str) -> Any:
        selected = self._selected[key]
        column: sa.ColumnClause[Any] = sa.column(selected.name, selected.type)
        column.table = self._found
        setattr(self, key, column)
        return column


def json_object(fields: Iterable[tuple[str, Iterable[Part]]]) -> list[Part]:
    """Return the parts of an object with these fields."""
    parts: list[Part] = []
    for key, value in fields:
        parts += [Json(f'{"," if parts else "{"}"{key}":'), *value]
    return [*parts, Json("}" if parts else "{}")]


@dataclass(eq=False)
class Scope:
    """The SELECT that is being written: where it reads from, and which of its rows are part of the response."""

    source: sa.FromClause | None = None
    only: sa.ColumnElement[bool] | None = None
    around: "Scope | None" = None
    name: str = ""
    joined: dict[Any, Columns] = field(default_factory=dict)
    """The rows that several fields refer to, which are joined once."""
    texts: list[sa.Label[Any]] = field(default_factory=list)
    """What the SELECT returns, once it is a subquery of this name."""

    def add(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """Return a text as the column of the subquery that this SELECT becomes."""
        label = f"text_{len(self.texts) + 1}"
        self.texts.append(text.label(label))
        return sa.literal_column(f"{self.name}.{label}", sa.Text)

    def join(self, other: sa.FromClause, *, outer: bool = False) -> None:
        """Read from another subquery as well."""
        if self.around is not None:
            self.around.join(other, outer=True)
        else:
            self.source = other if self.source is None else self.source.join(other, sa.true(), isouter=outer)

    def optional(self) -> "Scope":
        """Return the scope of objects that not every row has: what they join must not lose a row that has none."""
        return Scope(only=self.only, around=self)

    def aggregate(self, function: Any) -> sa.ColumnElement[Any]:
        """Return the aggregate over the rows that belong to the page."""
        result: sa.ColumnElement[Any] = function if self.only is None else function.filter(self.only)
        return result

    def text_of_rows(self, parts: Iterable[Part], order: Sequence[Any]) -> sa.ColumnElement[str]:
        """Return the text of all rows, each made of these parts, between commas."""
        rows = sa.func.string_agg(text_of(parts), aggregate_order_by(_COMMA, *order))
        return sa.func.coalesce(self.aggregate(rows), EMPTY)


def text_of(parts: Iterable[Part]) -> sa.ColumnElement[str]:
    """Return the parts as one text."""
    pieces: list[sa.ColumnElement[str]] = []
    for fixed, group in groupby(parts, lambda part: isinstance(part, Json)):
        run: Any = group
        pieces += [_literal("".join(run).replace('"', QUOTE))] if fixed else run
    return _joined(pieces)


def text_or_null(parts: Iterable[Part]) -> sa.ColumnElement[str]:
    """Return the parts as one text, or `null` where one of them is null."""
    return sa.func.coalesce(text_of(parts), NULL)


def text_of_array(array: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Return the texts of an array as a list."""
    between = sa.func.array_to_string(array, _literal(f"{QUOTE},{QUOTE}"))
    return sa.case(
        (sa.func.cardinality(array) == constant(0), _literal("[]")), else_=text_of([Json('["'), between, Json('"]')])
    )


def _joined(texts: Sequence[sa.ColumnElement[str]]) -> sa.ColumnElement[str]:
    """Return the texts one after the other, joined half by half: to add one at a time copies all before it."""
    if len(texts) == 1:
        return texts[0]
    middle = len(texts) // 2
    return _joined(texts[:middle]).concat(_joined(texts[middle:]))


def _literal(text: str) -> sa.ColumnElement[str]:
    return sa.literal_column("'" + text.replace("'", "''") + "'", sa.Text)


EMPTY = _literal("")
_COMMA = _literal(",")
NULL, TRUE = _literal("null"), _literal("true")


def parts_of_value(type_: GraphQLOutputType, value: sa.ColumnElement[Any]) -> list[Part]:
    """Return the parts of a value, one of which is null if it is; Declined if the text might hold anything."""
    list_type = get_nullable_type(type_)
    if not isinstance(list_type, GraphQLList):
        text, quoted = shown_as(get_named_type(type_).name, value)
        return [Json('"'), text, Json('"')] if quoted else [text]
    if get_named_type(type_).name != "String" or not isinstance(list_type.of_type, GraphQLNonNull):
        raise Declined("a list of anything but texts")
    return [text_of_array(value)]


def shown_as(kind: str, value: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[str], bool]:
    """Return a value of this GraphQL type as text, and whether the text is quoted; Declined if the two types do not
    fit together, as the text might hold anything."""
    match kind, value.type:
        case "Int", sa.Integer():
            return sa.cast(value, sa.Text), False
        case "Boolean", sa.Boolean():
            return sa.case((value, TRUE), (value.is_not(None), _literal("false"))), False
        case "DateTime", sa.DateTime():
            return sa.func.to_char(sa.func.timezone(_UTC, value), _MOMENT, type_=sa.Text), True
        case "Int" | "Boolean" | "DateTime" | "Float", _:
            raise Declined(f"{kind} of {value.type}")
        case _, sa.Text():
            return value, True
        case _, sa.String() | sa.Integer() | sa.Numeric() | sa.Uuid():
            return sa.cast(value, sa.Text), True
    raise Declined(f"{kind} of {value.type}")


def identifier(type_name: str, columns: Any) -> list[Part]:
    """Return the parts of the global id of a row."""
    return [Json(f'"{type_name}_'), shown_as("ID", columns.id)[0], Json('"')]


def cursor_of(ordering: Ordering, row: Any) -> sa.ColumnElement[str]:
    """Return the cursor of a row of a page, as `Ordering.cursor` makes it."""
    kind = "DateTime" if isinstance(ordering.column.type, sa.DateTime) else "String"
    shown = shown_as(kind, row[CURSOR_VALUE])[0]
    text = _literal(f"{ordering.label}:").concat(sa.cast(row["id"], sa.Text)).concat(":").concat(shown)
    encoded = sa.func.encode(sa.func.convert_to(text, "UTF8"), "base64")
    return sa.func.translate(encoded, sa.literal_column("E'+/=\\n'", sa.Text), "-_", type_=sa.Text)
