"""Compiles an operation: walks its selections, and asks each field what it means in SQL."""

from collections.abc import Callable
from typing import Any

import graphql
from graphql.execution.collect_fields import FieldDetails
from sqlalchemy import case, select

from app.db.statements import Prepared
from app.graphql.compiled.binding import Asked
from app.graphql.compiled.compilation import COST_OF_NULLABLE, COST_OF_TEXTS, BoundOperation, Compilation
from app.graphql.compiled.page import edge, pages
from app.graphql.compiled.plans import PAYLOAD_KEYS, Declined, NoPlan, Plan, Refused
from app.graphql.compiled.rows import joined, key_parameter, lookup, nodes, reference, rows, with_key, with_keys
from app.graphql.compiled.statements import NULL, Json, Part, Scope, identifier, parts_of_value, text_of, text_or_null
from app.graphql.node import type_shown_by
from app.graphql.relations import declarations
from app.graphql.relations.declarations import Row, Visible, declaration_of
from app.graphql.strawberry_internals import definition_of
from app.security.viewer import Viewer


def compile_plan(schema: Any, operation: BoundOperation, viewer: Viewer | None) -> Plan | NoPlan:
    """Return the plan of a query, or of what a subscription reads after an event, for viewers like this one; Refused if
    there may be one for other values."""
    compilation = Compilation(schema, operation, viewer, _field)
    root = compilation.schema.get_root_type(operation.definition.operation)
    assert root is not None, "the operation is valid"
    return _planned(compilation, lambda scope: [Json('{"data":'), *compilation.row(root, None, None, scope), Json("}")])


def compile_payload(
    schema: Any,
    operation: BoundOperation,
    viewer: Viewer | None,
    type_: graphql.GraphQLObjectType,
    details: list[FieldDetails],
    *,
    is_list: bool,
    limit: int,
) -> Plan | NoPlan:
    """Return the plan of the object that shows the row with the key PAYLOAD_KEYS, or of the list of those with these
    keys, as it is selected by a field that returns it; none if compiling it costs more than the limit."""
    compilation = Compilation(schema, operation, viewer, _field, limit)
    node_type = type_shown_by(type_.name)
    assert node_type is not None, "it shows a row"
    statement = node_type.by_key(compilation.viewer)
    if is_list:
        return _planned(
            compilation, lambda scope: with_keys(compilation, statement, PAYLOAD_KEYS, type_, details, scope)
        )
    key = key_parameter(PAYLOAD_KEYS)
    return _planned(compilation, lambda scope: with_key(compilation, statement, key, type_, details, scope))


def _planned(compilation: Compilation, parts: Callable[[Scope], list[Part]]) -> Plan | NoPlan:
    """Return the plan of the statement that returns these parts as one text."""
    scope = Scope()
    try:
        made = parts(scope)
    except Refused:
        raise
    except Declined as reason:
        return NoPlan(str(reason), tuple(compilation.bindings), compilation.cost)
    errors = [error.formatted for error in compilation.errors]
    if all(isinstance(part, Json) for part in made):
        data = "".join(str(part) for part in made).encode()
        return Plan("", (), {}, tuple(compilation.bindings), errors, data, compilation.cost)
    statement: Any = select(text_of(made).label("text"))
    if scope.source is not None:
        statement = statement.select_from(scope.source)
    prepared = Prepared(statement)
    constants = {**prepared.constants, **compilation.constants}
    return Plan(prepared.sql, prepared.names, constants, tuple(compilation.bindings), errors, cost=compilation.cost)


def _field(
    compilation: Compilation,
    columns: Row,
    scope: Scope,
    parent: graphql.GraphQLObjectType,
    name: str,
    details: list[FieldDetails],
) -> list[Part]:
    """Return the parts of a field of an object that is made of the columns of a row."""
    if name not in parent.fields:
        raise Declined(name)  # __schema and __type
    if name == "id" and columns is not None:
        return identifier(parent.name, columns)
    field = parent.fields[name]
    return _declared(compilation, parent, Asked(definition_of(field), field, details), columns, scope)


def _declared(
    compilation: Compilation, parent: graphql.GraphQLObjectType, asked: Asked, columns: Row, scope: Scope
) -> list[Part]:
    """Return the parts of a field by what it is declared to be."""
    declaration = declaration_of(asked.definition)
    if isinstance(declaration, declarations.Through):
        columns = joined(compilation, declaration.reference, columns, scope)
        declaration = declaration.declaration
    match declaration:
        case declarations.Column(expression, visible):
            return _scalar(compilation, expression, visible, asked.type, columns)
        case declarations.Computed(_, expression):
            return _scalar(compilation, expression, None, asked.type, columns)
        case declarations.Embedded() | declarations.Itself() | declarations.AsEdge() as declared:
            return _of_same_row(compilation, declared, asked, columns, scope)
        case declarations.Identifier(type_name):
            return identifier(type_name, columns)
        case declarations.Reference() as declared:
            return reference(compilation, declared, asked, columns, scope)
        case declarations.Rows() as declared:
            return rows(compilation, declared, asked, columns, scope)
        case declarations.Pages() as declared:
            return pages(compilation, declared, asked, columns, scope)
        case declarations.Lookup() as declared:
            return lookup(compilation, declared, asked, scope)
        case declarations.Nodes() as declared:
            return nodes(compilation, declared, asked, scope)
        case None:
            raise Declined(f"{parent.name}.{asked.definition.python_name} has a resolver only")


def _of_same_row(
    compilation: Compilation, declared: declarations.OfSameRow, asked: Asked, columns: Row, scope: Scope
) -> list[Part]:
    """Return the parts of an object that is made of the same row as the one it is a field of."""
    match declared:
        case declarations.Embedded():
            fields = declared.fields(columns)
            parts = compilation.row(asked.type, asked.details, fields, scope)
            if declared.present is None:
                return parts
            return [case((fields[declared.present].is_not(None), text_of(parts)), else_=NULL)]
        case declarations.Itself():
            return compilation.row(asked.type, asked.details, columns, scope)
        case declarations.AsEdge():
            return edge(compilation, declared.ordering, asked, columns, scope)


def _scalar(
    compilation: Compilation,
    expression: Callable[[Row], Any],
    visible: Visible | None,
    type_: graphql.GraphQLOutputType,
    columns: Row,
) -> list[Part]:
    if not graphql.is_leaf_type(graphql.get_named_type(type_)):
        raise Declined("neither a scalar nor declared to be anything else")
    try:
        value = expression(columns)
    except (KeyError, AttributeError):
        raise Declined("not a column") from None
    seen = True if visible is None else visible(compilation.viewer, columns)
    if seen is False:
        return [Json("null")]
    if seen is not True:
        value = case((seen, value))
    parts = parts_of_value(type_, value)
    if isinstance(graphql.get_nullable_type(type_), graphql.GraphQLList):
        compilation.spend(COST_OF_TEXTS)
    if isinstance(type_, graphql.GraphQLNonNull):
        return parts
    compilation.spend(COST_OF_NULLABLE)
    return [text_or_null(parts)]
