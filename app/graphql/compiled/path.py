"""The compiled path: answers the queries that it understands, and declines the others before anything runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from graphql import GraphQLError, GraphQLObjectType, OperationDefinitionNode, VariableNode, Visitor, visit
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import VariableValues, get_variable_values

from app.db.engine import Database
from app.db.unit_of_work import UnitOfWork
from app.errors import RequestError
from app.graphql.compiled.compiler import BoundOperation, compile_node, compile_nodes, compile_plan
from app.graphql.compiled.plans import NODE_KEY, NODE_KEYS, Declined, NoPlan, Plan, Plans
from app.graphql.node import is_node, node_named
from app.graphql.operations.cache import Cache
from app.graphql.operations.documents import ParsedOperation, RequestedOperation
from app.graphql.strawberry_internals import graphql_schema
from app.monitoring import operation_log
from app.security.viewer import Viewer

# Whatever graphql-core or a rule of ours refuses while a plan is looked for is the client's mistake: the resolver path
# finds it again, and reports it.
_DECLINED = (Declined, GraphQLError, RequestError)
_OPERATIONS_KEPT = 500
# Characters of the statements that are kept; what a document weighs takes the memory of ten.
_STATEMENTS_KEPT = 20_000_000
_WEIGHT_OF_QUERY = 10


class _Payload(NamedTuple):
    """The plans of a part of a mutation's payload, and the operation that they belong to."""

    operation: OperationDefinitionNode
    plans: Plans


class CompiledPath:
    """Compiles queries, keeps their plans, and runs them."""

    def __init__(self, schema: Any, database: Database) -> None:
        self._schema = schema
        self._graphql_schema = graphql_schema(schema)
        self._database = database
        self._queries: Cache[ParsedOperation, Plans] = Cache(_OPERATIONS_KEPT, _STATEMENTS_KEPT)
        self._payloads: Cache[tuple[Any, ...], _Payload] = Cache(_OPERATIONS_KEPT, _STATEMENTS_KEPT)

    async def execute(self, viewer: Viewer | None, operation: RequestedOperation) -> bytes | None:
        """Return the response to a query; None, before anything ran, where the resolver path must answer."""
        try:
            plan, parameters = self._prepared(viewer, operation)
        except _DECLINED as reason:
            if (log := operation_log.current()) is not None:
                log.declined = str(reason)
            return None
        return plan.rendered(await self._database.driver_row(plan.sql, parameters))

    def reads(self, type_: GraphQLObjectType) -> bool:
        """Return whether objects of this type can be read by their keys."""
        return is_node(type_.name)

    async def node(
        self,
        work: UnitOfWork,
        viewer: Viewer | None,
        operation: BoundOperation,
        type_: GraphQLObjectType,
        details: list[FieldDetails],
        key: UUID,
    ) -> bytes | None:
        """Return the JSON of an object that a mutation returns, read within its transaction; None where the compiler
        declines, or the viewer could not look the object up."""
        plans = self._payload_plans(operation, type_, details, compile_node)
        return await self._payload(work, viewer, operation, plans, {NODE_KEY: key})

    async def nodes(
        self,
        work: UnitOfWork,
        viewer: Viewer | None,
        operation: BoundOperation,
        type_: GraphQLObjectType,
        details: list[FieldDetails],
        keys: Sequence[UUID],
    ) -> bytes | None:
        """Return the JSON of a list of objects, in the order of their keys, as `node` does for one; None where the
        viewer could not look all of them up."""
        plans = self._payload_plans(operation, type_, details, compile_nodes)
        return await self._payload(work, viewer, operation, plans, {NODE_KEYS: keys})

    async def _payload(
        self, work: UnitOfWork, viewer: Viewer | None, operation: BoundOperation, plans: Plans, given: Mapping[str, Any]
    ) -> bytes | None:
        try:
            plan, parameters = plans.find(operation.variables, viewer, given)
        except _DECLINED:
            return None
        row = await work.driver_row(plan.sql, parameters)
        text = None if row[0] is None else plan.rendered(row)
        return None if text == b"null" else text

    def _prepared(self, viewer: Viewer | None, operation: RequestedOperation) -> tuple[Plan, list[Any]]:
        """Return the plan for a request, and its parameters; Declined where there is none."""
        query = operation.parsed
        if query is None or not query.is_query or query.definition.directives:
            raise Declined("the operation is not a query, or not a plain one")
        plans = self._queries.get(query, lambda: self._query(query))
        values = get_variable_values(
            self._graphql_schema, query.definition.variable_definitions or (), dict(operation.request.variables or {})
        )
        if not isinstance(values, VariableValues):
            raise Declined("the variables are not valid")
        found = plans.find(values, viewer)
        self._queries.weigh(query, _WEIGHT_OF_QUERY * query.weight + plans.weight)
        return found

    def _query(self, operation: ParsedOperation) -> Plans:
        """Return what will be the plans of a query."""

        def compiled(variables: VariableValues, viewer: Viewer | None) -> Plan | NoPlan:
            return compile_plan(
                self._schema, BoundOperation(operation.definition, operation.fragments, variables), viewer
            )

        return Plans(compiled)

    def _payload_plans(
        self,
        operation: BoundOperation,
        type_: GraphQLObjectType,
        details: list[FieldDetails],
        compile_: Callable[..., Plan | NoPlan],
    ) -> Plans:
        """Return the plans of what a mutation selects of an object, or of each object of a list."""
        node, definition, fragments = node_named(type_.name), operation.definition, operation.fragments

        def compiled(variables: VariableValues, viewer: Viewer | None) -> Plan | NoPlan:
            # Not with the operation's own variables, which would be kept: they may hold a password.
            now = BoundOperation(definition, fragments, variables)
            return compile_(self._schema, now, viewer, type_, node.by_key, details)

        def payload() -> _Payload:
            return _Payload(definition, Plans(compiled, used=_variables_within(operation, details)))

        # The operation is kept with its plans, or another might get its id.
        key = (compile_, type_.name, id(definition), *(id(detail.node) for detail in details))
        plans = self._payloads.get(key, payload).plans
        self._payloads.weigh(key, plans.weight)
        return plans


def _variables_within(operation: BoundOperation, details: list[FieldDetails]) -> set[str]:
    """Return the names of the variables that a selection uses, or its fragments may use."""
    used: set[str] = set()

    class Collector(Visitor):
        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            used.add(node.name.value)

    for node in (*(detail.node.selection_set for detail in details), *operation.fragments.values()):
        if node is not None:
            visit(node, Collector())
    return used
