"""The page of a connection: its rows, and what the connection's fields make of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from graphql import GraphQLObjectType, GraphQLOutputType
from graphql.execution.collect_fields import FieldDetails
from sqlalchemy import ColumnElement, Integer, Text, case, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from app.db.pagination import (
    CURSOR_VALUE,
    MOST_COUNTED,
    Listing,
    Ordering,
    PageRequest,
    constant,
    paginate,
    past_cursor,
    total_of,
)
from app.errors import RequestError
from app.graphql.compiled.binding import Asked, bound_filter, bound_request, shape_and_values
from app.graphql.compiled.compilation import Compilation, object_type
from app.graphql.compiled.plans import Declined
from app.graphql.compiled.statements import (
    NULL,
    TRUE,
    Columns,
    Json,
    Part,
    Scope,
    cursor_of,
    shown_as,
    text_of,
    text_or_null,
)
from app.graphql.relations.declarations import Pages, Row
from app.graphql.relations.resolving import requested
from app.security.viewer import Viewer, require

_NUMBER = "row_number"


def pages(compilation: Compilation, declared: Pages, asked: Asked, columns: Row, scope: Scope) -> list[Part]:
    """Return the parts of a connection, null where it isn't visible. Its page is read once, whatever is asked of it."""
    try:
        require(declared.access, compilation.viewer)
    except RequestError as refusal:
        compilation.bind(asked, lambda *_: (None, {}))  # arguments that don't fit their types are reported first
        return compilation.refused(asked, refusal)
    visible = True if declared.visible is None else declared.visible(compilation.viewer, columns)
    page = _Page(compilation, declared, asked, columns, scope, visible)
    if visible is False:
        return [Json("null")]
    parts = page.connection(asked)
    return parts if visible is True else [case((visible, text_of(parts)), else_=NULL)]


def _requested(
    compilation: Compilation, declared: Pages, asked: Asked, columns: Row, visible: Any
) -> tuple[Listing, PageRequest]:
    """Return the list and the page of it that are asked for, with parameters in place of what is bound."""
    prefix = compilation.name("page_")

    def read(arguments: dict[str, Any], _: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
        filter, _ordering, request = requested(declared, arguments)
        return shape_and_values(prefix, filter, request)

    filter, ordering, request = requested(declared, compilation.bind(asked, read))
    bound = bound_filter(prefix, filter)
    listing = declared.collection.listing(compilation.viewer, bound)
    if columns is not None:  # only what belongs to the row; what isn't visible with it is not even read
        assert declared.relation is not None, "a nested connection says how it relates to its row"
        also = [visible] if isinstance(visible, ColumnElement) else []
        conditions = [*listing.conditions, declared.relation(columns.id), *also]
        listing = replace(listing, conditions=conditions)
    return listing, bound_request(prefix, ordering(bound), request)


def _counts_others(compilation: Compilation, asked: Asked) -> bool:
    """Return whether the connection is asked for rows beyond its page."""
    connection = object_type(asked.type)
    info = object_type(connection.fields["pageInfo"].type)
    return any(
        selected[0].node.name.value in ("hasNextPage", "hasPreviousPage")
        for details in compilation.selected(connection, asked.details).values()
        if details[0].node.name.value == "pageInfo"
        for selected in compilation.selected(info, details).values()
    )


def edge(compilation: Compilation, ordering: Ordering, asked: Asked, columns: Row, scope: Scope) -> list[Part]:
    """Return the parts of an edge whose node is the row itself."""
    row = {"id": columns.id, CURSOR_VALUE: columns[ordering.attribute]}

    def field(parent: GraphQLObjectType, name: str, details: list[FieldDetails]) -> list[Part]:
        if name == "cursor":
            return [Json('"'), cursor_of(ordering, row), Json('"')]
        return compilation.row(parent.fields[name].type, details, columns, scope)

    return compilation.object(asked.type, asked.details, field)


class _Page:
    """The page of one connection, whose SELECT returns a text for each field of the connection."""

    def __init__(
        self, compilation: Compilation, declared: Pages, asked: Asked, columns: Row, around: Scope, visible: Any
    ) -> None:
        listing, request = _requested(compilation, declared, asked, columns, visible)
        self._compilation, self._request, self._around = compilation, request, around
        counts_others = _counts_others(compilation, asked)
        correlated = [] if columns is None else [columns.id.table]
        statement = self._statement = listing.statement.correlate(*correlated)
        self._total_statement = total_of(statement, listing.search)
        name = compilation.source("rows_")
        if counts_others:  # by one row too many, which is numbered to be left out
            read = paginate(statement, request).lateral(compilation.source("read_"))
            backward = request.ordering.descending != request.backward
            number = func.row_number().over(order_by=_directed(_in_order_of(request.ordering, read.c), backward))
            found = select(read, number.label(_NUMBER)).lateral(name)
        else:
            found = paginate(statement, request, spare=0).lateral(name)
        self._rows = Columns(found)
        wanted = self._rows[_NUMBER] <= constant(request.limit) if counts_others else None
        self._past: dict[bool, ColumnElement[bool] | None] = {}
        """Whether there are rows past the cursor after the page, and the one before it."""
        self._scope = Scope(found, only=wanted, name=compilation.name("found_"))

    def connection(self, asked: Asked) -> list[Part]:
        """Return the parts of the connection."""
        parts = self._object(
            asked.type,
            asked.details,
            nodes=lambda *selected: self._list(self._node(*selected)),
            edges=lambda *selected: self._list(self._edge(*selected)),
            pageInfo=self._page_info,
            totalCount=lambda *_: [cast(func.least(self._total, constant(MOST_COUNTED)), Text)],
            totalCountIsExact=lambda *_: [shown_as("Boolean", self._total <= constant(MOST_COUNTED))[0]],
        )
        if self._scope.texts:
            self._compilation.gather(self._scope, self._around)
        return parts

    def _object(
        self,
        type_: GraphQLOutputType,
        details: list[FieldDetails],
        **fields: Callable[[GraphQLOutputType, list[FieldDetails]], list[Part]],
    ) -> list[Part]:
        """Return the parts of an object that has these fields."""

        def field(parent: GraphQLObjectType, name: str, details: list[FieldDetails]) -> list[Part]:
            if name not in fields:
                raise Declined(name)
            return fields[name](parent.fields[name].type, details)

        return self._compilation.object(type_, details, field)

    @cached_property
    def _total(self) -> ColumnElement[int]:
        """The number of rows, of at most one more than MOST_COUNTED, counted once however often it is asked for."""
        counted = self._total_statement.lateral(self._compilation.source("total_"))
        self._around.join(counted)
        (total,) = counted.c
        return total

    def _list(self, parts: list[Part]) -> list[Part]:
        return [Json("["), self._scope.add(self._scope.text_of_rows(parts, self._in_order())), Json("]")]

    def _node(self, type_: GraphQLOutputType, details: list[FieldDetails]) -> list[Part]:
        return self._compilation.row(type_, details, self._rows, self._scope)

    def _edge(self, type_: GraphQLOutputType, details: list[FieldDetails]) -> list[Part]:
        return self._object(
            type_,
            details,
            cursor=lambda *_: [Json('"'), cursor_of(self._request.ordering, self._rows), Json('"')],
            node=self._node,
        )

    def _page_info(self, type_: GraphQLOutputType, details: list[FieldDetails]) -> list[Part]:
        return self._object(
            type_,
            details,
            hasNextPage=lambda *_: self._others(onward=True),
            hasPreviousPage=lambda *_: self._others(onward=False),
            startCursor=lambda *_: self._cursor_at(constant(1)),
            endCursor=lambda *_: self._cursor_at(cast(self._scope.aggregate(func.count()), Integer)),
        )

    def _others(self, *, onward: bool) -> list[Part]:
        """Return whether there are rows beyond the page: counted by the one row too many, or past a cursor."""
        past = self._past_cursor(onward)
        if onward == self._request.backward:
            return [Json("false") if past is None else shown_as("Boolean", past)[0]]
        counted = self._scope.add(shown_as("Boolean", func.count() > constant(self._request.limit))[0])
        return [counted if past is None else case((counted == TRUE, TRUE), else_=shown_as("Boolean", past)[0])]

    def _past_cursor(self, onward: bool) -> ColumnElement[bool] | None:
        """Return whether there are rows past a cursor, found once however often it is asked for; None without one."""
        if onward not in self._past:
            past = past_cursor(self._statement, self._request, onward=onward)
            if past is not None:
                # Without a limit, Postgres would put what finds it in place of each reference to it.
                once = select(past.label("found")).limit(constant(1))
                found = once.lateral(self._compilation.source("past_"))
                self._around.join(found)
                past = found.c.found
            self._past[onward] = past
        return self._past[onward]

    def _cursor_at(self, place: ColumnElement[int]) -> list[Part]:
        """Return the cursor of the row in this place of the page, null where there is none."""
        row = {name: self._all(self._rows[name])[place] for name in ("id", CURSOR_VALUE)}
        cursor = self._scope.add(cursor_of(self._request.ordering, row))
        return [text_or_null([Json('"'), cursor, Json('"')])]

    def _all(self, column: ColumnElement[Any]) -> Any:
        """Return the column of all rows of the page, in their order."""
        values: Any = func.array_agg(aggregate_order_by(column, *self._in_order()), type_=ARRAY(column.type))
        return self._scope.aggregate(values)

    def _in_order(self) -> list[ColumnElement[Any]]:
        """Return what the rows are ordered by: just what the page itself is, or Postgres sorts them once more."""
        ordering = self._request.ordering
        return _directed(_in_order_of(ordering, self._rows), ordering.descending)


def _in_order_of(ordering: Ordering, rows: Any) -> list[ColumnElement[Any]]:
    """Return the columns of a page that hold what its rows are ordered by."""
    return [rows[CURSOR_VALUE], rows.id][: len(ordering.columns)]


def _directed(columns: Any, descending: bool) -> list[ColumnElement[Any]]:
    return [column.desc() if descending else column.asc() for column in columns]
