"""Rows that are not a page: those that another refers to, or that belong to it, and those found by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphql import GraphQLList, GraphQLNonNull, GraphQLObjectType, get_nullable_type
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import VariableValues
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    TableValuedAlias,
    Text,
    Uuid,
    bindparam,
    case,
    column,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import CollectionAggregate

from app.db.pagination import constant
from app.db.statements import KEYS, select_all, table_of
from app.graphql.compiled.binding import Asked, understood
from app.graphql.compiled.plans import object_type
from app.graphql.compiled.statements import EMPTY, NULL, Json, Part, Scope, text_of
from app.graphql.node import node_named
from app.graphql.relations.declarations import Lookup, Nodes, Reference, Row, Rows
from app.security.viewer import Viewer

if TYPE_CHECKING:
    from app.graphql.compiled.compiler import Compiler


def reference(compiler: Compiler, declared: Reference, asked: Asked, columns: Row, scope: Scope) -> list[Part]:
    """Return the parts of the row that a row refers to."""
    row, type_ = _referred(compiler, declared, columns), object_type(asked.type)
    if isinstance(asked.type, GraphQLNonNull):
        scope.join(row)
        return compiler.object(type_, compiler.selected(type_, asked.details), row.c, scope)
    return [func.coalesce(_if_present(compiler, row, type_, asked, scope), NULL)]


def _referred(compiler: Compiler, declared: Reference, columns: Row) -> FromClause:
    """Return the row that another refers to, looked up by its key for each.

    OFFSET 0 keeps Postgres from making a plain join of it, whose hash join reads a whole table for one page and
    then sorts the page again: 0.075 instead of 0.12 ms for 50 products with their stores."""
    table = table_of(declared.model)
    statement = select_all(declared.model).where(table.c.id == declared.key(columns)).offset(constant(0))
    if declared.condition is not None:
        statement = statement.where(declared.condition(table.c))
    return statement.correlate_except(table).lateral(compiler.source("row_"))


def _if_present(
    compiler: Compiler, row: FromClause, type_: GraphQLObjectType, asked: Asked, scope: Scope
) -> ColumnElement[str]:
    """Return the text of the object that a row is, which is joined to those around it and may be missing."""
    scope.join(row, outer=True)
    parts = compiler.object(type_, compiler.selected(type_, asked.details), row.c, scope.optional())
    return case((row.c.id.is_not(None), text_of(parts)))


def rows(compiler: Compiler, declared: Rows, asked: Asked, columns: Row, scope: Scope) -> list[Part]:
    """Return the parts of the list of all rows that belong to a row."""
    statement = declared.statement(compiler.viewer).where(declared.relation(columns.id)).correlate(columns.id.table)
    found, type_ = statement.lateral(compiler.source("rows_")), object_type(asked.type)
    inner = Scope(found)
    parts = compiler.object(type_, compiler.selected(type_, asked.details), found.c, inner)
    text = inner.text_of_rows(parts, [found.c[name].asc() for name in declared.order])
    return [Json("["), compiler.gather(inner, scope, {"text": text}).c.text, Json("]")]


def lookup(compiler: Compiler, declared: Lookup, asked: Asked, scope: Scope) -> list[Part]:
    """Return the parts of the row with the key that the arguments and the viewer tell."""
    name, arguments = compiler.name("key_"), compiler.arguments(asked)

    def read(variables: VariableValues, viewer: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
        return None, {name: understood(declared.key, viewer, **arguments.read(variables))}

    compiler.bind(read, anew=True)
    return with_the_key(
        compiler, declared.statement(compiler.viewer), name, object_type(asked.type), asked.details, scope
    )


def nodes(compiler: Compiler, declared: Nodes, asked: Asked, scope: Scope) -> list[Part]:
    """Return the parts of what has the global ids: of one, or of many in a list."""
    if isinstance(get_nullable_type(asked.type), GraphQLList):
        return _many_nodes(compiler, declared, asked, scope)
    return _one_node(compiler, declared, asked, scope)


def _one_node(compiler: Compiler, declared: Nodes, asked: Asked, scope: Scope) -> list[Part]:
    """Return the parts of what has a global id, whose type is the shape of the arguments."""
    name, arguments = compiler.name("key_"), compiler.arguments(asked)

    def read(variables: VariableValues, _: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
        ((type_name, key),) = understood(declared.ids, **arguments.read(variables))
        return type_name, {name: key}

    type_name = compiler.bind(read, anew=asked.uses_variables)
    statement = node_named(type_name).by_key(compiler.viewer)
    return with_the_key(compiler, statement, name, compiler.type_named(type_name), asked.details, scope)


def with_the_key(
    compiler: Compiler, statement: Any, name: str, type_: GraphQLObjectType, details: list[FieldDetails], scope: Scope
) -> list[Part]:
    """Return the parts of the row that a statement finds by the key which is the parameter of this name."""
    key = bindparam(name, type_=Uuid(), required=False)
    found = _keyed(statement, key).subquery(compiler.source("rows_"))
    inner = Scope(found)
    parts = compiler.object(type_, compiler.selected(type_, details), found.c, inner)
    text = func.coalesce(func.string_agg(text_of(parts), EMPTY), NULL)
    return [compiler.gather(inner, scope, {"text": text}).c.text]


def with_the_keys(
    compiler: Compiler, statement: Any, name: str, type_: GraphQLObjectType, details: list[FieldDetails], scope: Scope
) -> list[Part]:
    """Return the parts of the list of the rows that a statement finds by the keys in the parameter of this name, in
    their order; one part is null where it finds fewer."""
    array: BindParameter[Any] = bindparam(name, type_=ARRAY(Uuid), required=False)
    keys = func.unnest(array).table_valued(column("key", Uuid), with_ordinality="place")
    keys = keys.render_derived(compiler.source("keys_"))
    row = _keyed(statement, keys.c.key).offset(constant(0)).correlate(keys).lateral(compiler.source("row_"))
    inner = Scope(keys)
    inner.join(row)
    parts = compiler.object(type_, compiler.selected(type_, details), row.c, inner)
    text = inner.text_of_rows(parts, [keys.c.place.asc()])
    if_all = case((func.count() == func.cardinality(array), text))
    return [Json("["), compiler.gather(inner, scope, {"text": if_all}).c.text, Json("]")]


def _many_nodes(compiler: Compiler, declared: Nodes, asked: Asked, scope: Scope) -> list[Part]:
    """Return the parts of the list of what has global ids, each in its place; which types they are of is the shape
    of the arguments, whatever their number. Of each type the rows are looked up one by one, as references are."""
    names, keys = (compiler.name(prefix) for prefix in ("types_", "keys_"))
    arguments = compiler.arguments(asked)

    def read(variables: VariableValues, _: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
        ids = understood(declared.ids, **arguments.read(variables))
        types = [type_name for type_name, _ in ids]
        return tuple(sorted(set(types))), {names: types, keys: [key for _, key in ids]}

    types = compiler.bind(read, anew=asked.uses_variables)
    if not types:
        return [Json("[]")]
    ids = _unnested(names, keys).render_derived(compiler.source("ids_"))
    inner = Scope(ids)

    def text(type_name: str) -> ColumnElement[str]:
        found = _keyed(node_named(type_name).by_key(compiler.viewer), ids.c.key).where(ids.c.type == type_name)
        row = found.offset(constant(0)).correlate(ids).lateral(compiler.source("row_"))
        return _if_present(compiler, row, compiler.type_named(type_name), asked, inner)

    texts = inner.text_of_rows([func.coalesce(*map(text, types), NULL)], [ids.c.place.asc()])
    return [Json("["), compiler.gather(inner, scope, {"text": texts}).c.text, Json("]")]


def _unnested(types: str, keys: str) -> TableValuedAlias:
    """Return the rows of two arrays, the parameters of these names: a type and a key, and their place."""
    arrays = (bindparam(name, type_=ARRAY(kind), required=False) for name, kind in ((types, Text), (keys, Uuid)))
    return func.unnest(*arrays).table_valued(column("type", Text), column("key", Uuid), with_ordinality="place")


def _keyed(statement: Any, key: ColumnElement[Any]) -> Any:
    """Return the statement for one key instead of the array `:keys`: Postgres would plan the search for an array anew
    each time (0.4 ms, where the search itself takes 0.06)."""

    def replacement(node: Any) -> Any:
        is_any_key = isinstance(node, CollectionAggregate) and any(part is KEYS for part in visitors.iterate(node))
        return key if is_any_key else None

    replaced: Any = visitors.replacement_traverse(statement, {}, replacement)  # type: ignore[call-overload]  # its types know no statement
    return replaced
