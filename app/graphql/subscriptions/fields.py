"""How the root fields of Subscription are declared, and resolved for each event."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import strawberry
from sqlalchemy import Select
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver

from app.errors import Missing
from app.graphql.node import Node
from app.graphql.relations.declarations import DECLARATION
from app.graphql.relations.fields import looked_up
from app.security.viewer import Access, Viewer, require

if TYPE_CHECKING:
    from app.graphql.context import Info

T = TypeVar("T")


class EachEvent(FieldExtension):
    """Runs the resolver again for each event, for the viewer as they are by then."""

    def __init__(self, access: Access) -> None:
        self.access = access

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: "Info", **kwargs: Any) -> Any:
        """Run the resolver, if the viewer may call it."""
        context = info.context
        await context.begin_field()
        require(self.access, context.viewer)
        return await next_(source, info, **kwargs)


def found(name: str, thing: T | None) -> T:
    """Return what a subscription follows; Missing where there is none, or the viewer may not see it."""
    if thing is None:
        raise Missing(f"There is no such {name}, or you can't see it.")
    return thing


def subscription(
    access: Access,
    description: str,
    state_of: type[Node] | None = None,
    argument: str = "",
    by_key: Callable[[Viewer | None], Select[Any]] | None = None,
) -> Any:
    """Make a root field of Subscription out of an async resolver that follows a topic and returns an event. An event
    that is the current `state_of` the node with the id in this argument, found `by_key`, is read on the compiled path.
    """
    metadata = {} if state_of is None else {DECLARATION: looked_up(state_of, argument, by_key)}
    return strawberry.field(description=description, extensions=[EachEvent(access)], metadata=metadata)
