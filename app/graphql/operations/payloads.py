"""What is selected of the results of mutations, and which of it the compiler reads."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import cast

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields

from app.graphql.compiled.path import AskedPayload
from app.graphql.context import Context
from app.graphql.node import type_shown_by
from app.graphql.operations.documents import ParsedOperation
from app.graphql.relations.declarations import AsEdge, Column, Embedded, Identifier, Itself, declaration_of
from app.graphql.strawberry_internals import definition_of


def asked_of(context: Context, field: GraphQLField, details: list[FieldDetails]) -> Iterator[AskedPayload]:
    """Yield what the compiler may have to read of what a root field returns: of its success, or of the list in that."""
    schema, operation, variables = context.services.schema, context.operation, context.variables
    result = get_named_type(field.type)
    operation.forget_surplus()
    possible = schema.get_possible_types(result) if is_abstract_type(result) else (result,)
    for type_ in cast(Sequence[GraphQLObjectType], possible):
        if is_read(operation, type_, details):
            yield AskedPayload(operation, variables, type_, details)
        elif _lists_nodes(type_):
            fragments = {name: FragmentDetails(each) for name, each in operation.fragments.items()}
            selected = collect_subfields(schema, fragments, variables, operation.definition, type_, details)
            for within in selected.grouped_field_set.values():
                listing = type_.fields.get(within[0].node.name.value)  # `__typename` has none
                node_type = listing and node_type_of(listing.type)
                if node_type is not None:
                    yield AskedPayload(operation, variables, node_type, within, is_list=True)


def node_type_of(type_: GraphQLOutputType) -> GraphQLObjectType | None:
    """Return the type of the nodes in a list, if the type is of one."""
    listed = get_nullable_type(type_)
    node_type = get_nullable_type(listed.of_type) if isinstance(listed, GraphQLList) else None
    is_shown = isinstance(node_type, GraphQLObjectType) and type_shown_by(node_type.name) is not None
    return node_type if is_shown else None


@cache
def _lists_nodes(type_: GraphQLObjectType) -> bool:
    return any(node_type_of(field.type) is not None for field in type_.fields.values())


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
