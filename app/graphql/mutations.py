"""How a mutation's root field runs: the viewer's access and the input are checked, its writes have a savepoint of their
own, and the audit trail records them."""

from typing import Any

import strawberry
from graphql import FieldNode
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from strawberry.types.field import StrawberryField

from app.audit import recording as audit
from app.graphql.context import Info
from app.graphql.failures import Error
from app.graphql.inputs import Given, describe_inputs
from app.security.viewer import Access, require


class Savepoint(FieldExtension):
    """Runs the resolver as a part of the operation's transaction that leaves nothing behind where it fails."""

    def __init__(self, access: Access, *, is_attempt: bool, confirms: bool) -> None:
        self.access = access
        self.is_attempt = is_attempt
        self.confirms = confirms

    def apply(self, field: StrawberryField) -> None:
        """Make input types of the resolver's inputs."""
        describe_inputs(field)

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: Info, **kwargs: Any) -> Any:
        """Run the resolver, in its turn where it is given a password, and undo what it did where it raises."""
        if not any(isinstance(given, Given) and "password" in given.values for given in kwargs.values()):
            return await self._resolve(next_, source, info, kwargs)
        context = info.context
        async with context.services.password_turns.taken(may_wait=not context.work.writes):
            return await self._resolve(next_, source, info, kwargs)

    async def _resolve(self, next_: AsyncExtensionResolver, source: Any, info: Info, kwargs: Any) -> Any:
        context = info.context
        if self.is_attempt:
            await context.services.rate_limits.attempt(context.request.address)
        await context.begin_mutation()
        async with context.work.savepoint(alone=context.idempotent_request is None and _is_alone(info)):
            await context.begin_field(confirm=not self.confirms)
            if self.access is not Access.ANYONE:
                require(self.access, context.require_viewer())
            arguments = {name: _deferred(value) for name, value in kwargs.items()}
            audit.begin(context.work, info.field_name, context.request.id, context.actor_id)
            result = await next_(source, info, **arguments)
            audit.act_as(context.work, context.actor_id)  # who has just logged in
            await audit.write(context.work, failed=isinstance(result, Error))
            return result


def _deferred(value: Any) -> Any:
    return value.deferred() if isinstance(value, Given) else value


def _is_alone(info: Info) -> bool:
    """Return whether the operation has this one root field."""
    fields = info.operation.selection_set.selections
    return len(fields) == 1 and isinstance(fields[0], FieldNode)


def mutation(access: Access, description: str, *, is_attempt: bool = False, confirms: bool = False) -> Any:
    """Make a root field of Mutation out of an async resolver. Attempts to log in are counted. A resolver that confirms
    the viewer's account itself saves the round trip that would do so before."""
    extension = Savepoint(access, is_attempt=is_attempt, confirms=confirms)
    return strawberry.mutation(description=description, extensions=[extension])
