"""The root fields that find anything by its global id."""

from asyncio import Future, gather
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import strawberry

from app.db.pagination import MAX_PAGE_SIZE
from app.errors import BadUserInput, Unauthenticated
from app.graphql.context import Context, Info
from app.graphql.ids import parse_global_id
from app.graphql.loaders import NODES
from app.graphql.node import Node
from app.graphql.relations.meaning import Nodes, in_sql

_BY_KEY = {name: visible.by_key for name, visible in NODES.items()}


def _node_key(argument: str, id: str) -> tuple[str, UUID]:
    """Return the type's name and the key of what can be looked up; BadUserInput where nothing of the kind can be."""
    type_name, key = parse_global_id(argument, id)
    if type_name not in NODES:
        raise BadUserInput(argument, "is not an id of this API")
    return type_name, key


def _node_keys(ids: Sequence[str]) -> list[tuple[str, UUID]]:
    """Return the names and keys of many; BadUserInput where they are too many."""
    if len(ids) > MAX_PAGE_SIZE:
        raise BadUserInput("ids", f"must have at most {MAX_PAGE_SIZE}, not {len(ids)}")
    return [_node_key(f"ids.{index}", id) for index, id in enumerate(ids)]


def _load(context: Context, type_name: str, key: UUID) -> Future[Node | None]:
    """Load what has this key, if the viewer may see it."""
    return context.loaders.visible(NODES[type_name]).load(key)


def _seen_or_refused(context: Context, node: Node | None) -> Any:
    """Return what stands in the place of one of many; an exception is the error of that place alone."""
    try:
        return context.seen(node)
    except Unauthenticated as refusal:
        return refusal


@strawberry.type
class NodeQueries:
    @strawberry.field(
        description="Anything by its id; null where there is none, or it is not yours to see.",
        metadata=in_sql(Nodes(_BY_KEY, lambda id: [_node_key("id", id)])),
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The global id.")],
    ) -> Node | None:
        return info.context.seen(await _load(info.context, *_node_key("id", id)))

    @strawberry.field(
        description="Many things by their ids, up to 100, each in its place; null where there is none.",
        metadata=in_sql(Nodes(_BY_KEY, _node_keys)),
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="The global ids.")],
    ) -> list[Node | None]:
        found = await gather(*(_load(info.context, *key) for key in _node_keys(ids)))
        return [_seen_or_refused(info.context, node) for node in found]
