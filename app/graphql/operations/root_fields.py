"""What the root fields of a mutation declare about the request that sends them."""

from collections.abc import Iterator

from graphql import FieldNode, FragmentSpreadNode, GraphQLSchema, InlineFragmentNode, OperationType, SelectionSetNode

from app.errors import BadUserInput
from app.graphql.mutations import RootField, root_field
from app.graphql.operations.documents import ParsedOperation
from app.idempotency.service import HEADER
from app.security.viewer import Access


def ignores_token(schema: GraphQLSchema, operation: ParsedOperation) -> bool:
    """Return whether the operation is a mutation all of whose root fields ignore the request's token."""
    is_mutation = operation.type is OperationType.MUTATION
    return is_mutation and all(field.access is Access.UNIDENTIFIED for field in _declared(schema, operation))


def is_replayable(schema: GraphQLSchema, operation: ParsedOperation) -> bool:
    """Return whether the response may be kept under an idempotency key and returned again; BadUserInput if that is so
    for some of a mutation's root fields only."""
    if operation.type is not OperationType.MUTATION:
        return False
    replayable = {field.is_replayable for field in _declared(schema, operation)}
    if len(replayable) > 1:
        raise BadUserInput(HEADER, "can't be used for a request that contains refreshSession and other mutations")
    return replayable != {False}


def _declared(schema: GraphQLSchema, operation: ParsedOperation) -> Iterator[RootField]:
    """Yield the declarations of a mutation's root fields."""
    assert schema.mutation_type is not None, "there are mutations"
    fields = schema.mutation_type.fields
    for name in _names(operation, operation.definition.selection_set, set()):
        if name in fields:  # `__typename` is none of ours
            yield root_field(fields[name])


def _names(operation: ParsedOperation, selected: SelectionSetNode, spread: set[str]) -> Iterator[str]:
    """Yield the names of the fields that are selected, those of each fragment once."""
    for node in selected.selections:
        if isinstance(node, FieldNode):
            yield node.name.value
        elif isinstance(node, InlineFragmentNode):
            yield from _names(operation, node.selection_set, spread)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
            spread.add(node.name.value)
            yield from _names(operation, operation.fragments[node.name.value].selection_set, spread)
