"""Reads what a subscription tells on the compiled path: as the query for the same thing, which costs half as much."""

from dataclasses import dataclass

import structlog
from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    print_ast,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from app.db.engine import is_disconnection
from app.graphql.context import Context
from app.graphql.operations.documents import GraphQLRequest, ParsedOperation, RequestedOperation
from app.graphql.operations.responses import EncodedResult
from app.graphql.subscriptions.manager import READ_BY, Unreachable

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rereading:
    """The query that reads what a subscription tells."""

    query: str
    nothing: bytes
    """What is answered where there is no such thing, or the viewer may not see it."""

    async def read(self, context: Context, request: GraphQLRequest) -> EncodedResult | None:
        """Return what is so now, for who the viewer is now; None where the resolver path must say it."""
        if context.compiled is None:
            return None
        try:
            try:
                await context.begin_field()
            finally:
                await context.work.close()
            operation = context.documents.read_own(self.query).operation(request.operation_name)
            if operation is None:  # what could be subscribed to cannot be a query, too
                return None
            if context.viewer is None and context.refused_token is not None:  # of which the compiled path knows nothing
                return None
            body = await context.compiled.execute(context.viewer, RequestedOperation(request, operation))
        except Exception as failure:
            if is_disconnection(failure):
                raise Unreachable from failure
            log.exception("compiled path failed", request_id=context.request_id)
            return None
        return None if body is None or body == self.nothing else EncodedResult(data={}, errors=None, body=body)


def rereading(subscription: ParsedOperation, schema: GraphQLSchema) -> Rereading | None:
    """Return how to read again what a subscription tells; None where it is no plain field that a field of Query
    reads, too."""
    operation = subscription.definition
    (selected, *others) = operation.selection_set.selections
    if others or not isinstance(selected, FieldNode) or operation.directives or selected.directives:
        return None
    field = _read_by(selected, schema)
    if field is None:
        return None
    key = selected.alias or selected.name
    same = FieldNode(
        alias=key,
        name=NameNode(value=field),
        arguments=tuple(
            ArgumentNode(name=NameNode(value="id"), value=given.value) for given in selected.arguments or ()
        ),
        directives=(),
        selection_set=selected.selection_set,
    )
    query = OperationDefinitionNode(
        operation=OperationType.QUERY,
        name=operation.name,
        variable_definitions=operation.variable_definitions,
        directives=(),
        selection_set=SelectionSetNode(selections=(same,)),
    )
    definitions = tuple(query if node is operation else node for node in subscription.document.definitions)
    return Rereading(print_ast(DocumentNode(definitions=definitions)), b'{"data":{"%b":null}}' % key.value.encode())


def _read_by(selected: FieldNode, schema: GraphQLSchema) -> str | None:
    """Return the field of Query that reads what a field of Subscription tells, if there is one."""
    assert schema.subscription_type is not None, "there are subscriptions"
    field = schema.subscription_type.fields.get(selected.name.value)  # `__typename` is none of them
    defined = field and field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    reads: str | None = defined.metadata.get(READ_BY) if defined else None
    return reads
