"""The page of a connection: its rows, and what the connection's fields make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from graphql import GraphQLObjectType
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import VariableValues
from sqlalchemy import ColumnElement, FromClause, Integer, Text, cast, false, func, true
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from app.db.pagination import CURSOR_VALUE, Listing, PageRequest, constant, paginate
from app.errors import RequestError
from app.graphql.compiled.binding import Asked, Selection, bound_filter, bound_request, shape_of, understood, values_of
from app.graphql.compiled.plans import Declined, object_type
from app.graphql.compiled.statements import Json, Part, Scope, cursor_of, json_object, shown_as, text_or_null
from app.graphql.relations.declarations import Pages, Row
from app.graphql.relations.resolving import requested
from app.security.viewer import Viewer, require

if TYPE_CHECKING:
    from app.graphql.compiled.compiler import Compiler

_NUMBER = "row_number"

Made = Callable[[FromClause | None, Scope], list[Part]]
"""Makes the parts of a field in the scope around the page, once the page has been gathered there."""


def pages(compiler: Compiler, declared: Pages, asked: Asked, columns: Row, scope: Scope) -> list[Part]:
    """Return the parts of a connection. Its page is read once, whatever is asked of it."""
    listing, request = _requested(compiler, declared, asked)
    if columns is not None:
        listing = _nested(compiler, listing, declared, columns)
    connection = object_type(asked.type)
    selection = compiler.selected(connection, asked.details)
    page = Page(compiler, listing, request, columns, counts_others=_counts_others(compiler, connection, selection))
    fields = [(key, page.field(connection, selected)) for key, selected in selection.items()]
    found = compiler.gather(page.scope, scope, page.texts) if page.texts else None
    return json_object((key, parts(found, scope)) for key, parts in fields)


def _requested(compiler: Compiler, declared: Pages, asked: Asked) -> tuple[Listing, PageRequest]:
    """Return the list and the page of it that are asked for, with parameters in the place of what is bound."""
    prefix, reader = compiler.name("page_"), compiler.arguments(asked)

    def chosen(variables: VariableValues) -> tuple[Any, Callable[[Any], Any], PageRequest]:
        return requested(declared, reader.read(variables))

    def read(variables: VariableValues, _: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
        filter, _ordering, request = understood(chosen, variables)
        return shape_of(filter, request), values_of(prefix, filter, request)

    compiler.bind(read, anew=asked.uses_variables)
    filter, ordering, request = chosen(compiler.variables)
    filter = bound_filter(prefix, filter)
    return _listing(compiler, declared, filter), bound_request(prefix, ordering(filter), request)


def _listing(compiler: Compiler, declared: Pages, filter: Any) -> Listing:
    """Return the list as viewers like this one see it; Declined where it is not for them."""
    try:
        require(declared.access, compiler.viewer)
    except RequestError as refusal:
        raise Declined("not for this viewer") from refusal
    return declared.collection.listing(compiler.viewer, filter)


def _nested(compiler: Compiler, listing: Listing, declared: Pages, columns: Row) -> Listing:
    """Return the listing of what belongs to a row, and is visible with it."""
    assert declared.relation is not None, "a nested connection says how it relates to its row"
    visible = True if declared.visible is None else declared.visible(compiler.viewer, columns)
    condition = visible if isinstance(visible, ColumnElement) else true() if visible else false()
    return Listing(listing.model, [*listing.conditions, declared.relation(columns.id), condition])


def _counts_others(compiler: Compiler, connection: GraphQLObjectType, selection: Selection) -> bool:
    """Tell whether the connection is asked for rows beyond its page."""
    asked = (details for details in selection.values() if details[0].node.name.value == "pageInfo")
    names = {
        sub[0].node.name.value
        for details in asked
        for sub in compiler.selected(connection.fields["pageInfo"].type, details).values()
    }
    return not names.isdisjoint({"hasNextPage", "hasPreviousPage"})


class Page:
    """The page of one connection. Fields add to `texts` what its SELECT returns."""

    def __init__(
        self, compiler: Compiler, listing: Listing, request: PageRequest, around: Row, *, counts_others: bool
    ) -> None:
        self._compiler = compiler
        self._request = request
        correlated = [] if around is None else [around.id.table]
        statement = listing.statement.correlate(*correlated)
        self._total_statement = listing.total().correlate(*correlated)
        name = compiler.source("rows_")
        if counts_others:  # by one row too many, which is numbered to be left out
            self._rows = paginate(statement, request).add_columns(self._number().label(_NUMBER)).lateral(name)
            wanted = self._rows.c[_NUMBER] <= constant(request.limit)
        else:
            self._rows, wanted = paginate(statement, request, spare=0).lateral(name), None
        self.scope = Scope(self._rows, only=wanted)
        self.texts: dict[str, ColumnElement[Any]] = {}
        self._counted: ColumnElement[int] | None = None

    def _number(self) -> ColumnElement[int]:
        ordering = self._request.ordering
        return func.row_number().over(
            order_by=_directed(ordering.columns, ordering.descending != self._request.backward)
        )

    def field(self, connection: GraphQLObjectType, details: list[FieldDetails]) -> Made:
        """Return what makes the parts of a field of the connection."""
        match details[0].node.name.value:
            case "nodes":
                return self._list(self._node(connection, "nodes", details))
            case "edges":
                return self._list(self._edge(connection, details))
            case "pageInfo":
                return self._page_info(connection, details)
            case "totalCount":
                return lambda found, scope: [cast(self._total(scope), Text)]
            case name:
                return _typename(connection, name)

    def _total(self, scope: Scope) -> ColumnElement[int]:
        """Return the number of rows on all pages, counted once however often it is asked for."""
        if self._counted is None:
            counted = self._total_statement.lateral(self._compiler.source("total_"))
            scope.join(counted)
            (self._counted,) = counted.c
        return self._counted

    def _list(self, parts: list[Part]) -> Made:
        name = self._add(self.scope.text_of_rows(parts, self._in_order()))
        return lambda found, scope: [Json("["), _column(found, name), Json("]")]

    def _node(self, parent: GraphQLObjectType, field: str, details: list[FieldDetails]) -> list[Part]:
        type_ = parent.fields[field].type
        selection = self._compiler.selected(type_, details)
        return self._compiler.object(object_type(type_), selection, self._rows.c, self.scope)

    def _edge(self, connection: GraphQLObjectType, details: list[FieldDetails]) -> list[Part]:
        type_ = connection.fields["edges"].type
        edge = object_type(type_)

        def parts(selected: list[FieldDetails]) -> list[Part]:
            match selected[0].node.name.value:
                case "cursor":
                    return [Json('"'), self._cursor(self._rows.c), Json('"')]
                case "node":
                    return self._node(edge, "node", selected)
                case name:
                    return _typename(edge, name)(None, self.scope)

        selection = self._compiler.selected(type_, details)
        return json_object((key, parts(selected)) for key, selected in selection.items())

    def _page_info(self, connection: GraphQLObjectType, details: list[FieldDetails]) -> Made:
        type_ = connection.fields["pageInfo"].type
        request = self._request

        def made(selected: list[FieldDetails]) -> Made:
            match selected[0].node.name.value:
                case "hasNextPage":
                    return self._others(known=request.before is not None, counted=not request.backward)
                case "hasPreviousPage":
                    return self._others(known=request.after is not None, counted=request.backward)
                case "startCursor":
                    return self._end_cursor(first=True)
                case "endCursor":
                    return self._end_cursor(first=False)
                case name:
                    return _typename(object_type(type_), name)

        fields = [(key, made(selected)) for key, selected in self._compiler.selected(type_, details).items()]
        return lambda found, scope: json_object((key, make(found, scope)) for key, make in fields)

    def _others(self, *, known: bool, counted: bool) -> Made:
        """Return what tells of rows beyond the page: known from a cursor, or counted by the one row too many."""
        if known or not counted:
            return lambda found, scope: [Json("true" if known else "false")]
        name = self._add(shown_as("Boolean", func.count() > constant(self._request.limit))[0])
        return lambda found, scope: [_column(found, name)]

    def _end_cursor(self, *, first: bool) -> Made:
        place = constant(1) if first else cast(self.scope.aggregate(func.count()), Integer)
        row = {name: self._all(self._rows.c[name])[place] for name in ("id", CURSOR_VALUE)}
        name = self._add(self._cursor(row))

        def parts(found: FromClause | None, scope: Scope) -> list[Part]:
            return [text_or_null([Json('"'), _column(found, name), Json('"')])]

        return parts

    def _all(self, column: ColumnElement[Any]) -> Any:
        """Return the column of all rows of the page, in their order."""
        values: Any = func.array_agg(aggregate_order_by(column, *self._in_order()), type_=ARRAY(column.type))
        return self.scope.aggregate(values)

    def _cursor(self, row: Row) -> ColumnElement[str]:
        ordering = self._request.ordering
        return cursor_of(ordering.label, row["id"], row[CURSOR_VALUE], ordering.column.type)

    def _in_order(self) -> list[ColumnElement[Any]]:
        """Return what the rows are ordered by: just what the page itself is, or Postgres sorts them once more."""
        ordering, rows = self._request.ordering, self._rows.c
        columns = [rows.id] if ordering.column is ordering.key else [rows[CURSOR_VALUE], rows.id]
        return _directed(columns, ordering.descending)

    def _add(self, text: ColumnElement[Any]) -> str:
        name = self._compiler.name("text_")
        self.texts[name] = text
        return name


def _typename(type_: GraphQLObjectType, name: str) -> Made:
    if name != "__typename":
        raise Declined(name)
    return lambda found, scope: [Json(f'"{type_.name}"')]


def _column(found: FromClause | None, name: str) -> ColumnElement[Any]:
    assert found is not None, "a text was added, so the page was gathered"
    return found.c[name]


def _directed(columns: Any, descending: bool) -> list[ColumnElement[Any]]:
    return [column.desc() if descending else column.asc() for column in columns]
