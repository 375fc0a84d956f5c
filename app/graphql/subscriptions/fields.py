"""How the root fields of Subscription are declared, and resolved for each event."""

from typing import TYPE_CHECKING, Any, TypeVar

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver

from app.errors import Missing
from app.security.viewer import Access, require

if TYPE_CHECKING:
    from app.graphql.context import Info

READ_BY = "read_by"

T = TypeVar("T")


class EachEvent(FieldExtension):
    """Runs the resolver again for each event, for the viewer as they are by then."""

    def __init__(self, access: Access) -> None:
        self.access = access

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: "Info", **kwargs: Any) -> Any:
        """Run the resolver, if the viewer may call it."""
        context = info.context
        await context.begin_field()
        if self.access is not Access.ANYONE:
            require(self.access, context.require_viewer())
        return await next_(source, info, **kwargs)


def found(name: str, thing: T | None) -> T:
    """Return what a subscription follows; Missing where there is none, or the viewer may not see it."""
    if thing is None:
        raise Missing(f"There is no such {name}, or you can't see it.")
    return thing


def subscription(access: Access, description: str, read_by: str | None = None) -> Any:
    """Make a root field of Subscription out of an async resolver that follows a topic and returns the current state.
    `read_by` names the field of Query that returns the same by `id`, to the same viewers, if there is one."""
    return strawberry.field(description=description, extensions=[EachEvent(access)], metadata={READ_BY: read_by})
