"""How a mutation's root field runs: who may call it is checked, its writes stand in a savepoint of their own, and
the audit trail tells of them."""

from typing import Any

import strawberry
from graphql import FieldNode
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from strawberry.types.base import StrawberryObjectDefinition

from app.audit import recording as audit
from app.graphql.context import Info
from app.graphql.errors import Error
from app.security.viewer import Access, require


class Savepoint(FieldExtension):
    """Runs the resolver as a part of the operation's transaction of which, where it fails, nothing is left behind."""

    def __init__(self, access: Access, *, is_attempt: bool, confirms: bool) -> None:
        self.access = access
        self.is_attempt = is_attempt
        self.confirms = confirms

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: Info, **kwargs: Any) -> Any:
        """Run the resolver, in its turn where it is given a password, and undo what it did where it raises."""
        if "password" not in kwargs.get("input", ()):
            return await self._resolve(next_, source, info, kwargs)
        context = info.context
        async with context.password_turns.taken(may_wait=not context.work.writes):
            return await self._resolve(next_, source, info, kwargs)

    async def _resolve(self, next_: AsyncExtensionResolver, source: Any, info: Info, kwargs: Any) -> Any:
        context = info.context
        if self.is_attempt:
            await context.count_attempt()
        await context.begin_mutation()
        async with context.work.savepoint(alone=context.idempotent_request is None and _is_alone(info)):
            await context.begin_field(confirm=not self.confirms)
            if self.access is not Access.ANYONE:
                require(self.access, context.known_viewer())
            audit.begin(context.work, info.field_name, context.request_id, context.actor_id)
            result = await next_(source, info, **kwargs)
            audit.act_as(context.work, context.actor_id)  # who has just logged in
            await audit.write(context.work, failed=isinstance(result, Error))
            return result


def _is_alone(info: Info) -> bool:
    """Tell whether the operation has this one root field."""
    fields = info._raw_info.operation.selection_set.selections
    return len(fields) == 1 and isinstance(fields[0], FieldNode)


def mutation(access: Access, description: str, *, is_attempt: bool = False, confirms: bool = False) -> Any:
    """Make a root field of Mutation out of an async resolver. If it is an attempt to get in, those are counted. If it
    confirms by itself that the viewer's account is there, that is not asked before, which saves a round trip."""
    extension = Savepoint(access, is_attempt=is_attempt, confirms=confirms)
    return strawberry.mutation(description=description, extensions=[extension])


def given(type_: type, description: str) -> Any:
    """Make an argument of an input type whose resolver gets a dict of what the client gave, named as it named it.

    The rules of an input read that dict. To make objects of it first took a tenth of the time of `placeOrder`."""
    definition: StrawberryObjectDefinition = type_.__strawberry_definition__  # type: ignore[attr-defined]  # its decorator's
    definition.from_input = lambda _, value, __: dict(value)
    return strawberry.argument(description=description, graphql_type=type_)
