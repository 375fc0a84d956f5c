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
from app.graphql.compiled.plans import Declined, Plan, Refused
from app.graphql.compiled.statements import ROOT
from app.security.viewer import Viewer

_DOCUMENTS_KEPT = 500
_PLANS_KEPT = 20  # of one document: its variables can have many shapes
_MAX_QUERY = 10_000  # characters; longer ones are not worth the memory
_MAX_LIST = 100  # items of a list in the variables, whose shapes are part of a plan's key


@dataclass
class _Document:
    """A valid query, and the plans that have been made of it: None for what was declined."""

    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    plans: OrderedDict[Any, Plan | None] = field(default_factory=OrderedDict)


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
            plan = self._plan(document, values, viewer)
            parameters = plan.parameters(values, viewer)
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

    def _plan(self, document: _Document, variables: VariableValues, viewer: Viewer | None) -> Plan:
        """Return the plan for the kind of viewer and the shape of the variables; Declined where there is none."""
        kind = None if viewer is None else viewer.is_superuser
        key = (kind, _shape(variables.coerced))
        if key not in document.plans:
            document.plans[key] = self._compile(document, variables, viewer)
            if len(document.plans) > _PLANS_KEPT:
                document.plans.popitem(last=False)
        document.plans.move_to_end(key)
        plan = document.plans[key]
        if plan is None:
            raise Declined("as before")
        return plan

    def _compile(self, document: _Document, variables: VariableValues, viewer: Viewer | None) -> Plan | None:
        """Return a new plan, None where there can be none; Refused where there may be one for other values."""
        try:
            return compile_plan(self._schema, Operation(document.operation, document.fragments, variables), viewer)
        except Refused:
            raise
        except Declined:
            return None


def _shape(value: Any) -> Any:
    """Return what of the variables may change a statement: which there are, and what is no mere value.

    Whole numbers are the sizes of pages, which stand in the statement."""
    match value:
        case dict():
            return tuple((name, _shape(item)) for name, item in value.items())
        case list() if len(value) > _MAX_LIST:
            raise Declined("a long list")
        case list():
            return tuple(_shape(item) for item in value)
        case str() if type(value) is str:
            return bool(value.strip())
        case Decimal() | datetime():
            return type(value)
        case _:
            return value
