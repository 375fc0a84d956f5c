"""Writes the one statement of an operation: for each list a subquery that returns its rows as one text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Text,
    case,
    cast,
    func,
    literal_column,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db.pagination import constant
from app.db.texts import QUOTE
from app.graphql.compiled.plans import ROOT

_UTC = literal_column("'UTC'", Text)
_MOMENT = literal_column('\'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"\'', Text)


@dataclass(frozen=True)
class Json:
    """A stretch of the response that does not depend on data."""

    text: str


Part = Json | ColumnElement[str]


def json_object(fields: Iterable[tuple[str, Iterable[Part]]]) -> list[Part]:
    """Return the parts of an object with these fields."""
    parts: list[Part] = []
    for key, value in fields:
        parts += [Json(f'{"," if parts else "{"}"{key}":'), *value]
    return [*parts, Json("}" if parts else "{}")]


class Scope:
    """The SELECT that is being written: where it reads from, and what it counts for each level below."""

    def __init__(
        self,
        level: str,
        source: FromClause | None,
        only: ColumnElement[bool] | None = None,
        around: "Scope | None" = None,
    ) -> None:
        self.level = level
        self.source = source
        self.only = only
        self.around = around
        self.counts: dict[str, ColumnElement[int]] = {} if around is None else around.counts

    def join(self, other: FromClause, on: ColumnElement[bool] | None = None, *, outer: bool = False) -> None:
        """Read from another table or subquery, too."""
        if self.around is not None:
            self.around.join(other, on, outer=True)
        else:
            on = true() if on is None else on
            self.source = other if self.source is None else self.source.join(other, on, isouter=outer)

    def optional(self, level: str) -> "Scope":
        """Return the scope of objects that not every row has: what they join must not lose a row that has none."""
        return Scope(level, None, self.only, around=self)

    def aggregate(self, function: Any) -> ColumnElement[Any]:
        """Return the aggregate over the rows that belong to the page."""
        result: ColumnElement[Any] = function if self.only is None else function.filter(self.only)
        return result

    def count_present(self, level: str, value: ColumnElement[Any]) -> None:
        """Count a level by the rows at which the value is not null."""
        if self.level == ROOT:  # where there are no rows to aggregate, but one
            self.counts[level] = case((value.is_(None), constant(0)), else_=constant(1))
        else:
            self.counts[level] = self.aggregate(func.count(value))

    def count_below(self, columns: Any, levels: Iterable[str]) -> None:
        """Count levels by the sums of what a subquery has counted."""
        for level in levels:
            self.count_each(level, columns[level])

    def count_each(self, level: str, number: ColumnElement[int]) -> None:
        """Count a level by the sum of what it has at each row."""
        at_root = self.level == ROOT
        self.counts[level] = number if at_root else func.coalesce(self.aggregate(func.sum(number)), constant(0))


class Writer:
    """Writes the texts of objects and lists, and counts the quotation marks at each level."""

    def __init__(self) -> None:
        self.quotes: Counter[str] = Counter()
        self._names = 0

    def name(self, prefix: str) -> str:
        """Return a name that nothing else has."""
        self._names += 1
        return f"{prefix}{self._names}"

    def text(self, parts: Iterable[Part], level: str) -> ColumnElement[str]:
        """Return the parts as one text, which occurs once for each row of the level."""
        pieces: list[ColumnElement[str]] = []
        for fixed, group in groupby(parts, lambda part: isinstance(part, Json)):
            if fixed:
                json = "".join(part.text for part in group if isinstance(part, Json))
                self.quotes[level] += json.count('"')
                pieces.append(_literal(json.replace('"', QUOTE)))
            else:
                pieces += (part for part in group if not isinstance(part, Json))
        return _joined(pieces)

    def optional(self, parts: Iterable[Part], present: ColumnElement[Any], scope: Scope) -> ColumnElement[str]:
        """Return the parts as one text, or `null` in the rows where `present` is null."""
        level = self.name("optional_")
        scope.count_present(level, present)
        return func.coalesce(self.text(parts, level), NULL)

    def texts(self, array: ColumnElement[Any], scope: Scope) -> ColumnElement[str]:
        """Return the texts of an array, each in quotes, between commas."""
        level, number = self.name("texts_"), func.cardinality(array)
        scope.count_each(level, number)
        self.quotes[level] = 2
        between = func.array_to_string(array, _literal(f"{QUOTE},{QUOTE}"))
        return case((number > constant(0), _joined([_QUOTE, between, _QUOTE])), else_=EMPTY)

    def rows(self, scope: Scope, parts: Iterable[Part], order: Sequence[Any]) -> ColumnElement[str]:
        """Return the text of all rows of a scope, between commas."""
        row = self.text(parts, scope.level)
        return func.coalesce(scope.aggregate(func.string_agg(row, aggregate_order_by(_COMMA, *order))), EMPTY)


def _joined(texts: Sequence[ColumnElement[str]]) -> ColumnElement[str]:
    """Return the texts one after the other, joined half by half: to add one at a time copies all before it."""
    if len(texts) == 1:
        return texts[0]
    middle = len(texts) // 2
    return _joined(texts[:middle]).concat(_joined(texts[middle:]))


def _literal(text: str) -> ColumnElement[str]:
    return literal_column("'" + text.replace("'", "''") + "'", Text)


EMPTY = _literal("")
_COMMA = _literal(",")
NULL = _literal("null")
_QUOTE = _literal(QUOTE)


def shown_as(kind: str, value: ColumnElement[Any]) -> tuple[ColumnElement[str], bool]:
    """Return a value of this GraphQL type as text, and whether the text stands in quotes."""
    if kind == "Int":
        return cast(value, Text), False
    if kind == "Boolean":
        return case((value, _literal("true")), else_=_literal("false")), False
    if kind == "DateTime":
        return func.to_char(func.timezone(_UTC, value), _MOMENT, type_=Text), True
    return (value if isinstance(value.type, Text) else cast(value, Text)), True


def cursor_of(label: str, key: ColumnElement[Any], value: ColumnElement[Any], value_type: Any) -> ColumnElement[str]:
    """Return the cursor of a row of a page, as `Ordering.cursor` makes it."""
    shown = shown_as("DateTime" if isinstance(value_type, DateTime) else "String", value)[0]
    text = _literal(f"{label}:").concat(cast(key, Text)).concat(":").concat(shown)
    encoded = func.encode(func.convert_to(text, "UTF8"), "base64")
    return func.translate(encoded, literal_column("E'+/=\\n'", Text), "-_", type_=Text)
