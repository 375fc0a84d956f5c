"""Compiles an operation: walks its selections, and asks each field what it means in SQL."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import graphql
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from sqlalchemy import ColumnElement, FromClause, Uuid, bindparam, case, select

from app.db.statements import Prepared
from app.graphql.compiled.binding import Arguments, Asked, Selection
from app.graphql.compiled.page import pages
from app.graphql.compiled.plans import NODE_KEY, NODE_KEYS, VIEWER, Declined, NoPlan, Plan, Refused, Site, object_type
from app.graphql.compiled.rows import lookup, nodes, reference, rows, with_the_key, with_the_keys
from app.graphql.compiled.statements import (
    Json,
    Part,
    Scope,
    json_object,
    parts_of_value,
    shown_as,
    text_of,
    text_or_null,
)
from app.graphql.relations.declarations import (
    Column,
    Computed,
    Embedded,
    Lookup,
    Nodes,
    Pages,
    Reference,
    Row,
    Rows,
    Visible,
    declaration_of,
)
from app.graphql.strawberry_internals import definition_of, graphql_schema
from app.security.viewer import Viewer

_UNDERSTOOD_DIRECTIVES = {"skip", "include"}
# Compiling takes time on the event loop. A plain field takes 0.03 ms and costs 1; one that may be null takes 0.09 ms,
# a list of texts 0.17 ms, and each SELECT within 0.3 to 0.9 ms. The largest statements take 30 to 90 ms.
_MAX_COST = 1000
_COST_OF_NULLABLE = 2
_COST_OF_TEXTS = 4
_COST_OF_SOURCE = 15
_MAX_DEPTH = 30


class BoundOperation(NamedTuple):
    """What is to be compiled, with the values of its variables now."""

    definition: graphql.OperationDefinitionNode
    fragments: Mapping[str, graphql.FragmentDefinitionNode]
    variables: VariableValues


def compile_plan(schema: Any, operation: BoundOperation, viewer: Viewer | None) -> Plan | NoPlan:
    """Return the plan of an operation for viewers like this one; Refused where there may be one for other values."""
    compiler = Compiler(schema, operation, viewer)
    return _attempted(compiler, compiler.plan)


def compile_node(
    schema: Any,
    operation: BoundOperation,
    viewer: Viewer | None,
    type_: graphql.GraphQLObjectType,
    statement: Callable[[Viewer | None], Any],
    details: list[FieldDetails],
) -> Plan | NoPlan:
    """Return the plan of the object with the key NODE_KEY, as it is selected by a field that returns it."""
    compiler = Compiler(schema, operation, viewer)
    return _attempted(compiler, lambda: compiler.node_plan(type_, statement, details))


def compile_nodes(
    schema: Any,
    operation: BoundOperation,
    viewer: Viewer | None,
    type_: graphql.GraphQLObjectType,
    statement: Callable[[Viewer | None], Any],
    details: list[FieldDetails],
) -> Plan | NoPlan:
    """Return the plan of the list of objects with the keys NODE_KEYS, as it is selected by a field that returns it."""
    compiler = Compiler(schema, operation, viewer)
    return _attempted(compiler, lambda: compiler.nodes_plan(type_, statement, details))


def _attempted(compiler: "Compiler", plan: Callable[[], Plan]) -> Plan | NoPlan:
    try:
        return plan()
    except Refused:
        raise
    except Declined as reason:
        return NoPlan(str(reason), tuple(compiler.sites))


class Compiler:
    """Compiles one operation for one kind of viewer."""

    def __init__(self, schema: Any, operation: BoundOperation, viewer: Viewer | None) -> None:
        self.variables = operation.variables
        self.sites: list[Site] = []
        self._schema = schema
        self._graphql_schema = graphql_schema(schema)
        self._operation = operation
        self._fragments = {name: FragmentDetails(definition) for name, definition in operation.fragments.items()}
        self._asking = viewer
        # The rules see a parameter in the place of the viewer's id, so that the plan serves every viewer of the kind.
        parameter: Any = bindparam(VIEWER, type_=Uuid(), required=False)
        self.viewer = viewer and Viewer(id=parameter, is_superuser=viewer.is_superuser)
        self._cost = 0
        self._depth = 0
        self._constants: dict[str, Any] = {}
        self._names = 0

    def plan(self) -> Plan:
        """Return the plan of the operation."""
        scope = Scope()
        query = self._graphql_schema.query_type
        assert query is not None, "the schema has queries"
        data = self.object(query, self._root_selection(query), None, scope)
        return self._planned([Json('{"data":'), *data, Json("}")], scope)

    def node_plan(
        self, type_: graphql.GraphQLObjectType, statement: Callable[[Viewer | None], Any], details: list[FieldDetails]
    ) -> Plan:
        """Return the plan of the object that the statement finds by the key NODE_KEY."""
        scope = Scope()
        return self._planned(with_the_key(self, statement(self.viewer), NODE_KEY, type_, details, scope), scope)

    def nodes_plan(
        self, type_: graphql.GraphQLObjectType, statement: Callable[[Viewer | None], Any], details: list[FieldDetails]
    ) -> Plan:
        """Return the plan of the objects that the statement finds by the keys NODE_KEYS; null where it finds fewer."""
        scope = Scope()
        return self._planned(with_the_keys(self, statement(self.viewer), NODE_KEYS, type_, details, scope), scope)

    def _planned(self, parts: list[Part], scope: Scope) -> Plan:
        """Return the plan of the statement that returns these parts as one text."""
        statement: Any = select(text_of(parts).label("text"))
        if scope.source is not None:
            statement = statement.select_from(scope.source)
        prepared = Prepared(statement)
        return Plan(
            sql=prepared.sql,
            names=prepared.names,
            constants={**prepared.constants, **self._constants},
            sites=tuple(self.sites),
        )

    def object(self, type_: graphql.GraphQLObjectType, selection: Selection, columns: Row, scope: Scope) -> list[Part]:
        """Return the parts of an object of this type, made of the columns of a row."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Declined("too deep")
        parts = json_object((key, self._field(type_, details, columns, scope)) for key, details in selection.items())
        self._depth -= 1
        return parts

    def selected(self, type_: graphql.GraphQLOutputType, details: list[FieldDetails]) -> Selection:
        """Return what is selected of the object that a field returns."""
        selection = collect_subfields(
            self._graphql_schema,
            self._fragments,
            self.variables,
            self._operation.definition,
            object_type(type_),
            details,
        ).grouped_field_set
        self._spend(len(selection))
        return selection

    def _root_selection(self, query: graphql.GraphQLObjectType) -> Selection:
        selection = collect_fields(
            self._graphql_schema, self._fragments, self.variables, query, self._operation.definition
        ).grouped_field_set
        self._spend(len(selection))
        return selection

    def _spend(self, cost: int) -> None:
        self._cost += cost
        if self._cost > _MAX_COST:
            raise Declined("too large")

    def _field(
        self, parent: graphql.GraphQLObjectType, details: list[FieldDetails], columns: Row, scope: Scope
    ) -> list[Part]:
        _refuse_directives(details)
        name = details[0].node.name.value
        if name == "__typename":
            return [Json(f'"{parent.name}"')]
        if name not in parent.fields:
            raise Declined(name)  # __schema and __type
        field = parent.fields[name]
        asked = Asked(definition_of(field), field, details)
        if name == "id" and columns is not None:
            return [Json(f'"{parent.name}_'), shown_as("ID", columns.id)[0], Json('"')]
        return self._declared(parent, asked, columns, scope)

    def _declared(self, parent: graphql.GraphQLObjectType, asked: Asked, columns: Row, scope: Scope) -> list[Part]:
        """Return the parts of a field by what it is declared to be."""
        match declaration_of(asked.definition):
            case Column(expression, visible):
                return self._scalar(expression, visible, asked.type, columns)
            case Computed(_, expression):
                return self._scalar(expression, None, asked.type, columns)
            case Embedded() as declared:
                embedded = _Named(declared.fields(columns))
                return self.object(object_type(asked.type), self.selected(asked.type, asked.details), embedded, scope)
            case Reference() as declared:
                return reference(self, declared, asked, columns, scope)
            case Rows() as declared:
                return rows(self, declared, asked, columns, scope)
            case Pages() as declared:
                return pages(self, declared, asked, columns, scope)
            case Lookup() as declared:
                return lookup(self, declared, asked, scope)
            case Nodes() as declared:
                return nodes(self, declared, asked, scope)
            case None:
                raise Declined(f"{parent.name}.{asked.definition.python_name} has a resolver only")

    def _scalar(
        self, expression: Callable[[Row], Any], visible: Visible | None, type_: graphql.GraphQLOutputType, columns: Row
    ) -> list[Part]:
        if not graphql.is_leaf_type(graphql.get_named_type(type_)):
            raise Declined("neither a scalar nor declared to be anything else")
        try:
            value = expression(columns)
        except (KeyError, AttributeError):
            raise Declined("not a column") from None
        seen = True if visible is None else visible(self.viewer, columns)
        if seen is False:
            return [Json("null")]
        if seen is not True:
            value = case((seen, value))
        parts = parts_of_value(type_, value)
        if isinstance(graphql.get_nullable_type(type_), graphql.GraphQLList):
            self._spend(_COST_OF_TEXTS)
        if isinstance(type_, graphql.GraphQLNonNull):
            return parts
        self._spend(_COST_OF_NULLABLE)
        return [text_or_null(parts)]

    def gather(self, inner: Scope, scope: Scope, texts: Mapping[str, ColumnElement[Any]]) -> FromClause:
        """Read the aggregates of a scope in another, as the columns of a subquery."""
        assert inner.source is not None
        columns = (text.label(name) for name, text in texts.items())
        found = select(*columns).select_from(inner.source).lateral(self.source("found_"))
        scope.join(found)
        return found

    def name(self, prefix: str) -> str:
        """Return a name that nothing else in the statement has."""
        self._names += 1
        return f"{prefix}{self._names}"

    def source(self, prefix: str) -> str:
        """Return the name of another SELECT in the statement."""
        self._spend(_COST_OF_SOURCE)
        return self.name(prefix)

    def type_named(self, name: str) -> graphql.GraphQLObjectType:
        """Return the object type of this name."""
        return cast(graphql.GraphQLObjectType, self._graphql_schema.type_map[name])

    def arguments(self, asked: Asked) -> Arguments:
        """Return what reads the arguments of a field."""
        return Arguments(asked, self._schema)

    def bind(
        self, read: Callable[[VariableValues, Viewer | None], tuple[Any, Mapping[str, Any]]], *, anew: bool
    ) -> Any:
        """Bind arguments, for each request anew or once; return their shape."""
        shape, values = read(self.variables, self._asking)
        if anew:
            self.sites.append(Site(shape, read))
        else:
            self._constants.update(values)
        return shape


class _Named(dict[str, Any]):
    """Expressions by the names of the fields that show them, as columns are."""


def _refuse_directives(details: list[FieldDetails]) -> None:
    for detail in details:
        directives = {directive.name.value for directive in detail.node.directives or ()}
        if detail.defer_usage is not None or directives - _UNDERSTOOD_DIRECTIVES:
            raise Declined("a directive")
