"""The root fields that find any object by its global id."""

from collections.abc import Sequence
from uuid import UUID

import strawberry

from app.db.pagination import MAX_PAGE_SIZE
from app.errors import BadUserInput
from app.graphql.arguments import parse_global_id
from app.graphql.node import Node, is_node
from app.graphql.relations.fields import nodes


def _node_key(argument: Sequence[str], id: str) -> tuple[str, UUID]:
    """Return the type's name and the key of what can be looked up; BadUserInput if nothing of the kind can be."""
    type_name, key = parse_global_id(argument, id)
    if not is_node(type_name):
        raise BadUserInput(argument, "is not an ID of this API")
    return type_name, key


def _one(id: str) -> Sequence[tuple[str, UUID]]:
    return [_node_key(["id"], id)]


def _many(ids: Sequence[str]) -> Sequence[tuple[str, UUID]]:
    if len(ids) > MAX_PAGE_SIZE:
        raise BadUserInput("ids", f"has {len(ids)} items; the limit is {MAX_PAGE_SIZE}")
    return [_node_key(["ids", str(index)], id) for index, id in enumerate(ids)]


@strawberry.type
class NodeQueries:
    node: Node | None = nodes(
        _one,
        "Any object by its global ID. Null if it doesn't exist or you can't see it.",
        "id",
        strawberry.ID,
        "Global ID of the object.",
    )
    nodes: list[Node | None] | None = nodes(
        _many,
        "Up to 100 objects by their global IDs, in the order requested. Null in place of each object that doesn't "
        "exist or that you can't see.",
        "ids",
        list[strawberry.ID],
        "Up to 100 global IDs. Each costs one point plus the cost of what you select from it.",
    )
