"""A mutation of one root field, which runs without graphql-core: that took a quarter of the time of placing an order.

The compiler reads what is selected of the result. Whatever else there is to show, such as a refusal, graphql-core shows
as ever: it finds the outcome of the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from graphql import ExecutionResult, FieldNode, GraphQLError, GraphQLField, OperationType, get_argument_values
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path

from app.graphql.attempts import prepare
from app.graphql.compiled.path import AskedPayload, CompiledPath, PlannedPayload
from app.graphql.context import Context, Outcome
from app.graphql.inputs import Given
from app.graphql.mutations import given_input, root_field
from app.graphql.operations.documents import ParsedOperation
from app.graphql.operations.payloads import asked_of
from app.graphql.strawberry_internals import called


@dataclass(frozen=True)
class LoneMutation:
    """The one root field of a mutation."""

    context: Context
    compiled: CompiledPath
    node: FieldNode

    @classmethod
    def of(cls, context: Context) -> "LoneMutation | None":
        """Return the root field of the operation if that is a mutation of one, whatever its variables are."""
        compiled, node = context.services.compiled, _lone_field(context.operation)
        return None if compiled is None or node is None else cls(context, compiled, node)

    async def execute(self) -> ExecutionResult | None:
        """Run the field. Return its result; None if graphql-core must show it, or what is wrong with the arguments."""
        context, input = self.context, self._input()
        if input is None:
            return None
        planned = await self._planned()
        try:
            returned = await self._run(input)
            context.outcome = Outcome(returned)
            json = await self._read(returned, planned)
            if json is None:
                return None
            is_done = await context.work.end_field(undo=False)
        except Exception as failure:
            context.outcome = Outcome(raised=failure)
            return None
        return ExecutionResult({self._key: orjson.Fragment(json) if is_done else None})

    async def _planned(self) -> Mapping[str, tuple[AskedPayload, PlannedPayload | None]]:
        """Return what is selected of a success, and how it is read, by its type."""
        context, planned = self.context, {}
        for asked in asked_of(context, self._field, [FieldDetails(self.node, None)]):
            plan = await self.compiled.planned(context.viewer, asked, context.in_turn)
            if not asked.is_list:  # which graphql-core leads to
                planned[asked.type_.name] = (asked, plan)
        return planned

    def _input(self) -> Given | None:
        """Return the input of the field; None if a literal in it is invalid."""
        try:
            values = get_argument_values(self._field, self.node, self.context.variables)
        except GraphQLError:
            return None
        return given_input(self._field, values["input"])

    async def _run(self, input: Given) -> Any:
        """Return what the resolver returns."""
        context, field, key = self.context, self._field, self._key
        root = root_field(field)
        if root.attempt and root.attempt.is_made_with(input.values):
            await prepare(context, key, root.attempt, input)
        info, resolve = called(field, context, Path(None, key, None), self.node.name.value)
        return await root.run(info, lambda: resolve(input=input.deferred()), is_alone=True)

    async def _read(
        self, returned: Any, planned: Mapping[str, tuple[AskedPayload, PlannedPayload | None]]
    ) -> bytes | None:
        """Return the JSON of what is selected of the result, if the compiler reads that."""
        context, found = self.context, planned.get(type(returned).__name__)
        if found is None:
            return None
        asked, plan = found
        return await self.compiled.payload(context.work, context.viewer, asked, returned.row.id, plan)

    @property
    def _field(self) -> GraphQLField:
        mutations = self.context.services.schema.mutation_type
        assert mutations is not None, "the operation is one"
        field: GraphQLField = mutations.fields[self.node.name.value]
        return field

    @property
    def _key(self) -> str:
        return (self.node.alias or self.node.name).value


def _lone_field(operation: ParsedOperation) -> FieldNode | None:
    """Return the only root field of a mutation, unless it may be left out, or is `__typename`."""
    if operation.type is not OperationType.MUTATION or operation.definition.directives:
        return None
    node, *others = operation.definition.selection_set.selections
    is_lone = not others and isinstance(node, FieldNode) and not node.directives and node.arguments
    return cast(FieldNode, node) if is_lone else None
