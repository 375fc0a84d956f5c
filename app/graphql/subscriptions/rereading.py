"""The query that reads the same as a subscription: the compiled path answers it at half the cost."""

from dataclasses import dataclass

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

from app.graphql.operations.documents import ParsedOperation
from app.graphql.strawberry_internals import definition_of
from app.graphql.subscriptions.fields import READ_BY


@dataclass(frozen=True)
class Rereading:
    """The query that reads the current state of what a subscription follows."""

    query: str
    nothing: bytes
    """The response where there is no such thing, or the viewer may not see it."""


def rereading(subscription: ParsedOperation, schema: GraphQLSchema) -> Rereading | None:
    """Return the query that reads what a subscription follows; None unless it has one plain field that some field of
    Query reads, too."""
    operation = subscription.definition
    (selected, *others) = operation.selection_set.selections
    if others or not isinstance(selected, FieldNode) or operation.directives or selected.directives:
        return None
    assert schema.subscription_type is not None, "there are subscriptions"
    field = schema.subscription_type.fields.get(selected.name.value)  # `__typename` is none of them
    read_by = definition_of(field).metadata.get(READ_BY) if field else None
    if read_by is None:
        return None
    key = selected.alias or selected.name
    same = FieldNode(
        alias=key,
        name=NameNode(value=read_by),
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
