"""How a mutation's root field runs: the viewer's access and the input are checked, it can be undone by itself, and the
audit trail records it."""

from collections.abc import Mapping
from typing import Any

import strawberry
from graphql import FieldNode
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from strawberry.types.field import StrawberryField

from app.audit import recording as audit
from app.graphql.context import Info
from app.graphql.failures import Error
from app.graphql.inputs import Given, describe_inputs, inputs_of
from app.security.viewer import Access, require


class RootField(FieldExtension):
    """Runs the resolver as a part of the operation's transaction that leaves nothing behind where it fails. What it
    did is final once the field's result has been read, which the execution of the operation sees to."""

    def __init__(self, access: Access, *, is_attempt: bool, confirms: bool, is_replayable: bool) -> None:
        self.access = access
        self.is_replayable = is_replayable
        self.is_attempt = is_attempt
        self.confirms = confirms

    def apply(self, field: StrawberryField) -> None:
        """Make input types of the resolver's inputs."""
        describe_inputs(field)

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: Info, **kwargs: Any) -> Any:
        """Run the resolver, in its turn where it is given a password, and undo what it did where it raises."""
        if not _has(kwargs, "password", "currentPassword"):
            return await self._resolve(next_, source, info, kwargs)
        context = info.context
        async with context.services.password_turns.taken(may_wait=not context.work.writes):
            return await self._resolve(next_, source, info, kwargs)

    async def _resolve(self, next_: AsyncExtensionResolver, source: Any, info: Info, kwargs: Any) -> Any:
        context = info.context
        if self.is_attempt or _has(kwargs, "currentPassword"):
            await context.services.rate_limits.attempt(context.request.address)
        await context.begin_mutation()
        await context.work.begin_field(alone=context.idempotent_request is None and _is_alone(info))
        try:
            return await self._recorded(next_, source, info, kwargs)
        except Exception:
            await context.work.end_field(undo=True)
            raise

    async def _recorded(self, next_: AsyncExtensionResolver, source: Any, info: Info, kwargs: Any) -> Any:
        """Run the resolver for the viewer as they are now, and write what it changed to the audit trail."""
        context = info.context
        if self.access is Access.UNIDENTIFIED:
            context.act_as(None)
        else:
            await context.begin_field(confirm=not self.confirms)
            require(self.access, context.viewer)
        audit.begin(context.work, info.field_name, context.request.id, context.actor_id)
        result = await next_(source, info, **inputs_of(kwargs))
        audit.act_as(context.work, context.actor_id)  # who has just logged in
        await audit.write(context.work, failed=isinstance(result, Error))
        return result


def _has(arguments: Mapping[str, Any], *fields: str) -> bool:
    """Return whether the client gave any of these fields of the input."""
    return any(isinstance(given, Given) and given.values.keys() & {*fields} for given in arguments.values())


def _is_alone(info: Info) -> bool:
    """Return whether the operation has this one root field."""
    fields = info.operation.selection_set.selections
    return len(fields) == 1 and isinstance(fields[0], FieldNode)


def mutation(
    access: Access, description: str, *, is_attempt: bool = False, confirms: bool = False, is_replayable: bool = True
) -> Any:
    """Make a root field of Mutation out of an async resolver. Attempts to log in are counted, and so is
    every current password that is given. A resolver that confirms
    the viewer's account itself saves the round trip that would do so before. Responses that are not replayable are not
    kept under an idempotency key."""
    extension = RootField(access, is_attempt=is_attempt, confirms=confirms, is_replayable=is_replayable)
    return strawberry.mutation(description=description, extensions=[extension])
