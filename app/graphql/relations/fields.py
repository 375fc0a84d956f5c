"""How types declare their fields: `name: str = column(models.Store.name, "…")`.

Each function makes a field that both paths read from its declaration; none needs a resolver of its own."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

import strawberry
from pydantic.alias_generators import to_snake
from sqlalchemy import Column, ColumnElement, Select
from sqlalchemy.orm import InstrumentedAttribute
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from app.db.models import LONGEST, REFERS_TO, Base
from app.db.pagination import Collection, Relation
from app.errors import BadUserInput
from app.graphql.arguments import key_of
from app.graphql.inputs import input_object
from app.graphql.node import Node, node_named
from app.graphql.relations import declarations as declared
from app.graphql.relations.declarations import DECLARATION, Declaration, Row, Visible
from app.graphql.relations.resolving import resolve
from app.inputs import Input
from app.lengths import LINE
from app.security.viewer import Access, Viewer

Expression = InstrumentedAttribute[Any] | Callable[[Row], Any]
"""A column of the type's own model, or what is made of its row."""


class DeclaredField(StrawberryField):
    """A field whose value follows from its declaration, on the resolver path as on the compiled one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.init = self.repr = self.compare = False  # it is read from the row, not set

    @property
    def declaration(self) -> Declaration:
        """What the field is declared to be."""
        declaration: Declaration = self.metadata[DECLARATION]
        return declaration

    @property
    def is_basic_field(self) -> bool:
        """Whether the row alone says the value, so that Strawberry need not make an info for it."""
        match self.declaration:
            case declared.Column(visible=None) | declared.Embedded() | declared.Itself() | declared.Identifier():
                return True
        return False

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Return the value, or what awaits it."""
        return resolve(self.declaration, source, info, kwargs)


def _declared(
    declaration: Declaration, description: str, arguments: Sequence[StrawberryArgument] = (), **metadata: Any
) -> Any:
    field = DeclaredField(description=description, metadata={DECLARATION: declaration, **metadata})
    field.arguments = list(arguments)
    return field


def column(value: Expression, description: str, *, visible: Visible | None = None) -> Any:
    """Declare a scalar: a column of the row or an expression over it, null to those to whom it isn't visible."""
    return _declared(declared.Column(_expression(value), visible, _longest(value)), description)


def computed(model: type[Base], value: Callable[[Row], ColumnElement[Any]], description: str) -> Any:
    """Declare a scalar by an expression in SQL over the columns of the type's model."""
    return _declared(declared.Computed(model, value), description)


def embedded(type_: type, description: str, *, present: str | None = None, **fields: Expression) -> Any:
    """Declare an object made of the same row, such as an amount of money; null where its field `present` is."""
    expressions = {name: _expression(value) for name, value in fields.items()}
    made = declared.Embedded(
        type_, lambda row: {name: expression(row) for name, expression in expressions.items()}, present
    )
    return _declared(made, description)


def itself(model: type[Base], description: str) -> Any:
    """Declare the node that the object's own row is."""
    return _declared(declared.Itself(model), description)


def edge(collection: Collection[Any, Any], description: str) -> Any:
    """Declare the node that the object's own row is, as an item of a collection in its default order."""
    return _declared(declared.AsEdge(collection.model, collection.default_ordering), description)


def identifier(type_name: str, description: str) -> Any:
    """Declare the global id of the object's own row."""
    return _declared(declared.Identifier(type_name), description)


def reference(
    key: Expression, description: str, *, to: type[Base] | None = None, condition: Callable[[Row], Any] | None = None
) -> Any:
    """Declare the row that a foreign key refers to; null where it doesn't meet the condition."""
    return _declared(declared.Reference(to or _referred(key), _expression(key), condition), description)


def through(key: InstrumentedAttribute[Any], field: Any) -> Any:
    """Declare what another field is, of the row that this one refers to: `through(Item.order_id, column(…))`."""
    reference = declared.Reference(_referred(key), _expression(key))
    return _declared(declared.Through(reference, field.declaration), field.description)


def rows(
    statement: Callable[[Viewer | None], Select[Any]],
    description: str,
    *,
    within: InstrumentedAttribute[Any] | Relation,
    order_by: InstrumentedAttribute[Any],
    of: type[Base] | None = None,
) -> Any:
    """Declare a list of all rows of a statement that refer to this one, ordered by a column. They are nodes of a model,
    or without one objects whose fields have the names of the statement's columns."""
    return _declared(declared.Rows(statement, _relation(within), [order_by.key], of), description)


def pages(
    collection: Collection[Any, Any],
    description: str,
    *,
    within: InstrumentedAttribute[Any] | Relation | None = None,
    visible: Visible | None = None,
    access: Access = Access.ANYONE,
    arguments: Sequence[str] = ("filter", "order_by"),
) -> Any:
    """Declare a connection: pages of a collection, of the part of it that belongs to this row, or at the root."""
    declaration = declared.Pages(collection, None if within is None else _relation(within), visible, access)
    inputs = (
        ("filter", collection.filter, "Return only items that match this filter."),
        ("order_by", collection.sort, _sorting(collection)),
    )
    own = [_argument(name, kind, about) for name, kind, about in inputs if kind is not None and name in arguments]
    return _declared(declaration, description, [*_PAGE_ARGUMENTS, *own])


def lookup(type_: type[Node], description: str) -> Any:
    """Declare a root field that looks up a node by its global id."""
    return _declared(looked_up(type_, "id"), description, [_id_argument(type_, strawberry.ID)])


def lookup_by(type_: type[Node], description: str, column: Column[Any], parse: Callable[[str], Any], about: str) -> Any:
    """Declare a root field that looks up a node by its global id, or by the unique value of a column, which is written
    in any form that `parse` understands."""
    node, by_id = node_named(type_.__name__), looked_up(type_, "id")

    def key(viewer: Viewer | None, **arguments: Any) -> UUID | declared.Unique | None:
        given = [each for each in arguments.items() if each[1] is not None and each[1] is not UNSET]
        if not given:
            raise BadUserInput("id", f"or `{column.key}` is required")
        if len(given) > 1:
            raise BadUserInput(str(column.key), "cannot be combined with `id`")
        ((name, value),) = given
        return by_id.key(viewer, id=value) if name == "id" else declared.Unique(column, parse(value))

    by_value = StrawberryArgument(column.key, None, StrawberryAnnotation(str | None), description=about, default=UNSET)
    taken = [_id_argument(type_, strawberry.ID | None, default=UNSET), by_value]
    return _declared(declared.Lookup(node.model, key, node.by_key), description, taken)


def _id_argument(type_: type[Node], annotation: Any, **default: Any) -> StrawberryArgument:
    about = f"ID of the {type_.__name__.lower()}."
    return StrawberryArgument("id", None, StrawberryAnnotation(annotation), description=about, **default)


def looked_up(
    type_: type[Node], argument: str, by_key: Callable[[Viewer | None], Select[Any]] | None = None
) -> declared.Lookup:
    """Return the declaration of the node with the global id that is in this argument; `by_key` finds it, if not every
    one that the viewer may look up will do."""
    node, name = node_named(type_.__name__), type_.__name__
    taken = to_snake(argument)

    def key(_: Viewer | None, **arguments: str) -> UUID:
        return key_of(name, argument, arguments[taken])

    return declared.Lookup(node.model, key, by_key or node.by_key)


def viewers_own(type_: type[Node], statement: Callable[[Viewer | None], Select[Any]], description: str) -> Any:
    """Declare a root field that is the viewer's own row; null where nobody is logged in."""
    model = node_named(type_.__name__).model
    return _declared(declared.Lookup(model, lambda viewer: viewer and viewer.id, statement), description)


def nodes(
    ids: Callable[..., Sequence[tuple[str, UUID]]], description: str, argument: str, kind: Any, about: str
) -> Any:
    """Declare a root field that looks up nodes of any type by what its argument says."""
    taken = StrawberryArgument(argument, None, StrawberryAnnotation(kind), description=about)
    return _declared(declared.Nodes(ids), description, [taken])


def _expression(value: Expression) -> Callable[[Row], Any]:
    if isinstance(value, InstrumentedAttribute):
        name = value.key
        return lambda row: getattr(row, name)
    return value


def _longest(value: Expression) -> int:
    """Return how many characters a text can have: those of its column, or a line."""
    if isinstance(value, InstrumentedAttribute):
        return int(value.property.columns[0].info.get(LONGEST, LINE))
    return LINE


def _relation(within: InstrumentedAttribute[Any] | Relation) -> Relation:
    if isinstance(within, InstrumentedAttribute):
        parent: Any = within.property.columns[0]
        return lambda key: parent == key
    return within


def _referred(key: Expression) -> type[Base]:
    """Return the model that a column refers to, by a foreign key or without one."""
    assert isinstance(key, InstrumentedAttribute), "what isn't a column says what it refers to"
    column = key.property.columns[0]
    if (name := column.info.get(REFERS_TO)) is not None:
        target = Base.metadata.tables[name]
    else:
        (target,) = {each.column.table for each in column.foreign_keys}
    return next(mapper.class_ for mapper in Base.registry.mappers if mapper.local_table is target)


def _argument(name: str, kind: type[Input], description: str) -> StrawberryArgument:
    annotation: Any = input_object(kind) | None
    return StrawberryArgument(name, None, StrawberryAnnotation(annotation), description=description, default=UNSET)


def _sorting(collection: Collection[Any, Any]) -> str:
    """Return what to say about sorting a collection whose default ordering is by time."""
    default = "newest first" if collection.default_ordering.descending else "oldest first"
    if "search" in collection.filter.model_fields:
        default += "; with a search, the best match first"
    return f"How to sort the list. Default: {default}."


def _page_arguments(
    first: Annotated[
        int | None,
        strawberry.argument(
            description=(
                "Number of items to return from the start of the list, 0 to 100. Default: 20. Can't be combined with "
                "`last`. Each item costs one point plus the cost of what you select from it."
            )
        ),
    ] = UNSET,
    after: Annotated[str | None, strawberry.argument(description="Return the items after this cursor.")] = UNSET,
    last: Annotated[
        int | None,
        strawberry.argument(
            description=(
                "Number of items to return from the end of the list, 0 to 100. Can't be combined with `first`."
            )
        ),
    ] = UNSET,
    before: Annotated[str | None, strawberry.argument(description="Return the items before this cursor.")] = UNSET,
) -> None:
    """Take the four arguments of a page."""


_PAGE_ARGUMENTS = StrawberryResolver(_page_arguments).arguments
