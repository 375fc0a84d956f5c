"""What a field is, declared once beside its type: the resolver path and the compiled path both read it from here.

A declaration's expressions get a row: on the resolver path a row of values, on the compiled path its columns. So
`lambda item: item.unit_price * item.quantity` is a number on the one and SQL on the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select
from strawberry.types.field import StrawberryField

from app.db.models import Base
from app.db.pagination import Collection, Ordering, Relation
from app.lengths import LINE
from app.security.viewer import Access, Viewer

DECLARATION = "declaration"
POINTS = "points"
"""The key of what a mutation costs beside its input and payload, in the metadata of its field."""

Row = Any
"""The attributes that expressions read: a row, an entity, or the columns of a table, an alias or a subquery."""

Visible = Callable[[Viewer | None, Row], Any]
"""Whether a viewer may see a field of a row: a boolean, or a condition in SQL."""


@dataclass(eq=False)
class Column:
    """A scalar, or a list of texts, made of one row. Null to viewers to whom it isn't visible."""

    expression: Callable[[Row], Any]
    visible: Visible | None = None
    longest: int = LINE
    """Characters that it can have, if it is a text."""


@dataclass(eq=False)
class Computed:
    """A scalar that only SQL can make of a row. The resolver path reads it by the row's key."""

    model: type[Base]
    expression: Callable[[Row], ColumnElement[Any]]


@dataclass(eq=False)
class Embedded:
    """An object made of the same row, its fields by name. Null where the named one is."""

    type_: type
    fields: Callable[[Row], Mapping[str, Any]]
    present: str | None = None


@dataclass(eq=False)
class Itself:
    """The node that the same row is."""

    model: type[Base]


@dataclass(eq=False)
class AsEdge:
    """The node that the same row is, as an item of a list with this ordering."""

    model: type[Base]
    ordering: Ordering


@dataclass(eq=False)
class Identifier:
    """The global id of the same row, as a node of the type with this name."""

    type_name: str


@dataclass(eq=False)
class Reference:
    """The row of another table with this key; null where it doesn't meet the condition."""

    model: type[Base]
    key: Callable[[Row], Any]
    condition: Callable[[Row], ColumnElement[bool]] | None = None


@dataclass(eq=False)
class Through:
    """What a field of the row that this one refers to is declared to be."""

    reference: Reference
    declaration: Column | Embedded


@dataclass(eq=False)
class Rows:
    """All rows of a statement that belong to the row, ordered by the named columns."""

    statement: Callable[[Viewer | None], Select[Any]]
    relation: Relation
    order: Sequence[str]
    model: type[Base] | None = None
    """The model of the rows; None if they are values of their own."""


@dataclass(eq=False)
class Pages:
    """A connection over a collection. A nested one has a relation to its row, and is null for viewers to whom it isn't
    visible; one at the root fails for viewers without access."""

    collection: Collection[Any, Any]
    relation: Relation | None = None
    visible: Visible | None = None
    access: Access = Access.ANYONE


class Unique(NamedTuple):
    """A unique value of a column, by which a row is looked up instead of its key."""

    column: ColumnElement[Any]
    value: Any


@dataclass(eq=False)
class Lookup:
    """The row of a model with this key, or this unique value, if the viewer may look it up. What to look up comes from
    the viewer and the arguments; None finds nothing."""

    model: type[Base]
    key: Callable[..., UUID | Unique | None]
    statement: Callable[[Viewer | None], Select[Any]]


@dataclass(eq=False)
class Nodes:
    """Nodes of any type by the names of their types and their keys, which the arguments say; null in place of each that
    the viewer may not look up."""

    ids: Callable[..., Sequence[tuple[str, UUID]]]


OfSameRow = Embedded | Itself | AsEdge
"""An object that is made of the same row as the one it is a field of."""

Declaration = Column | Computed | OfSameRow | Identifier | Reference | Through | Rows | Pages | Lookup | Nodes


def declaration_of(field: StrawberryField) -> Declaration | None:
    """Return what a field is declared to be; None if only its resolver knows."""
    declared: Declaration | None = field.metadata.get(DECLARATION)
    if declared is None and field.base_resolver is None:
        name = field.python_name
        return Column(lambda row: row[name])  # of an embedded object
    return declared
