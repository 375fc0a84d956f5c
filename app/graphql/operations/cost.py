"""The cost of an operation: what it may read and return, counted before anything runs.

An object costs a point, and another for each 2.2 kB of text that it can hold beyond the first; a page counts as full,
and whatever is selected of an object counts once for each. To look through a list, for a search, a filter or a count,
costs what the list says. A mutation costs what it does, and what its payload reads beyond that.

With 5,000 points an operation reads for a quarter of a second (docs/performance.md), and returns 10 MB at most."""

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import graphql
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from app.db.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from app.graphql.operations.cache import Cache
from app.graphql.operations.limits import INTROSPECTION
from app.graphql.relations.declarations import (
    POINTS,
    AsEdge,
    Column,
    Embedded,
    Itself,
    Nodes,
    Pages,
    Rows,
    Through,
    declaration_of,
)
from app.graphql.strawberry_internals import definition_of
from app.lengths import LINE

BYTES_OF_POINT = 2_200  # two texts of a line, and a few ids
_BYTES_OF_CHARACTER = 4
_BYTES_OF_VALUE = 64  # of an id, a date or a number
_BYTES_OF_KEY = 4  # beside its name: the quotation marks, the colon and the comma
_OF_INPUT_ITEM = 2  # that a mutation or a quote takes
_TEXTS_OF_LIST = 4
_OBJECTS_OF_LIST = 15  # of a list without pages: few orders have more items, which take a few pages of Postgres each
_MOST_OF_LIST = 100  # that they can have, with texts of any length
_MAX_FIELDS = 2_500  # that are visited, in 50 ms; nested fragments can select more than anyone could count
_COSTS_KEPT = 100
_FEW_FIELDS = 300  # to visit them takes a millisecond
_VALUES_OF_PAGE = 25  # a connection takes the resolver path as long as so many values, even if it is empty
_DEPTH = 3  # of the inputs that are looked at
MOST = 1_000_000_000
"""The reported cost of an operation that is too large to count."""

Variables = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation, or a part of it, may cost."""

    points: int = 0
    values: int = 0
    """Fields that are completed, those of each object counted: what the resolver path takes its time for."""
    reads: int = 0
    """The points of rows to read, without those of their width and of what mutations do."""
    looks: int = 0
    """The points of looking through lists. Those of a mutation are spent to show what it did, as `reads` are, while it
    holds its locks."""
    width: int = 0
    """Bytes of the response that belong to the object which it is a part of."""
    bytes: int = 0
    """Bytes of the response that belong to other objects. No response has more data than this and the width."""
    searching: int = 0
    """The points of looking through lists that belong to the object, which are not among the others. Half of all that
    there is may belong to one, so those of many different objects cost no more than those of two."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.points + other.points,
            self.values + other.values,
            self.reads + other.reads,
            self.looks + other.looks,
            self.width + other.width,
            self.bytes + other.bytes,
            self.searching + other.searching,
        )

    def times(self, number: int) -> "Cost":
        """Return the cost of so many of these."""
        return Cost(
            self.points * number,
            self.values * number,
            self.reads * number,
            self.looks * number,
            self.width * number,
            self.bytes * number,
            self.searching * number,
        )

    def of_different(self, number: int) -> "Cost":
        """Return the cost of so many of these, which belong to different objects."""
        return replace(self.times(number), searching=self.searching * min(number, 2))

    @property
    def settled(self) -> "Cost":
        """The cost where nothing more is known of the object."""
        return replace(self, points=self.points + self.searching, looks=self.looks + self.searching, searching=0)

    @property
    def extra(self) -> "Cost":
        """The cost of what is read for an object beyond itself, whose own point is counted elsewhere."""
        points = self.points + max(0, -(-self.width // BYTES_OF_POINT) - 1)
        return replace(self, points=points, bytes=self.bytes + self.width, width=0)

    @property
    def of_object(self) -> "Cost":
        """The cost of an object that this is selected from."""
        extra = self.extra.settled
        return replace(extra, points=extra.points + 1, reads=extra.reads + 1)


NOTHING = Cost()
_META_FIELDS = {"__schema": graphql.SchemaMetaFieldDef, "__type": graphql.TypeMetaFieldDef}
_OBJECTS_OF_SCHEMA = {
    "types": 160,
    "fields": 2,
    "args": 0.4,
    "inputFields": 0.7,
    "enumValues": 0.5,
    "interfaces": 0.2,
    "possibleTypes": 0.7,
    "directives": 5,
    "ofType": 0.5,
}
"""How many objects the fields of the schema have on average, where it is read as a whole."""
_OBJECTS_OF_TYPE = 20
"""How many objects each list of one type has."""
_VALUES_OF_POINT = 8  # of the schema: it takes no statement, but the event loop
RESOLVED_VALUES_OF_POINT = 8
"""How many values the resolver path completes in the time that a point stands for."""


class Meter:
    """Says what one operation costs, by the values of its variables."""

    def __init__(
        self,
        schema: graphql.GraphQLSchema,
        operation: graphql.OperationDefinitionNode,
        fragments: Mapping[str, graphql.FragmentDefinitionNode],
    ) -> None:
        details = {name: FragmentDetails(definition) for name, definition in fragments.items()}
        self._walk = partial(_Walk, schema, operation, details)
        self._counting = [node for node in operation.variable_definitions or () if _counts(schema, node.type)]
        self.is_fixed = not self._counting
        """Whether the cost is the same whatever the variables are."""
        self._costs: Cache[Any, Cost] = Cache(_COSTS_KEPT)
        self._is_large = False

    def of(self, variables: Variables | None) -> Cost:
        """Return the cost of the operation with these variables, valid or not."""
        counted = self._counted(variables)
        return self._costs.get(_key(counted), lambda: self._computed(counted))

    def takes_long(self, variables: Variables | None) -> bool:
        """Return whether the cost with these variables is unknown, and others should not wait for it to be computed."""
        return self._is_large and _key(self._counted(variables)) not in self._costs

    def _counted(self, variables: Variables | None) -> dict[str, Any]:
        """Return what counts of the variables, by their names."""
        return {node.variable.name.value: _counted(node, variables or {}) for node in self._counting}

    def _computed(self, counted: dict[str, Any]) -> Cost:
        walk = self._walk(counted)
        cost = walk.cost()
        self._is_large = walk.visited > _FEW_FIELDS
        return cost


def _key(counted: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(map(_hashable, counted.values()))


@dataclass
class _Walk:
    """Walks one operation, whose fields are merged as they are when it is executed."""

    schema: graphql.GraphQLSchema
    operation: graphql.OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    variables: Variables
    visited: int = 0
    of_input: int = 1
    """The objects of a list that shows what a field's input has: as many as there are items in that."""
    is_in_list: bool = False
    """Whether this is a list within a list without pages. It has one object: the items of all parts of an order are no
    more than those of the order."""

    def __post_init__(self) -> None:
        self._arguments: dict[tuple[int, str], Any] = {}
        """Those that have been read, by the fields that have them; fragments lead to the same ones again and again."""
        # An invalid condition fails the operation before it costs anything.
        self._coerced = VariableValues({}, {name: value or False for name, value in self.variables.items()})

    def cost(self) -> Cost:
        """Return the cost of the operation."""
        root = self.schema.get_root_type(self.operation.operation)
        assert root is not None, "the operation is valid"
        fields = collect_fields(self.schema, self.fragments, self._coerced, root, self.operation)
        total = _sum(self._field(root, details) for details in fields.grouped_field_set.values()).settled
        points = total.points + total.width // BYTES_OF_POINT
        return Cost(
            min(points, MOST),
            min(total.values, MOST),
            min(total.reads, MOST),
            min(total.looks, MOST),
            bytes=min(total.bytes + total.width, MOST),
        )

    def _selection(self, type_: graphql.GraphQLNamedType, details: list[FieldDetails]) -> Cost:
        """Return the cost of what is selected of an object."""
        if graphql.is_abstract_type(type_):
            possible = [self._selection(each, details) for each in self.schema.get_possible_types(type_)]
            costliest = max(possible, key=lambda cost: (cost.of_object.points, cost.values))
            return replace(costliest, bytes=max(cost.bytes + cost.width for cost in possible) - costliest.width)
        if not isinstance(type_, graphql.GraphQLObjectType):
            return NOTHING
        return _sum(self._field(type_, each) for each in self._selected(type_, details))

    def _selected(self, type_: graphql.GraphQLObjectType, details: list[FieldDetails]) -> Iterable[list[FieldDetails]]:
        shared = (self.schema, self.fragments, self._coerced, self.operation)
        return collect_subfields(*shared, type_, details).grouped_field_set.values()

    def _field(self, parent: graphql.GraphQLObjectType, details: list[FieldDetails]) -> Cost:
        """Return the cost of a field of an object, with the bytes that it takes of the object."""
        self.visited += 1
        if self.visited > _MAX_FIELDS:
            return Cost(points=MOST)
        node = details[0].node
        key = Cost(values=1, width=len((node.alias or node.name).value) + _BYTES_OF_KEY)
        if node.name.value == "__typename":
            return key + Cost(width=_BYTES_OF_VALUE)
        if node.name.value in INTROSPECTION:
            values = round(self._of_schema(_META_FIELDS[node.name.value], details, whole=node.name.value == "__schema"))
            return key + Cost(points=values // _VALUES_OF_POINT, values=values)
        field = parent.fields[node.name.value]
        if parent is self.schema.mutation_type:
            return key + self._mutation(field, details)
        if node.selection_set is None:
            return key + _of_leaf(field)
        return key + self._objects(field, details)

    def _objects(self, field: graphql.GraphQLField, details: list[FieldDetails]) -> Cost:
        """Return the cost of the objects that a field returns, by what it is declared to be."""
        node, type_ = details[0].node, graphql.get_named_type(field.type)
        match declaration_of(definition_of(field)):
            case Pages() as declared:
                with self._within(is_in_list=False):
                    return self._page(declared, type_, details)
            case Rows():
                is_in_list = self.is_in_list
                with self._within(is_in_list=True):
                    each = self._selection(type_, details).of_object
                return _list(1, each) if is_in_list else _unpaged(each)
            case Column() | Embedded() | Itself() | AsEdge() | Through():
                selected = self._selection(type_, details)
                return _list(self.of_input, selected.extra) if _is_list(field) else selected
            case Nodes():
                return _list(self._number_of_ids(node), self._selection(type_, details).of_object)
        items = self._items(node)
        with self._within(is_in_list=False, of_input=max(1, items)):
            selected = self._selection(type_, details)
        if _is_list(field):
            return _list(self.of_input, selected.extra)
        return selected.of_object + Cost(points=_OF_INPUT_ITEM * items)

    def _of_schema(self, field: graphql.GraphQLField, details: list[FieldDetails], *, whole: bool) -> float:
        """Return how many values a field of the schema has, or of one of its types, with those within."""
        type_ = graphql.get_named_type(field.type)
        if not isinstance(type_, graphql.GraphQLObjectType):
            return 1
        number: float = _OBJECTS_OF_TYPE if _is_list(field) else 1
        if whole:
            number = _OBJECTS_OF_SCHEMA.get(details[0].node.name.value, 1)
        values: float = 0
        for selected in self._selected(type_, details):
            self.visited += 1
            below = type_.fields.get(selected[0].node.name.value, graphql.TypeNameMetaFieldDef)
            values += MOST if self.visited > _MAX_FIELDS else self._of_schema(below, selected, whole=whole)
        return 1 + number * values

    @contextmanager
    def _within(self, **place: int) -> Iterator[None]:
        """Set these attributes while the selection of a field is walked."""
        around = {name: getattr(self, name) for name in place}
        vars(self).update(place)
        yield
        vars(self).update(around)

    def _page(self, declared: Pages, type_: graphql.GraphQLNamedType, details: list[FieldDetails]) -> Cost:
        """Return the cost of a connection: its page, which is read once, and what looking through its list takes."""
        assert isinstance(type_, graphql.GraphQLObjectType), "a connection is an object"
        node, total = details[0].node, NOTHING
        size, filter = self._page_size(node), self._argument(node, "filter")
        given = {name for name, value in filter.items() if _is_given(value)} if isinstance(filter, dict) else set()
        to_filter, to_count = _points_of(declared, given)
        is_sorted = "search" in given and self._argument(node, "orderBy") is not None
        to_find = declared.collection.sorting_points if is_sorted else to_filter
        is_part = declared.relation is not None and "search" not in given
        beyond, is_counted = 0, False
        for selected in self._selected(type_, details):
            match name := selected[0].node.name.value:
                case "nodes" | "edges":
                    each = self._selection(graphql.get_named_type(type_.fields[name].type), selected).extra
                    total += (each + Cost(values=1)).of_different(size)  # beside the point of each row
                case "pageInfo":
                    total += self._selection(graphql.get_named_type(type_.fields[name].type), selected)
                    # Whether the list has more beyond a cursor is found apart, once for each cursor.
                    beyond = sum(self._argument(node, cursor) is not None for cursor in ("after", "before"))
                case "totalCount" | "totalCountIsExact":
                    total += Cost(values=1) if is_counted else _looking(to_count, is_part=is_part) + Cost(values=1)
                    is_counted = True  # once for both, and under however many aliases
        return (
            total
            + Cost(values=_VALUES_OF_PAGE)
            + _reading(max(1, size))
            + _looking(to_find + min(to_filter, declared.collection.points) * beyond, is_part=is_part)
        )

    def _mutation(self, field: graphql.GraphQLField, details: list[FieldDetails]) -> Cost:
        """Return the cost of a mutation and its payload."""
        items = self._items(details[0].node)
        with self._within(of_input=max(1, items)):
            payload = self._selection(graphql.get_named_type(field.type), details).extra.settled
        return payload + Cost(points=definition_of(field).metadata[POINTS] + _OF_INPUT_ITEM * items)

    def _items(self, node: graphql.FieldNode) -> int:
        """Return how many items the lists of a field's input have together."""
        given = self._argument(node, "input")
        lists = given.values() if isinstance(given, dict) else ()
        return sum(each for each in lists if isinstance(each, _Length))

    def _argument(self, node: graphql.FieldNode, name: str) -> Any:
        """Return what counts of the value of an argument: a number, or the summary of what is no number."""
        key = id(node), name
        if key not in self._arguments:
            given = next((each.value for each in node.arguments or () if each.name.value == name), None)
            value = None if given is None else graphql.value_from_ast_untyped(given, {**self.variables})
            self._arguments[key] = value if isinstance(value, int) else _summary(value)
        return self._arguments[key]

    def _page_size(self, node: graphql.FieldNode) -> int:
        sizes = (self._argument(node, name) for name in ("first", "last"))
        return next((min(max(size, 0), MAX_PAGE_SIZE) for size in sizes if isinstance(size, int)), DEFAULT_PAGE_SIZE)

    def _number_of_ids(self, node: graphql.FieldNode) -> int:
        ids = self._argument(node, "ids")
        return ids if isinstance(ids, _Length) else 1


def cost_exceeded(cost: int, limit: int) -> graphql.GraphQLError:
    """Return the error of an operation that costs too much."""
    return _exceeded("This operation costs", cost, limit, "Request fewer items per page, or fewer fields.")


def payload_exceeded(cost: int, limit: int) -> graphql.GraphQLError:
    """Return the error of mutations whose payloads cost too much, as they are read while other writes wait."""
    return _exceeded("The results of these mutations cost", cost, limit, "Select less of them, and query the rest.")


def _exceeded(what: str, cost: int, limit: int, remedy: str) -> graphql.GraphQLError:
    message = f"{what} {cost:,} points; the limit is {limit:,}. {remedy}"
    requested = {"requested": cost, "limit": limit}
    return graphql.GraphQLError(message, extensions={"code": "COST_LIMIT_EXCEEDED", "cost": requested})


class _Length(int):
    """The length of a list, of which nothing else counts."""


def _points_of(declared: Pages, given: Set[str]) -> tuple[int, int]:
    """Return the points for finding what matches a filter with these fields, and for counting that."""
    collection = declared.collection
    fields = collection.filter.model_fields
    known = {fields[name].alias: points for name, points in collection.filter_points.items()}
    to_filter = max((known.get(name, collection.points) for name in given), default=0)
    to_count = collection.points if to_filter >= collection.points else collection.count_points
    if declared.relation is not None and "search" not in given:  # an index of words has those of all rows
        return to_filter // 2, to_count // 2
    return to_filter, to_count


def _of_leaf(field: graphql.GraphQLField) -> Cost:
    """Return the cost of a scalar: no point, but as many bytes as it can have."""
    if graphql.get_named_type(field.type) is not graphql.GraphQLString:
        return Cost(width=_BYTES_OF_VALUE)
    declared = declaration_of(definition_of(field))
    if isinstance(declared, Through):
        declared = declared.declaration
    longest = declared.longest if isinstance(declared, Column) else LINE
    return Cost(width=_BYTES_OF_CHARACTER * longest * (_TEXTS_OF_LIST if _is_list(field) else 1))


def _reading(points: int) -> Cost:
    """Return the cost of rows to read."""
    return Cost(points=points, reads=points)


def _looking(points: int, *, is_part: bool) -> Cost:
    """Return the cost of looking through a list: all that there is, or a part of it."""
    return Cost(searching=points) if is_part else Cost(points=points, looks=points)


def _is_list(field: graphql.GraphQLField) -> bool:
    return graphql.is_list_type(graphql.get_nullable_type(field.type))


def _list(number: int, each: Cost) -> Cost:
    """Return the cost of so many objects, each a value itself."""
    return (each + Cost(values=1)).times(number)


def _unpaged(each: Cost) -> Cost:
    """Return the cost of a list without pages: rows of as many objects as most have, but texts, and lists to look
    through, of as many as one can."""
    most = _list(_MOST_OF_LIST, each)
    return replace(
        most, points=most.points - (_MOST_OF_LIST - _OBJECTS_OF_LIST) * each.reads, reads=_OBJECTS_OF_LIST * each.reads
    )


def _sum(costs: Iterable[Cost]) -> Cost:
    return sum(costs, NOTHING)


def _counts(schema: graphql.GraphQLSchema, type_: graphql.TypeNode) -> bool:
    """Return whether variables of this type can change the cost: all but ids and enums can."""
    type_ = _nullable(type_)
    if isinstance(type_, graphql.ListTypeNode):
        return True
    assert isinstance(type_, graphql.NamedTypeNode), "there is nothing else"
    named = schema.get_type(type_.name.value)
    return named is not graphql.GraphQLID and not graphql.is_enum_type(named)


def _counted(node: graphql.VariableDefinitionNode, variables: Variables) -> Any:
    """Return what counts of a variable's value."""
    name = node.variable.name.value
    default = None if node.default_value is None else graphql.value_from_ast_untyped(node.default_value)
    value = variables.get(name, default)
    if isinstance(_nullable(node.type), graphql.ListTypeNode) and not isinstance(value, list):
        return _Length(1)  # a single value is coerced to a list
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 100.0 is an Int, too
    return value if type(value) is int else _summary(value)


def _summary(value: Any, depth: int = 0) -> Any:
    """Return what counts of a value: of an object which fields are given, of a list its length, of a text or a number
    that it is given; None for a blank text, which restricts nothing."""
    match value:
        case dict():
            return {name: _summary(each, depth + 1) for name, each in value.items()} if depth < _DEPTH else True
        case list():
            return _Length(len(value))
        case str():
            return True if value.strip() else None
        case None | bool() | _Length():
            return value
    return True


def _is_given(summary: Any) -> bool:
    return any(map(_is_given, summary.values())) if isinstance(summary, dict) else summary is not None


def _hashable(summary: Any) -> Any:
    if isinstance(summary, dict):
        return tuple((name, _hashable(each)) for name, each in summary.items())
    return type(summary), summary  # True equals 1


def _nullable(type_: graphql.TypeNode) -> graphql.TypeNode:
    return type_.type if isinstance(type_, graphql.NonNullTypeNode) else type_
