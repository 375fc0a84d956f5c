"""The compiled lane itself: it answers the queries that it understands, and leaves the others to the ordinary lane."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    validate,
)
from graphql.execution.values import VariableValues, get_variable_values

from app.database import Database
from app.graphql.compiled.compiler import Operation, compile_plan
from app.graphql.compiled.plans import Declined, NoPlan, OtherShape, Plan
from app.graphql.compiled.statements import ROOT
from app.security.viewer import Viewer

_DOCUMENTS_KEPT = 500
_PLANS_KEPT = 20  # of one document: its variables can have many shapes
_MAX_QUERY = 10_000  # characters; longer ones are not worth the memory
_MAX_LIST = 100  # items of a list in the variables, whose shapes are part of a plan's key


@dataclass
class _Document:
    """A valid query, and the plans that have been made of it."""

    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    plans: OrderedDict[Any, Plan | NoPlan] = field(default_factory=OrderedDict)


class CompiledLane:
    """Compiles queries, keeps their plans, and runs them."""

    def __init__(self, schema: Any, database: Database) -> None:
        self._schema = schema
        self._database = database
        self._documents: OrderedDict[tuple[str, str | None], _Document | None] = OrderedDict()

    async def execute(
        self,
        viewer: Viewer | None,
        query: str | None,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
    ) -> bytes | None:
        """Return the response to a query; None, before anything ran, where the ordinary lane must answer."""
        document = self._document(query, operation_name) if query and len(query) <= _MAX_QUERY else None
        if document is None:
            return None
        values = get_variable_values(
            self._schema._schema, document.operation.variable_definitions or (), dict(variables or {})
        )
        if not isinstance(values, VariableValues):
            return None
        try:
            plan, parameters = self._plan(document, values, viewer)
        except Declined:
            return None
        row = await self._database.driver_row(plan.sql, parameters)
        return plan.template.render(row["text"], dict(zip((*plan.levels, ROOT), (*row[1:], 1), strict=True)))

    def _document(self, query: str, operation_name: str | None) -> _Document | None:
        key = (query, operation_name)
        if key in self._documents:
            self._documents.move_to_end(key)
            return self._documents[key]
        document = self._documents[key] = self._read(query, operation_name)
        if len(self._documents) > _DOCUMENTS_KEPT:
            self._documents.popitem(last=False)
        return document

    def _read(self, query: str, operation_name: str | None) -> _Document | None:
        try:
            document = parse(query)
        except GraphQLError:
            return None
        operation = get_operation_ast(document, operation_name)
        if operation is None or operation.operation is not OperationType.QUERY or operation.directives:
            return None
        if validate(self._schema._schema, document):
            return None
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        return _Document(operation, fragments)

    def _plan(self, document: _Document, variables: VariableValues, viewer: Viewer | None) -> tuple[Plan, list[Any]]:
        """Return the plan for the kind of viewer and the shape of the variables, and its parameters; Declined where
        there is none.

        That is nearly always the plan with this key. Where it reads arguments of another shape than those it was made
        for, an id of another type for one, what it reads is added to the key, and there is the plan for those."""
        key: Any = (None if viewer is None else viewer.is_superuser, _shape(variables.coerced))
        while True:
            plan = self._kept(document, key, variables, viewer)
            try:
                parameters = plan.parameters(variables, viewer)
            except OtherShape as other:
                key = (key, other.found)
                continue
            assert isinstance(plan, Plan), "what is no plan has declined"
            return plan, parameters

    def _kept(self, document: _Document, key: Any, variables: VariableValues, viewer: Viewer | None) -> Plan | NoPlan:
        """Return the plan with this key, which is made where there is none."""
        plans = document.plans
        if key not in plans:
            plans[key] = compile_plan(
                self._schema, Operation(document.operation, document.fragments, variables), viewer
            )
            if len(plans) > _PLANS_KEPT:
                plans.popitem(last=False)
        plans.move_to_end(key)
        return plans[key]


def _shape(value: Any) -> Any:
    """Return what of the variables may change a statement: which there are, and what is no mere value.

    Whole numbers are the sizes of pages, which stand in the statement; a list of texts is a value, whatever its length.
    What a field makes of its arguments is looked at again where they are bound."""
    match value:
        case dict():
            return tuple((name, _shape(item)) for name, item in value.items())
        case list() if len(value) > _MAX_LIST:
            raise Declined("a long list")
        case list() if all(type(item) is str for item in value):
            return frozenset(_shape(item) for item in value)
        case list():
            return tuple(_shape(item) for item in value)
        case str() if type(value) is str:
            return bool(value.strip())
        case Decimal() | datetime():
            return type(value)
        case _:
            return value
