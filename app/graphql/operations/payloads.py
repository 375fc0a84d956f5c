"""What is selected of the results of mutations: whether more than a row has to be read for it."""

from collections.abc import Iterator, Sequence
from typing import cast

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetails

from app.graphql.node import type_shown_by
from app.graphql.operations.documents import ParsedOperation
from app.graphql.relations.declarations import AsEdge, Column, Embedded, Identifier, Itself, declaration_of
from app.graphql.strawberry_internals import definition_of


def is_read(operation: ParsedOperation, type_: GraphQLObjectType, details: Sequence[FieldDetails]) -> bool:
    """Return whether an object shows a row, and its selection may show more than that, whatever the variables are."""
    key = (type_.name, *(id(detail.node) for detail in details))
    found = operation.reads.get(key)
    if found is None:
        selected = [detail.node.selection_set for detail in details]
        shows_row = type_shown_by(type_.name) is not None
        found = operation.reads[key] = shows_row and not all(_is_of_row(operation, type_, each) for each in selected)
    return found


def _is_of_row(operation: ParsedOperation, type_: GraphQLObjectType, selected: SelectionSetNode | None) -> bool:
    """Return whether nothing can be selected of an object but its own row."""
    return all(_shows_row(operation, type_, node) for node in _fields(operation, type_, selected))


def _shows_row(operation: ParsedOperation, type_: GraphQLObjectType, node: FieldNode) -> bool:
    """Return whether a field shows nothing but the row of its object."""
    if (name := node.name.value) in ("__typename", "id", "cursor"):
        return True
    field = type_.fields[name]
    declared = declaration_of(definition_of(field))
    if isinstance(declared, Itself | AsEdge) or name == "node":  # the node of an edge
        return _is_of_row(operation, cast(GraphQLObjectType, get_named_type(field.type)), node.selection_set)
    return isinstance(declared, Column | Embedded | Identifier)


def _fields(
    operation: ParsedOperation, type_: GraphQLObjectType, selected: SelectionSetNode | None
) -> Iterator[FieldNode]:
    """Yield the fields of an object, also of fragments for interfaces, which it has if they are its own."""
    for node in selected.selections if selected else ():
        if isinstance(node, FieldNode):
            if node.name.value in type_.fields or node.name.value == "__typename":
                yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(operation, type_, node.selection_set)
        elif isinstance(node, FragmentSpreadNode):
            yield from _fields(operation, type_, operation.fragments[node.name.value].selection_set)
