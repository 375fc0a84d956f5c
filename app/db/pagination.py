"""Keyset pagination: a cursor is a position in an order, so every page costs the same, and rows inserted meanwhile
neither repeat nor hide others. Independent of GraphQL."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.util import ClauseAdapter

from app.currencies import MOST_DECIMALS, MOST_DIGITS
from app.db.models import Base
from app.db.statements import has_words, matches, relevance, select_all, unforeseen, unindexed
from app.errors import BadUserInput
from app.security.viewer import Viewer

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MOST_RANKED = 10_000
MOST_COUNTED = 10_000
MOST_LOOKED_AT = 10_000
CURSOR_VALUE = "cursor_value"
PARENT = "parent_id"

_SAMPLE = 200
_FREQUENT = _SAMPLE // 8
"""The matches in a sample from which as many rows as are ranked are found sooner one after the other than by words."""

T = TypeVar("T")
FilterType = TypeVar("FilterType")
SortType = TypeVar("SortType")


def _parse(column_type: Any, text: str) -> Any:
    """Return the value of a column of this type; ValueError for what no such column holds."""
    kind = column_type.python_type
    value: Any = datetime.fromisoformat(text) if kind is datetime else kind(text)
    if (
        (kind is str and "\0" in text)
        or (kind is int and abs(value) >= 2**31)
        or (kind is Decimal and not _fits(value))
        or (kind is datetime and value.utcoffset() != timedelta(0))
    ):
        raise ValueError(text)
    return value


def _fits(value: Decimal) -> bool:
    """Return whether this may be an amount of money."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and -MOST_DECIMALS <= exponent <= 0 and value.adjusted() < MOST_DIGITS


def _format(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value)


class Position(NamedTuple):
    """A row's position in an order: the value it is ordered by, and its key."""

    value: Any
    key: UUID


@dataclass(frozen=True, slots=True)
class Search:
    """A search for words in a column of a table. Its index finds rare ones at once, but collects all rows of a frequent
    one (1,300,000 of 2,000,000: 0.2 s) before it returns the first. Rows read one after another soon have that."""

    vector: sa.Column[Any]
    words: Any
    key: sa.ColumnElement[Any]
    """What an index has the rows that aren't deleted in the order of."""

    @property
    def indexed(self) -> sa.ColumnElement[bool]:
        """The condition that the index of words answers."""
        return matches(self.vector, self.words)

    def compared(self, vector: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """Return the condition that the words of a row match."""
        return has_words(vector, self.words)

    def in_sample(self) -> sa.ColumnElement[int]:
        """Return how many of the first rows of the table match, which shows how frequent the words are."""
        table = self.vector.table.alias()
        in_order = sa.select(table.c[self.vector.key]).order_by(ClauseAdapter(table).traverse(self.key))
        sample = in_order.where(table.c.deleted_at.is_(None)).limit(constant(_SAMPLE)).subquery()
        matching = sa.select(sa.func.count()).select_from(sample).where(self.compared(sample.c[self.vector.key]))
        return matching.scalar_subquery()

    def first_found(self, statement: sa.Select[Any], limit: int) -> sa.FromClause:
        """Return at most so many of the rows of a statement that match, the same ones each time, but no particular
        ones: to read and rank all 1,300,000 takes 3 s, of so many 0.1."""
        one_by_one = statement.where(self.compared(self.vector)).order_by(self.key).limit(constant(limit))
        by_words = statement.where(self.indexed).limit(constant(limit))
        is_frequent = self.in_sample() >= constant(_FREQUENT)
        return _either(is_frequent, one_by_one, by_words).lateral("found")


@dataclass(frozen=True, slots=True)
class Ordering:
    """A total order of a table's rows: by one column without nulls, then by the key, in one direction."""

    name: str
    descending: bool
    column: sa.ColumnElement[Any] = field(compare=False)
    key: sa.ColumnElement[UUID] = field(compare=False)
    is_indexed: bool = field(default=True, compare=False)
    """Whether to read in this order where one row is looked for."""
    search: Search | None = field(default=None, compare=False)
    """The search whose matches are ordered."""
    is_ranked: bool = field(default=False, compare=False)
    """Whether the column is how well a row matches the search, which is found out for MOST_RANKED rows only."""
    first_bound: sa.ColumnElement[bool] | None = field(default=None, compare=False)
    """What a filter says about the column where the first rows of this order are. The conditions say it, too: this
    shows Postgres where to begin or end."""
    last_bound: sa.ColumnElement[bool] | None = field(default=None, compare=False)
    """What it says where the last ones are."""

    @property
    def columns(self) -> tuple[sa.ColumnElement[Any], ...]:
        """What rows are ordered by."""
        return (self.column,) if self.column is self.key else (self.column, self.key)

    @property
    def label(self) -> str:
        """The order as a cursor names it."""
        return f"{self.name}-{'desc' if self.descending else 'asc'}"

    def cursor(self, row: sa.Row[Any]) -> str:
        """Return the opaque text of the position of a row of a page."""
        return self._cursor(row, getattr(row, CURSOR_VALUE))

    def cursor_of(self, row: Any) -> str:
        """Return the opaque text of the position of a row, or an entity, that was not read as part of a page."""
        return self._cursor(row, getattr(row, self.attribute))

    @property
    def attribute(self) -> str:
        """The attribute of an entity that holds the value which rows are ordered by."""
        return "id" if self.column is self.key else self.column.key or ""

    def _cursor(self, row: Any, value: Any) -> str:
        return self._text_of(row.id, value)

    def _text_of(self, key: UUID, value: Any) -> str:
        text = f"{self.label}:{key}:{_format(value)}"
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def position(self, argument: str, cursor: str) -> Position:
        """Return the position of a cursor; BadUserInput if it is malformed or of another order."""
        try:
            text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            label, key, value = text.split(":", 2)
            position = Position(_parse(self.column.type, value) if label == self.label else None, UUID(key))
        except (ValueError, InvalidOperation):
            raise BadUserInput(argument, "is not a cursor of this API") from None
        if label != self.label:
            raise BadUserInput(argument, f"is a cursor of another order ({label}, not {self.label})")
        if self._text_of(position.key, position.value) != cursor:  # Python reads more than we write, such as 1_000
            raise BadUserInput(argument, "is not a cursor of this API")
        return position


def search_ordering(
    columns: Mapping[str, sa.ColumnElement[Any]], key: sa.ColumnElement[UUID], vector: sa.Column[Any]
) -> Callable[[Any, Any], Ordering]:
    """Return what orders a list that can be searched: by one of these columns, or without a choice the best match
    first, or else the oldest."""

    def ordering(filter: Any, sort: Any) -> Ordering:
        search = None if filter.search is None else Search(vector, filter.search, columns["ID"])
        if sort is None and search is not None:
            rank = relevance(vector, filter.search)
            return Ordering("RELEVANCE", True, rank, key, is_indexed=False, search=search, is_ranked=True)
        name, descending = ("ID", False) if sort is None else (sort.field.value, sort.descending)
        key_in_order = columns["ID"] if name == "ID" else key  # or rows would be ordered by it twice
        return Ordering(name, descending, columns[name], key_in_order, search=search)

    return ordering


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A requested page: up to `limit` rows after and before two positions, from the start or the end."""

    ordering: Ordering
    limit: int
    backward: bool
    after: Position | None
    before: Position | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The nodes of a page, and the rows they show, of which cursors are made when selected."""

    nodes: Sequence[T]
    rows: Sequence[sa.Row[Any]]
    ordering: Ordering
    has_next: bool
    """Whether the statement found more rows after the page; there may also be some past the cursor it ends before."""
    has_previous: bool


def page_request(
    ordering: Ordering,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> PageRequest:
    """Return the page that Relay's four arguments request; BadUserInput names the one that is invalid."""
    for argument, size in (("first", first), ("last", last)):
        if size is not None and not 0 <= size <= MAX_PAGE_SIZE:
            raise BadUserInput(argument, f"must be between 0 and {MAX_PAGE_SIZE}, not {size}")
    if first is not None and last is not None:
        raise BadUserInput("last", "cannot be combined with `first`")
    size = first if last is None else last
    return PageRequest(
        ordering=ordering,
        limit=DEFAULT_PAGE_SIZE if size is None else size,
        backward=last is not None or (before is not None and first is None and after is None),
        after=None if after is None else ordering.position("after", after),
        before=None if before is None else ordering.position("before", before),
    )


Place = Callable[[Ordering], Sequence[sa.ColumnElement[bool]]]
"""The conditions that rows are in a place of a list that is ordered so."""


def paginate(statement: sa.Select[Any], request: PageRequest, spare: int = 1) -> sa.Select[Any]:
    """Restrict a statement to what the request searches for, and to the page of it, read from its near end, and a spare
    row that shows whether there are more."""

    def place(ordering: Ordering) -> Sequence[sa.ColumnElement[bool]]:
        bound = _bound_of(request)
        found = [] if bound is None else [bound]
        for position, onward in ((request.after, True), (request.before, False)):
            if position is not None:
                columns, limit = _compared(ordering, position)
                found.append(columns > limit if onward != ordering.descending else columns < limit)
        return found

    descending = request.ordering.descending != request.backward
    return _first(statement, request.ordering, place, request.limit + spare, descending=descending)


def _bound_of(request: PageRequest) -> sa.ColumnElement[bool] | None:
    """Return the bound at which a page without a cursor begins to be read, or else the one at which it ends. Of rows
    between two bounds, or a bound and a cursor, Postgres would expect few."""
    if request.after is not None or request.before is not None:
        return None
    first, last = request.ordering.first_bound, request.ordering.last_bound
    near, far = (last, first) if request.backward else (first, last)
    return far if near is None else near


def _first(
    statement: sa.Select[Any], ordering: Ordering, place: Place, limit: int, *, descending: bool
) -> sa.Select[Any]:
    """Return the first rows of a place that match the search of this order, if it has one."""
    search = ordering.search
    if search is None:
        return _in_order(statement, ordering, place, limit, descending=descending)
    if ordering.is_ranked:
        return _in_order(*_ranked(statement, ordering, search), place, limit, descending=descending)
    return _first_found(statement, ordering, search, place, limit, descending=descending)


def _in_order(
    statement: sa.Select[Any], ordering: Ordering, place: Place, limit: int, *, descending: bool
) -> sa.Select[Any]:
    """Return the first rows of a statement that are in this place, in this order."""
    return (
        statement.where(*place(ordering))
        .add_columns(ordering.column.label(CURSOR_VALUE))
        .order_by(*_directed(ordering.columns, descending=descending))
        .limit(constant(limit))
    )


def _ranked(statement: sa.Select[Any], ordering: Ordering, search: Search) -> tuple[sa.Select[Any], Ordering]:
    """Return the rows of a statement that match, no more than MOST_RANKED, and their order."""
    found = search.first_found(statement.add_columns(search.vector), MOST_RANKED)
    rank = relevance(found.c[search.vector.key], search.words)
    columns = (found.c[str(each.key)] for each in statement.selected_columns)
    return sa.select(*columns), replace(ordering, column=rank, key=found.c[str(ordering.key.key)])


def _first_found(
    statement: sa.Select[Any], ordering: Ordering, search: Search, place: Place, limit: int, *, descending: bool
) -> sa.Select[Any]:
    """Return the first rows of a place that match, in another order than by relevance.

    If the words are known, MOST_LOOKED_AT rows are compared in the order of an index, which takes 20 ms. Either they
    have a page, or there are no others, or else the words are rare here: their index finds all, which are sorted."""
    looked_at = partial(_in_order, ordering=ordering, place=place, limit=MOST_LOOKED_AT, descending=descending)
    rows = looked_at(statement.add_columns(search.vector)).lateral("looked_at")
    order = _directed((rows.c[CURSOR_VALUE], rows.c.id)[: len(ordering.columns)], descending=descending)
    in_order = sa.select(*(column for column in rows.c if column.key != search.vector.key)).order_by(*order)
    one_by_one = in_order.where(search.compared(rows.c[search.vector.key])).limit(constant(limit))
    sorted_ = replace(ordering, column=unindexed(ordering.column))
    if ordering.column is ordering.key:
        sorted_ = replace(sorted_, key=sorted_.column)
    by_words = _in_order(statement.where(search.indexed), sorted_, place, limit, descending=descending)
    is_known = search.in_sample() > constant(0)
    is_full, is_long = _has(one_by_one, limit), _has(looked_at(statement), MOST_LOOKED_AT)
    found = _either(sa.and_(is_known, sa.or_(is_full, ~is_long)), one_by_one, by_words).lateral("found")
    in_place = (found.c[CURSOR_VALUE], found.c.id)[: len(ordering.columns)]
    return sa.select(*found.c).order_by(*_directed(in_place, descending=descending))


def _either(condition: sa.ColumnElement[bool], one: sa.Select[Any], other: sa.Select[Any]) -> sa.CompoundSelect[Any]:
    """Return the rows of one statement if a condition holds, or else those of the other, which isn't read then."""
    found, others = one.lateral("one"), other.lateral("other")
    return sa.union_all(sa.select(*found.c).where(condition), sa.select(*others.c).where(~condition))


def _has(statement: sa.Select[Any], number: int) -> sa.ColumnElement[bool]:
    """Return whether a statement has so many rows."""
    last = statement.with_only_columns(sa.true(), maintain_column_froms=True).offset(constant(max(number - 1, 0)))
    return last.limit(constant(1)).scalar_subquery().is_not(None)


def past_cursor(statement: sa.Select[Any], request: PageRequest, *, onward: bool) -> sa.ColumnElement[bool] | None:
    """Return whether a statement has rows at the cursor that the page ends before, or past it; not `onward`, at the
    cursor that it starts after, or before it. None without a cursor. The row of a cursor may be gone, and others too.
    """
    position = request.before if onward else request.after
    if position is None:
        return None
    ascending = onward != request.ordering.descending

    def place(ordering: Ordering) -> Sequence[sa.ColumnElement[bool]]:
        columns, limit = _compared(ordering, position)
        return [columns >= limit if ascending else columns <= limit]

    ordering = request.ordering
    if not ordering.is_indexed:  # to find the first row, Postgres would look through all instead of an index of words
        if ordering.search is not None:
            statement, ordering = _ranked(statement, ordering, ordering.search)
        found = statement.where(*place(ordering))
        counted = found.with_only_columns(sa.func.count() > constant(0), maintain_column_froms=True)
        return counted.scalar_subquery()
    # Read in this order, an index finds the first at once. Postgres would leave out the order of an EXISTS.
    first = _first(statement, ordering, place, 1, descending=not ascending)
    return first.with_only_columns(sa.true(), maintain_column_froms=True).scalar_subquery().is_not(None)


def total_of(statement: sa.Select[Any], search: Search | None) -> sa.Select[Any]:
    """Return the statement for the number of rows, of which at most one more than MOST_COUNTED is counted: it shows
    that there are others. To count 2,000,000 products takes 0.3 s, so many 1 ms."""
    some = statement.with_only_columns(constant(1).label("one"), maintain_column_froms=True)
    if search is None:
        counted: sa.FromClause = some.limit(constant(MOST_COUNTED + 1)).lateral("counted")
    else:
        counted = search.first_found(some, MOST_COUNTED + 1)
    return sa.select(sa.func.count().label("total")).select_from(counted)


def _compared(ordering: Ordering, position: Position) -> tuple[sa.Tuple, sa.Tuple]:
    """Return what rows are ordered by, and what of it a cursor holds."""
    place = sa.tuple_(_bound(position.value, ordering.column.type), _bound(position.key, sa.Uuid()))
    return sa.tuple_(ordering.column, ordering.key), place


def _directed(columns: Iterable[sa.ColumnElement[Any]], *, descending: bool) -> list[sa.ColumnElement[Any]]:
    return [column.desc() if descending else column.asc() for column in columns]


def constant(number: int) -> sa.ColumnElement[int]:
    """Return a number as part of the statement's text.

    With a parameter as its limit, Postgres plans a statement anew each time, as it can't estimate a plan for all
    values: planning took half of its time."""
    return sa.literal_column(str(int(number)), sa.Integer)


def _bound(value: Any, column_type: Any) -> sa.ColumnElement[Any]:
    """Return the value as a parameter, which it may be already."""
    return value if isinstance(value, sa.BindParameter) else sa.literal(value, column_type)


def page_of(rows: Sequence[sa.Row[Any]], request: PageRequest, make: Callable[[sa.Row[Any]], T]) -> Page[T]:
    """Return the page of a paginated statement's rows, each made into a node."""
    others = len(rows) > request.limit
    wanted = rows[: request.limit]
    if request.backward:
        wanted = wanted[::-1]
    return Page(
        nodes=[make(row) for row in wanted],
        rows=wanted,
        ordering=request.ordering,
        has_next=others and not request.backward,
        has_previous=others and request.backward,
    )


Relation = Callable[[sa.ColumnElement[UUID]], sa.ColumnElement[bool]]
"""The condition under which a row belongs to the parent with this key."""

_parents = (
    sa.func.unnest(unforeseen(sa.bindparam("parents", type_=ARRAY(sa.Uuid))))
    .table_valued(sa.column("id", sa.Uuid), with_ordinality="position", name="parent")
    .render_derived()
)
_parent_id: sa.ColumnElement[UUID] = _parents.c.id


def each_parent(rows_of: Callable[[sa.ColumnElement[UUID]], sa.Select[Any]], *order: str) -> sa.Select[Any]:
    """Return one statement for the rows of each parent in the array `:parents`: parent by parent, then in the order of
    the named columns."""
    rows = rows_of(_parent_id).lateral("rows")
    return (
        sa.select(_parent_id.label(PARENT), rows)
        .select_from(_parents.join(rows, sa.true()))
        .order_by(_parents.c.position, *(rows.c[name] for name in order))
    )


@dataclass(frozen=True)
class Listing:
    """A list to page through: the rows of a model that meet these conditions and match this search."""

    model: type[Base]
    conditions: Sequence[sa.ColumnElement[bool]]
    search: Search | None = None

    @property
    def statement(self) -> sa.Select[Any]:
        """The statement for the rows that meet the conditions, in no order. The search comes with what pages it."""
        return select_all(self.model).where(*self.conditions)

    def number(self) -> sa.Select[Any]:
        """Return the statement for the number of rows, however long it takes to count them."""
        found = self.statement if self.search is None else self.statement.where(self.search.indexed)
        return found.with_only_columns(sa.func.count(), maintain_column_froms=True)

    def page_each(self, relation: Relation, request: PageRequest) -> sa.Select[Any]:
        """Return one statement for the same page of each parent in the array `:parents`, in their order."""
        own = self.statement.correlate(_parents)
        return each_parent(lambda parent: paginate(own.where(relation(parent)), request))

    def past_cursor_each(self, relation: Relation, request: PageRequest, *, onward: bool) -> sa.Select[Any]:
        """Return, for each parent in the array `:parents`, its key and whether it has rows past a cursor."""
        own = self.statement.correlate(_parents)
        found: Any = past_cursor(own.where(relation(_parent_id)), request, onward=onward)
        return sa.select(_parent_id.label(PARENT), found.label("found")).select_from(_parents)

    def total_each(self, relation: Relation) -> sa.Select[Any]:
        """Return, for each parent in the array `:parents`, its key and the number of its rows, as `total_of` counts."""
        own = self.statement.correlate(_parents)
        total = total_of(own.where(relation(_parent_id)), self.search).scalar_subquery()
        return sa.select(_parent_id.label(PARENT), total.label("total")).select_from(_parents)


@dataclass(frozen=True)
class Collection(Generic[FilterType, SortType]):
    """What clients can filter, sort and page through: a model's rows, the conditions that a viewer and a filter put on
    them, and how they are ordered."""

    model: type[Base]
    filter: type[FilterType]
    conditions: Callable[[Viewer | None, FilterType], Sequence[sa.ColumnElement[bool]]]
    ordering: Callable[[FilterType, SortType | None], Ordering]
    sort: type[SortType] | None = None
    points: int = 100
    """The cost of looking through all rows, to find those that match, or to count them."""
    count_points: int = 50
    """The cost of counting rows of which an index holds all that a filter compares."""
    sorting_points: int = 100
    """The cost of finding what matches a search and sorting it in another order than by relevance."""
    filter_points: Mapping[str, int] = field(default_factory=dict)
    """The cost of filtering by these fields: nothing where an index has the rows in the order of the list, so that only
    those of the page are read, and little where it has what to compare. Any other field costs `points`."""

    def listing(self, viewer: Viewer | None, filter: FilterType) -> Listing:
        """Return the rows that meet the filter and are for this viewer."""
        return Listing(self.model, self.conditions(viewer, filter), self.ordering(filter, None).search)

    @property
    def default_ordering(self) -> Ordering:
        """How the list is ordered where a client chooses nothing."""
        return self.ordering(self.filter(), None)

    def chosen(
        self, filter: FilterType | None, sort: SortType | None
    ) -> tuple[FilterType, Callable[[FilterType], Ordering]]:
        """Return the filter that a client chose, or one that matches everything, and what orders by it."""
        return filter or self.filter(), lambda chosen: self.ordering(chosen, sort)
