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

from app.database import UnitOfWork
from app.graphql.compiled.compiler import Operation, compile_plan
from app.graphql.compiled.plans import Declined, Plan
from app.graphql.compiled.statements import ROOT
from app.security.viewer import Viewer

_DOCUMENTS_KEPT = 500
_PLANS_KEPT = 50  # of one document: its variables can have many shapes


@dataclass
class _Document:
    """A valid query, and the plans that have been made of it: None for what was declined."""

    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    plans: OrderedDict[Any, Plan | None] = field(default_factory=OrderedDict)


class CompiledLane:
    """Compiles queries, keeps their plans, and runs them."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._documents: OrderedDict[tuple[str, str | None], _Document | None] = OrderedDict()

    async def execute(
        self,
        work: UnitOfWork,
        viewer: Viewer | None,
        query: str | None,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
    ) -> bytes | None:
        """Return the response to a query; None, before anything ran, where the ordinary lane must answer."""
        document = query and self._document(query, operation_name)
        if not document:
            return None
        values = get_variable_values(
            self._schema._schema, document.operation.variable_definitions or (), dict(variables or {})
        )
        if not isinstance(values, VariableValues):
            return None
        plan = self._plan(document, values, viewer)
        if plan is None:
            return None
        try:
            parameters = plan.parameters(values, viewer)
        except Declined:
            return None
        row = await work.driver_row(plan.sql, parameters)
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

    def _plan(self, document: _Document, variables: VariableValues, viewer: Viewer | None) -> Plan | None:
        kind = None if viewer is None else viewer.is_superuser
        key = (kind, _shape(variables.coerced))
        if key in document.plans:
            document.plans.move_to_end(key)
            return document.plans[key]
        operation = Operation(document.operation, document.fragments, variables)
        try:
            plan: Plan | None = compile_plan(self._schema, operation, viewer)
        except Declined:
            plan = None
        document.plans[key] = plan
        if len(document.plans) > _PLANS_KEPT:
            document.plans.popitem(last=False)
        return plan


def _shape(value: Any) -> Any:
    """Return what of the variables may change a statement: which there are, and what is no mere value."""
    match value:
        case dict():
            return tuple((name, _shape(item)) for name, item in value.items())
        case list():
            return tuple(_shape(item) for item in value)
        case str() if type(value) is str:
            return bool(value.strip())
        case int() if not isinstance(value, bool):
            return int
        case Decimal() | datetime():
            return type(value)
        case _:
            return value
