"""The cost of an operation: a point for each object that it can return, counted before anything runs.

A page counts as many objects as it can hold, and whatever is selected from each counts as often. Attributes are free: a
price comes with its product. A field that costs more declares it with `costs`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import graphql
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from strawberry.types.field import StrawberryField

from app.db.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from app.graphql.operations.cache import Cache
from app.graphql.relations.declarations import (
    AsEdge,
    Column,
    Computed,
    Embedded,
    Itself,
    Nodes,
    Pages,
    Rows,
    Through,
    cost_of,
    declaration_of,
)
from app.graphql.strawberry_internals import definition_of

_OF_MUTATION = 10  # it locks, checks, writes, and notifies
_OF_INTROSPECTION = 100
_OBJECTS_OF_LIST = 10  # of a list without pages: the items of an order
_MAX_FIELDS = 10_000  # that are visited; nested fragments can select more than anyone could count
_COSTS_KEPT = 100
_COUNTING = {"Int", "Boolean"}
MOST = 1_000_000_000
"""The reported cost of an operation that is too large to count."""

Variables = Mapping[str, Any]


class Cost:
    """The cost of one operation, by the values of its variables."""

    def __init__(
        self,
        schema: graphql.GraphQLSchema,
        operation: graphql.OperationDefinitionNode,
        fragments: Mapping[str, graphql.FragmentDefinitionNode],
    ) -> None:
        details = {name: FragmentDetails(definition) for name, definition in fragments.items()}
        self._meter = partial(_Meter, schema, operation, details)
        self._counting = [node for node in operation.variable_definitions or () if _counts(node.type)]
        self.is_fixed = not self._counting
        """Whether the cost is the same whatever the variables are."""
        self._costs: Cache[Any, int] = Cache(_COSTS_KEPT)

    def of(self, variables: Variables | None) -> int:
        """Return the cost of the operation with these variables, valid or not."""
        counting = {node.variable.name.value: _counted(node, variables or {}) for node in self._counting}
        return self._costs.get(tuple(counting.values()), lambda: self._meter(counting).cost())


@dataclass
class _Meter:
    """Walks one operation, whose fields are merged as they are when it is executed."""

    schema: graphql.GraphQLSchema
    operation: graphql.OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    variables: Variables
    visited: int = 0

    def __post_init__(self) -> None:
        # An invalid condition fails the operation before it costs anything.
        self._coerced = VariableValues({}, {name: value or False for name, value in self.variables.items()})

    def cost(self) -> int:
        """Return the cost of the operation."""
        root = self.schema.get_root_type(self.operation.operation)
        assert root is not None, "the operation is valid"
        fields = collect_fields(self.schema, self.fragments, self._coerced, root, self.operation)
        return min(sum(self._field(root, details, None) for details in fields.grouped_field_set.values()), MOST)

    def _selection(self, type_: graphql.GraphQLNamedType, details: list[FieldDetails], page: int | None = None) -> int:
        """Return the cost of what is selected of an object: of a connection, if it is a page of this size."""
        if graphql.is_abstract_type(type_):
            return max(self._selection(each, details) for each in self.schema.get_possible_types(type_))
        if not isinstance(type_, graphql.GraphQLObjectType):
            return 0
        fields = collect_subfields(self.schema, self.fragments, self._coerced, self.operation, type_, details)
        return sum(self._field(type_, each, page) for each in fields.grouped_field_set.values())

    def _field(self, parent: graphql.GraphQLObjectType, details: list[FieldDetails], page: int | None) -> int:
        self.visited += 1
        if self.visited > _MAX_FIELDS:
            return MOST
        node = details[0].node
        if node.name.value.startswith("__"):
            return 0 if node.name.value == "__typename" else _OF_INTROSPECTION
        field = parent.fields[node.name.value]
        definition = definition_of(field)
        type_, is_mutation = graphql.get_named_type(field.type), parent is self.schema.mutation_type
        extra = _OF_MUTATION if is_mutation else cost_of(definition)
        if node.selection_set is None:
            return extra
        match declaration_of(definition):
            case Pages():
                size = self._page_size(node)
                return extra + max(1, size) + self._selection(type_, details, size)
            case AsEdge():
                return extra + self._selection(type_, details, 1)
        own, each = (0, 1) if is_mutation else self._objects(field, definition, node, page)
        return extra + own + each * self._selection(type_, details)

    def _objects(
        self, field: graphql.GraphQLField, definition: StrawberryField, node: graphql.FieldNode, page: int | None
    ) -> tuple[int, int]:
        """Return the objects that a field reads, and how often what is selected from it counts."""
        many = _OBJECTS_OF_LIST if graphql.is_list_type(graphql.get_nullable_type(field.type)) else 1
        if page is not None:  # the nodes and edges of a connection, which has counted them
            return 0, 1 if many == 1 else page
        match declaration_of(definition):
            case Column() | Computed() | Embedded() | Itself() | Through():
                return 0, many
            case Rows():
                return many, many
            case Nodes():
                number = self._number_of_ids(node)
                return number, number
        return 1, many

    def _page_size(self, node: graphql.FieldNode) -> int:
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        values = (
            graphql.value_from_ast_untyped(given[name], {**self.variables})
            for name in ("first", "last")
            if name in given
        )
        return next((min(max(size, 0), MAX_PAGE_SIZE) for size in values if isinstance(size, int)), DEFAULT_PAGE_SIZE)

    def _number_of_ids(self, node: graphql.FieldNode) -> int:
        given = next((each.value for each in node.arguments or () if each.name.value == "ids"), None)
        if isinstance(given, graphql.VariableNode):  # of which the length is known
            return self.variables.get(given.name.value) or 1
        return len(given.values) if isinstance(given, graphql.ListValueNode) else 1


def cost_exceeded(cost: int, limit: int) -> graphql.GraphQLError:
    """Return the error of an operation that costs too much."""
    message = (
        f"This operation costs {cost:,} points; the limit is {limit:,}. Request fewer items per page, or fewer fields."
    )
    requested = {"requested": cost, "limit": limit}
    return graphql.GraphQLError(message, extensions={"code": "COST_LIMIT_EXCEEDED", "cost": requested})


def _counts(type_: graphql.TypeNode) -> bool:
    """Return whether variables of this type can change the cost: sizes, conditions and lists can."""
    type_ = _nullable(type_)
    return isinstance(type_, graphql.ListTypeNode) or (
        isinstance(type_, graphql.NamedTypeNode) and type_.name.value in _COUNTING
    )


def _counted(node: graphql.VariableDefinitionNode, variables: Variables) -> int | None:
    """Return the part of a variable's value that counts: a number, a condition, or the length of a list."""
    name = node.variable.name.value
    default = None if node.default_value is None else graphql.value_from_ast_untyped(node.default_value)
    value = variables.get(name, default)
    if isinstance(_nullable(node.type), graphql.ListTypeNode):
        return len(value) if isinstance(value, list) else 1  # a single value is coerced to a list
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 100.0 is an Int, too
    return value if isinstance(value, int) else None


def _nullable(type_: graphql.TypeNode) -> graphql.TypeNode:
    return type_.type if isinstance(type_, graphql.NonNullTypeNode) else type_
