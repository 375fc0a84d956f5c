"""What fields mean in SQL, said beside their resolvers: `strawberry.field(metadata=in_sql(…))`.

A field without a resolver whose name is a column's means that column; a field that says nothing else is declined.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select
from strawberry.types.field import StrawberryField

from app.db.models import Base
from app.db.pagination import Listing, Ordering, Relation
from app.security.viewer import Access, Viewer

_KEY = "in_sql"

Columns = Any
"""The columns of a row, by name: of a table, an alias or a subquery."""


@dataclass(frozen=True)
class Scalar:
    """An expression over the row, an array of texts for a list of them; where `shown` does not hold, null."""

    expression: Callable[[Columns], ColumnElement[Any]]
    shown: Callable[[Viewer | None, Columns], Any] | None = None


@dataclass(frozen=True)
class Embedded:
    """An object made of the same row, its fields by name."""

    fields: Callable[[Columns], Mapping[str, ColumnElement[Any]]]


@dataclass(frozen=True)
class Reference:
    """The row of another table with this key; null where it does not meet the condition."""

    model: type[Base]
    key: Callable[[Columns], ColumnElement[UUID]]
    condition: Callable[[Columns], ColumnElement[bool]] | None = None


@dataclass(frozen=True)
class Rows:
    """All rows of a statement that belong to the row, in the order of the named columns."""

    statement: Callable[[Viewer | None], Select[Any]]
    relation: Relation
    order: tuple[str, ...]


@dataclass(frozen=True)
class Pages:
    """A connection: `choose` takes its filter and order to criteria and what orders them; a nested one has a
    relation to the row, and may be empty for viewers to whom the row does not show it. Others than those with
    access are answered with an error."""

    choose: Callable[..., tuple[Any, Callable[[Any], Ordering]]]
    listing: Callable[[Viewer | None, Any], Listing]
    relation: Relation | None = None
    shown: Callable[[Viewer | None, Columns], Any] | None = None
    access: Access = Access.ANYONE


@dataclass(frozen=True)
class Lookup:
    """The row that a statement finds by `:keys`; the key comes from the arguments and the viewer, None finds none."""

    statement: Callable[[Viewer | None], Select[Any]]
    key: Callable[..., UUID | None]


@dataclass(frozen=True)
class Nodes:
    """Rows of several types: the arguments tell the name of the type and the key of each that is wanted, and each
    type has a statement that finds its rows by `:keys`."""

    statements: Mapping[str, Callable[[Viewer | None], Select[Any]]]
    ids: Callable[..., Sequence[tuple[str, UUID]]]


Meaning = Scalar | Embedded | Reference | Rows | Pages | Lookup | Nodes


def in_sql(meaning: Meaning) -> dict[str, Meaning]:
    """Return the metadata of a field that means this."""
    return {_KEY: meaning}


def meaning_of(field: StrawberryField) -> Meaning | None:
    """Return what the field means; None where nobody has said it."""
    said: Meaning | None = field.metadata.get(_KEY)
    if said is None and field.base_resolver is None:
        name = field.python_name
        return Scalar(lambda columns: columns[name])
    return said
