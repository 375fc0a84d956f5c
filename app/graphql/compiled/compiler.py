"""Compiles an operation: walks its selections, and asks each field what it means in SQL."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    OperationDefinitionNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    print_ast,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values
from sqlalchemy import ColumnElement, FromClause, Uuid, bindparam, case, false, func, select, true
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import CollectionAggregate
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from app.errors import RequestError
from app.graphql.compiled.binding import bound_criteria, bound_request, shape_of, values_of
from app.graphql.compiled.meaning import Columns, Embedded, Lookup, Pages, Reference, Rows, Scalar, meaning_of
from app.graphql.compiled.page import Page
from app.graphql.compiled.plans import VIEWER, Declined, Plan, Refused, Site, object_type
from app.graphql.compiled.statements import EMPTY, NULL, ROOT, Json, Part, Scope, Writer, json_object, shown_as
from app.graphql.compiled.text import Template
from app.graphql.connections import requested_page
from app.pagination import Listing, PageRequest, constant
from app.security.viewer import Viewer
from app.sql import KEYS, table_of

_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects are untyped
_UNDERSTOOD_DIRECTIVES = {"skip", "include"}
# Compiling takes its time on the event loop, and more than twice as much for twice the fields: 0.1 s for 200.
_MAX_FIELDS = 200
_MAX_DEPTH = 15

Selection = Mapping[str, list[FieldDetails]]
"""The fields selected of an object, by the keys of the response; those of one key are merged."""


class Operation(NamedTuple):
    """What is to be compiled, with the values of its variables now."""

    definition: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues


def compile_plan(schema: Any, operation: Operation, viewer: Viewer | None) -> Plan:
    """Return the plan of an operation for viewers like this one; Declined where a part of it is not understood."""
    return Compiler(schema, operation, viewer).plan()


class Compiler:
    """Compiles one operation for one kind of viewer."""

    def __init__(self, schema: Any, operation: Operation, viewer: Viewer | None) -> None:
        self.writer = Writer()
        self._schema = schema
        self._operation = operation
        self._fragments = {name: FragmentDetails(definition) for name, definition in operation.fragments.items()}
        self._asking = viewer
        # The rules see a parameter in the place of the viewer's id, so that the plan serves every viewer of the kind.
        parameter: Any = bindparam(VIEWER, type_=Uuid(), required=False)
        self._viewer = viewer and Viewer(id=parameter, is_superuser=viewer.is_superuser)
        self._fields = 0
        self._depth = 0
        self._sites: list[Site] = []
        self._constants: dict[str, Any] = {}

    def plan(self) -> Plan:
        """Return the plan of the operation."""
        scope = Scope(ROOT, None)
        query: GraphQLObjectType = self._schema._schema.query_type
        data = self.object(query, self._root_selection(query), None, scope)
        text = self.writer.text([Json('{"data":'), *data, Json("}")], ROOT)
        levels = tuple(scope.counts)
        statement: Any = select(text.label("text"), *(scope.counts[level] for level in levels))
        if scope.source is not None:
            statement = statement.select_from(scope.source)
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return Plan(
            sql=str(compiled),
            names=tuple(compiled.positiontup or ()),
            constants={**_constants(compiled), **self._constants},
            sites=tuple(self._sites),
            levels=levels,
            template=Template(dict(self.writer.quotes)),
        )

    def object(self, type_: GraphQLObjectType, selection: Selection, columns: Columns, scope: Scope) -> list[Part]:
        """Return the parts of an object of this type, made of the columns of a row."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Declined("too deep")
        parts = json_object((key, self._field(type_, details, columns, scope)) for key, details in selection.items())
        self._depth -= 1
        return parts

    def selected(self, type_: GraphQLOutputType, details: list[FieldDetails]) -> Selection:
        """Return what is selected of the object that a field returns."""
        operation = self._operation
        return self._counted(
            collect_subfields(
                self._schema._schema,
                self._fragments,
                operation.variables,
                operation.definition,
                object_type(type_),
                details,
            ).grouped_field_set
        )

    def _root_selection(self, query: GraphQLObjectType) -> Selection:
        operation = self._operation
        return self._counted(
            collect_fields(
                self._schema._schema, self._fragments, operation.variables, query, operation.definition
            ).grouped_field_set
        )

    def _counted(self, selection: Selection) -> Selection:
        self._fields += len(selection)
        if self._fields > _MAX_FIELDS:
            raise Declined("too many fields")
        return selection

    def _field(
        self, parent: GraphQLObjectType, details: list[FieldDetails], columns: Columns, scope: Scope
    ) -> list[Part]:
        _refuse_directives(details)
        name = details[0].node.name.value
        if name == "__typename":
            return [Json(f'"{parent.name}"')]
        if name not in parent.fields:
            raise Declined(name)  # __schema and __type
        field = parent.fields[name]
        definition: StrawberryField = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        if name == "id" and columns is not None:
            return [Json(f'"{parent.name}_'), shown_as("ID", columns.id)[0], Json('"')]
        match meaning_of(definition):
            case Scalar() as meaning:
                return self._scalar(meaning, field.type, columns, scope)
            case Embedded(fields):
                embedded = _Named(fields(columns))
                return self.object(object_type(field.type), self.selected(field.type, details), embedded, scope)
            case Reference() as meaning:
                return self._reference(meaning, field.type, details, columns, scope)
            case Rows() as meaning:
                return self._rows(meaning, field.type, details, columns, scope)
            case Pages() as meaning:
                return self._pages(meaning, definition, field, details, columns, scope)
            case Lookup() as meaning:
                return self._lookup(meaning, definition, field, details, scope)
            case None:
                raise Declined(f"{parent.name}.{name} has a resolver only")

    def _scalar(self, meaning: Scalar, type_: GraphQLOutputType, columns: Columns, scope: Scope) -> list[Part]:
        nullable = not isinstance(type_, GraphQLNonNull)
        if isinstance(get_nullable_type(type_), GraphQLList) or not is_leaf_type(get_named_type(type_)):
            raise Declined("neither a scalar nor said to be anything else")
        try:
            value = meaning.expression(columns)
        except (KeyError, AttributeError):
            raise Declined("not a column") from None
        shown = True if meaning.shown is None else meaning.shown(self._viewer, columns)
        if shown is False:
            return [Json("null")]
        if shown is not True:
            value = case((shown, value))
        text, quoted = shown_as(get_named_type(type_).name, value)
        parts: list[Part] = [Json('"'), text, Json('"')] if quoted else [text]
        return [self.writer.optional(parts, value, scope)] if nullable else parts

    def _reference(
        self, meaning: Reference, type_: GraphQLOutputType, details: list[FieldDetails], columns: Columns, scope: Scope
    ) -> list[Part]:
        row = self._row(meaning, columns)
        selection = self.selected(type_, details)
        if isinstance(type_, GraphQLNonNull):
            scope.join(row)
            return self.object(object_type(type_), selection, row.c, scope)
        scope.join(row, outer=True)
        level = self.writer.name("optional_")
        scope.count_present(level, row.c.id)
        parts = self.object(object_type(type_), selection, row.c, scope.optional(level))
        return [case((row.c.id.is_not(None), self.writer.text(parts, level)), else_=NULL)]

    def _row(self, meaning: Reference, columns: Columns) -> FromClause:
        """Return the row that another refers to, looked up by its key for each.

        OFFSET 0 keeps Postgres from making a plain join of it, whose hash join reads a whole table for one page and
        then sorts the page again: 0.075 instead of 0.12 ms for 50 products with their stores."""
        table = table_of(meaning.model).alias(self.writer.name("referred_"))
        statement = select(table).where(table.c.id == meaning.key(columns)).offset(constant(0))
        if meaning.condition is not None:
            statement = statement.where(meaning.condition(table.c))
        return statement.correlate_except(table).lateral(self.writer.name("row_"))

    def _rows(
        self, meaning: Rows, type_: GraphQLOutputType, details: list[FieldDetails], columns: Columns, scope: Scope
    ) -> list[Part]:
        statement = meaning.statement(self._viewer).where(meaning.relation(columns.id)).correlate(columns.id.table)
        rows = statement.lateral(self.writer.name("rows_"))
        inner = Scope(self.writer.name("level_"), rows)
        parts = self.object(object_type(type_), self.selected(type_, details), rows.c, inner)
        text = self.writer.rows(inner, parts, [rows.c[name].asc() for name in meaning.order])
        return [Json("["), self.gather(inner, scope, {"text": text}).c.text, Json("]")]

    def gather(self, inner: Scope, scope: Scope, texts: Mapping[str, ColumnElement[Any]]) -> FromClause:
        """Return the SELECT of a scope as a subquery of another, which counts what it has counted."""
        assert inner.source is not None
        inner.counts[inner.level] = inner.aggregate(func.count())
        found = (
            select(
                *(text.label(name) for name, text in texts.items()),
                *(count.label(level) for level, count in inner.counts.items()),
            )
            .select_from(inner.source)
            .lateral(self.writer.name("found_"))
        )
        scope.count_below(found.c, inner.counts)
        scope.join(found)
        return found

    def _lookup(
        self,
        meaning: Lookup,
        definition: StrawberryField,
        field: GraphQLField,
        details: list[FieldDetails],
        scope: Scope,
    ) -> list[Part]:
        name = self.writer.name("key_")

        def read(variables: VariableValues, viewer: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
            key = _understood(meaning.key, viewer, **self._arguments(definition, field, details, variables))
            return None, {name: key}

        self._bind(read, anew=True)
        rows = _with_key(meaning.statement(self._viewer), name).subquery(self.writer.name("rows_"))
        inner = Scope(self.writer.name("level_"), rows)
        parts = self.object(object_type(field.type), self.selected(field.type, details), rows.c, inner)
        text = func.coalesce(func.string_agg(self.writer.text(parts, inner.level), EMPTY), NULL)
        return [self.gather(inner, scope, {"text": text}).c.text]

    def _pages(
        self,
        meaning: Pages,
        definition: StrawberryField,
        field: GraphQLField,
        details: list[FieldDetails],
        columns: Columns,
        scope: Scope,
    ) -> list[Part]:
        prefix = self.writer.name("page_")

        def chosen(variables: VariableValues) -> tuple[Any, Callable[[Any], Any], PageRequest]:
            arguments = self._arguments(definition, field, details, variables)
            page = [arguments.pop(name, None) for name in ("first", "after", "last", "before")]
            criteria, ordering = meaning.choose(**arguments)
            return criteria, ordering, requested_page(ordering(criteria), *page)

        def read(variables: VariableValues, _: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
            criteria, _ordering, request = _understood(chosen, variables)
            return shape_of(criteria, request), values_of(prefix, criteria, request)

        self._bind(read, anew=_uses_variables(details))
        criteria, ordering, request = chosen(self._operation.variables)
        criteria = bound_criteria(prefix, criteria)
        request = bound_request(prefix, ordering(criteria), request)
        listing = _understood(meaning.listing, self._viewer, criteria)
        if columns is not None:
            listing = self._nested(listing, meaning, columns)
        selection = self.selected(field.type, details)
        page = Page(self, listing, request, counts_others=self._counts_others(field, selection))
        return self._connection(page, object_type(field.type), selection, scope)

    def _nested(self, listing: Listing, meaning: Pages, columns: Columns) -> Listing:
        """Return the listing of what belongs to a row, and is shown with it."""
        assert meaning.relation is not None, "a nested connection says how it relates to its row"
        shown = True if meaning.shown is None else meaning.shown(self._viewer, columns)
        condition = shown if isinstance(shown, ColumnElement) else true() if shown else false()
        conditions = [*listing.conditions, meaning.relation(columns.id), condition]
        return Listing(listing.statement.correlate(columns.id.table), conditions)

    def _counts_others(self, field: GraphQLField, selection: Selection) -> bool:
        """Tell whether the connection is asked for rows beyond its page."""
        connection = object_type(field.type)
        asked = (details for details in selection.values() if details[0].node.name.value == "pageInfo")
        names = {
            sub[0].node.name.value
            for details in asked
            for sub in self.selected(connection.fields["pageInfo"].type, details).values()
        }
        return not names.isdisjoint({"hasNextPage", "hasPreviousPage"})

    def _connection(self, page: Page, connection: GraphQLObjectType, selection: Selection, scope: Scope) -> list[Part]:
        """Return the parts of a connection. Its page is read once, whatever is asked of it."""
        fields = [(key, page.field(connection, selected)) for key, selected in selection.items()]
        found = self.gather(page.scope, scope, page.texts) if page.texts else None
        return json_object((key, parts(found, scope)) for key, parts in fields)

    def _arguments(
        self, definition: StrawberryField, field: GraphQLField, details: list[FieldDetails], variables: VariableValues
    ) -> dict[str, Any]:
        values = _understood(get_argument_values, field, details[0].node, variables)
        registry = self._schema.schema_converter.scalar_registry
        return convert_arguments(values, definition.arguments, registry, self._schema.config)

    def _bind(
        self, read: Callable[[VariableValues, Viewer | None], tuple[Any, Mapping[str, Any]]], *, anew: bool
    ) -> None:
        shape, values = read(self._operation.variables, self._asking)
        if anew:
            self._sites.append(Site(shape, read))
        else:
            self._constants.update(values)


class _Named(dict[str, Any]):
    """Expressions by the names of the fields that show them, as columns are."""


def _constants(compiled: Any) -> dict[str, Any]:
    """Return the values that the statement itself has bound, as the driver takes them."""
    processors = compiled._bind_processors
    return {
        name: processors[name](value) if name in processors and value is not None else value
        for name, value in compiled.params.items()
    }


def _with_key(statement: Any, name: str) -> Any:
    """Return the statement for one key, the parameter of this name, instead of the array `:keys`: Postgres would
    plan the search for an array anew each time (0.4 ms, where the search itself takes 0.06)."""
    key = bindparam(name, type_=Uuid(), required=False)

    def replacement(node: Any) -> Any:
        is_any_key = isinstance(node, CollectionAggregate) and any(part is KEYS for part in visitors.iterate(node))
        return key if is_any_key else None

    replaced: Any = visitors.replacement_traverse(statement, {}, replacement)  # type: ignore[call-overload]  # its types know no statement
    return replaced


def _understood(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call what checks arguments; what it refuses is declined, so that the ordinary lane tells why."""
    try:
        return function(*arguments, **named)
    except (RequestError, GraphQLError) as refusal:
        raise Refused("refused arguments") from refusal


def _refuse_directives(details: list[FieldDetails]) -> None:
    for detail in details:
        directives = {directive.name.value for directive in detail.node.directives or ()}
        if detail.defer_usage is not None or directives - _UNDERSTOOD_DIRECTIVES:
            raise Declined("a directive")


def _uses_variables(details: list[FieldDetails]) -> bool:
    return any("$" in print_ast(argument) for argument in details[0].node.arguments or ())
