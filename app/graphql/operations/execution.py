"""How graphql-core executes a mutation: as shipped, but what it returns is read through the compiler.

`placeOrder` with its items and their products takes 0.4 ms less, `createProducts` of 1,000 a third of the time."""

from functools import cache
from typing import Any

import orjson
from graphql import GraphQLList, GraphQLObjectType, GraphQLResolveInfo, get_nullable_type
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path

from app.graphql.compiled.compilation import BoundOperation
from app.graphql.compiled.path import CompiledPath
from app.graphql.context import Context
from app.graphql.node import is_node
from app.graphql.relations.declarations import Column, Embedded, declaration_of
from app.graphql.strawberry_internals import ExecutionContext, definition_of, is_awaitable


class MutationExecution(ExecutionContext):
    """The execution of one mutation, where there is a compiled path."""

    context_value: Context

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: list[FieldDetails],
        info: "GraphQLResolveInfo[Any]",
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Return the fields of an object: of what a root field returns, if more than its own row is selected, in
        one statement."""
        as_shipped = (return_type, field_details_list, info, path, result, position_context)
        if path.prev is None and is_node(return_type.name) and not self._is_of_row(*as_shipped[:2]):
            return self._read_object(*as_shipped)
        return super().complete_object_value(*as_shipped)

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: list[FieldDetails],
        info: "GraphQLResolveInfo[Any]",
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Return the items of a list: of a list of objects that a root field's payload holds, in one statement."""
        as_shipped = (return_type, field_details_list, info, path, result, position_context)
        item_type = get_nullable_type(return_type.of_type)
        is_in_payload = path.prev is not None and path.prev.prev is None
        if is_in_payload and result and isinstance(item_type, GraphQLObjectType) and is_node(item_type.name):
            return self._read_list(item_type, *as_shipped)
        return super().complete_list_value(*as_shipped)

    @property
    def _compiled(self) -> CompiledPath:
        compiled = self.context_value.services.compiled
        assert compiled is not None, "otherwise the mutation is executed as shipped"
        return compiled

    def _bound(self) -> BoundOperation:
        return BoundOperation(self.operation, self.fragment_definitions, self.variable_values)

    def _is_of_row(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> bool:
        """Return whether nothing is selected of an object but its own row, which it has already."""
        selection = self.collect_subfields(type_, details).grouped_field_set
        return all(_shows_row(type_, selected[0].node.name.value) for selected in selection.values())

    async def _read_object(self, type_: GraphQLObjectType, details: list[FieldDetails], *others: Any) -> Any:
        """Return the JSON of an object, or its fields as shipped where the compiler declines."""
        _, _, node, _ = others
        context = self.context_value
        json = await self._compiled.payload(context.work, context.viewer, self._bound(), type_, details, node.row.id)
        if json is not None:
            return orjson.Fragment(json)
        completed: Any = super().complete_object_value(type_, details, *others)
        return await completed if is_awaitable(completed) else completed

    async def _read_list(
        self, type_: GraphQLObjectType, list_type: GraphQLList[Any], details: list[FieldDetails], *others: Any
    ) -> Any:
        """Return the JSON of a list of objects, or its items as shipped where the compiler declines."""
        _, _, nodes, _ = others
        context, keys = self.context_value, [node.row.id for node in nodes]
        json = await self._compiled.payload(context.work, context.viewer, self._bound(), type_, details, keys)
        if json is not None:
            return orjson.Fragment(json)
        completed: Any = super().complete_list_value(list_type, details, *others)
        return await completed if is_awaitable(completed) else completed


@cache
def _shows_row(type_: GraphQLObjectType, name: str) -> bool:
    """Return whether a field shows nothing but the row of its object."""
    return name in ("__typename", "id") or isinstance(
        declaration_of(definition_of(type_.fields[name])), Column | Embedded
    )
