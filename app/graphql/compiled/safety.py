"""Refuses to build a schema that could show a text which holds QUOTE.

A response is text in which QUOTE takes the place of each quotation mark (`text`). So every text that a field shows must
come from a column that the database keeps QUOTE out of (`app/db/texts.py`), from a number, an id or a moment, or from
the code.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from graphql import GraphQLObjectType, GraphQLOutputType, get_named_type
from sqlalchemy.sql.elements import ColumnClause, Grouping, OperatorExpression
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import concat_op

from app.db.statements import select_all
from app.db.texts import QUOTE, is_free_of_quote
from app.errors import RequestError
from app.graphql.compiled.plans import Declined
from app.graphql.compiled.statements import parts_of_value
from app.graphql.node import is_node, node_named
from app.graphql.relations import declarations
from app.graphql.relations.declarations import declaration_of
from app.graphql.strawberry_internals import definition_of, graphql_schema
from app.security.viewer import Viewer

_ID: Any = sa.bindparam("id", type_=sa.Uuid(), required=False)
_VIEWERS = (None, Viewer(id=_ID, is_superuser=False), Viewer(id=_ID, is_superuser=True))
_TEXTLESS = (sa.Boolean, sa.DateTime, sa.Integer, sa.Numeric, sa.Uuid)
_PASS_ON = {"coalesce", "concat", "lower", "upper"}
"""Functions that return nothing but what they are given."""
_CONSTANT = re.compile(r"'[^'\x7f\\]*'|\d+")


def check_texts(schema: Any) -> None:
    """Raise TypeError if the compiled path could show a text that may hold QUOTE."""
    core_schema = graphql_schema(schema)
    assert core_schema.query_type is not None, "the schema has queries"
    for viewer in _VIEWERS:
        _Walk(core_schema.type_map, viewer).fields(core_schema.query_type, None)


def unguarded(value: sa.ColumnElement[Any]) -> Iterator[str]:
    """Yield each part of an expression that may hold QUOTE."""
    bases = value.base_columns
    if value not in bases:  # it stands for columns of a subquery, of an alias, or is a label
        for base in bases:
            yield from unguarded(base)
    elif isinstance(value, sa.TypeCoerce):
        yield from unguarded(value.clause)
    elif not isinstance(value.type, _TEXTLESS) and not _is_harmless(value):
        parts = _parts(value)
        if parts is None:
            yield str(value)
        for part in parts or ():
            yield from unguarded(part)


def _is_harmless(value: sa.ColumnElement[Any]) -> bool:
    """Return whether this, of which nothing else is part, cannot hold QUOTE."""
    match value:
        case sa.Column():
            return is_free_of_quote(value)
        case sa.BindParameter():
            return isinstance(value.value, str) and QUOTE not in value.value
        case ColumnClause(is_literal=True):
            return _CONSTANT.fullmatch(str(value)) is not None
    return isinstance(value, sa.Null)


def _parts(value: sa.ColumnElement[Any]) -> list[Any] | None:
    """Return what the text of an expression is made of; None if that is not known."""
    match value:
        case sa.Label() | Grouping():
            return [value.element]
        case sa.Cast():
            return [value.clause]
        case sa.Case():
            return [then for _, then in value.whens] + ([] if value.else_ is None else [value.else_])
        case OperatorExpression() if value.operator is concat_op:
            return list(value.get_children())
        case FunctionElement() if getattr(value, "name", None) in _PASS_ON:
            return list(value.clauses)
        case sa.ScalarSelect():
            return list(value.element.selected_columns)
    return None


class _Walk:
    """Looks at every field that a kind of viewer can reach, with the columns that its object is made of."""

    def __init__(self, types: Mapping[str, Any], viewer: Viewer | None) -> None:
        self._types = types
        self._viewer = viewer
        self._seen: set[int] = set()

    def fields(self, type_: GraphQLObjectType, of_row: Any) -> None:
        """Look at the fields of an object."""
        for name, field in type_.fields.items():
            declared, columns = declaration_of(definition_of(field)), of_row
            if isinstance(declared, declarations.Through):
                columns = select_all(declared.reference.model).selected_columns
                declared = declared.declaration
            if isinstance(declared, declarations.Column | declarations.Computed):
                _check(f"{type_.name}.{name}", field.type, declared.expression, columns)
            elif isinstance(declared, declarations.Embedded):
                self.fields(_object(field.type), dict(declared.fields(columns)))
            elif declared is not None and id(declared) not in self._seen:
                self._seen.add(id(declared))
                for each, statement in self._sources(declared, _object(field.type)):
                    self.fields(each, statement.selected_columns)

    def _sources(self, declared: Any, type_: GraphQLObjectType) -> Iterator[tuple[GraphQLObjectType, Any]]:
        """Yield the types of the objects that a field returns, and the statements that their rows come from."""
        match declared:
            case declarations.Reference():
                yield type_, select_all(declared.model)
            case declarations.Rows() | declarations.Lookup():
                yield type_, declared.statement(self._viewer)
            case declarations.Pages(collection):
                with suppress(RequestError):  # the list is not for this viewer
                    listing = collection.listing(self._viewer, collection.filter())
                    yield _object(type_.fields["nodes"].type), listing.statement
            case declarations.Nodes():
                for name in filter(is_node, self._types):
                    yield self._types[name], node_named(name).by_key(self._viewer)


def _check(name: str, type_: GraphQLOutputType, expression: Callable[[Any], Any], columns: Any) -> None:
    """Raise TypeError if a field is compiled, and its text may hold QUOTE."""
    try:
        value = expression(columns)
        parts_of_value(type_, value)
    except (KeyError, AttributeError, Declined):
        return
    for part in unguarded(value):
        raise TypeError(f"{name} shows {part}, which may hold U+007F: add the constraint that app/db/texts.py makes")


def _object(type_: GraphQLOutputType) -> Any:
    return get_named_type(type_)
