"""How a mutation's root field runs: the viewer's access and the input are checked, it can be undone by itself, and the
audit trail records it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import strawberry
from graphql import FieldNode, GraphQLField
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from strawberry.types.field import StrawberryField

from app.audit import recording as audit
from app.errors import DomainError
from app.graphql.attempts import Attempt
from app.graphql.context import Context, Info
from app.graphql.inputs import Given, describe_inputs, inputs_of
from app.graphql.relations.declarations import POINTS
from app.graphql.strawberry_internals import definition_of
from app.inputs import Input
from app.security.viewer import Access, require


class RootField(FieldExtension):
    """Runs the resolver as a part of the operation's transaction that leaves nothing behind where it fails. What it
    did is final once the field's result has been read, which the execution of the operation sees to."""

    def __init__(
        self, access: Access, *, attempt: Attempt | None, confirms: bool, is_replayable: bool, is_one_statement: bool
    ) -> None:
        self.access = access
        self.is_one_statement = is_one_statement
        self.attempt = attempt
        self.is_replayable = is_replayable
        self.confirms = confirms

    def apply(self, field: StrawberryField) -> None:
        """Make input types of the resolver's inputs."""
        describe_inputs(field)

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: Info, **kwargs: Any) -> Any:
        """Run the resolver, or return what it has returned if it has run."""
        if (outcome := info.context.outcome) is not None:
            return outcome.value()
        # An input is read only once the viewer may send one.
        return await self.run(info, lambda: next_(source, info, **inputs_of(kwargs)), is_alone=_is_alone(info))

    async def run(self, info: Info, resolve: Callable[[], Awaitable[Any]], *, is_alone: bool) -> Any:
        """Run the resolver, alone in its operation or not, and undo what it did where it raises."""
        context = info.context
        context.prepared(info.path.key)  # raises why an attempt is refused, which needs no transaction
        is_single_statement = is_alone and self.is_one_statement
        await _begin(context, is_alone=is_alone, is_single_statement=is_single_statement)
        try:
            return await self._recorded(info, resolve)
        except Exception as failure:
            # A single statement that is refused has done nothing, and the refusal is kept with the request's key.
            is_refused = is_single_statement and isinstance(failure, DomainError)
            await context.work.end_field(undo=not is_refused)
            raise

    async def _recorded(self, info: Info, resolve: Callable[[], Awaitable[Any]]) -> Any:
        """Run the resolver for the viewer as they are now, and write what it changed to the audit trail."""
        context = info.context
        if self.access is Access.UNIDENTIFIED:
            context.act_as(None)
        else:
            await context.begin_field(confirm=not self.confirms)
            require(self.access, context.viewer)
        audit.begin(context.work, info.field_name, context.request.id, context.actor_id)
        result = await resolve()
        audit.act_as(context.work, context.actor_id)  # who has just logged in
        await audit.write(context.work)
        return result


async def _begin(context: Context, *, is_alone: bool, is_single_statement: bool) -> None:
    """Begin the transaction, if the field needs one, and what it can be rolled back to."""
    if is_single_statement and context.may_be_one_statement:
        context.work.begin_one_statement()
    else:
        await context.begin_mutation()
        has_key = context.idempotent_request is not None
        await context.work.begin_field(alone=is_single_statement or (is_alone and not has_key))


def _is_alone(info: Info) -> bool:
    """Return whether the operation has this one root field."""
    fields = info.operation.selection_set.selections
    return len(fields) == 1 and isinstance(fields[0], FieldNode)


def root_field(field: GraphQLField) -> RootField:
    """Return what a root field of Mutation declares."""
    return next(each for each in definition_of(field).extensions if isinstance(each, RootField))


def given_input(field: GraphQLField, values: Mapping[str, Any]) -> Given:
    """Return the input of a root field of Mutation, not yet checked, of which the client gave these values."""
    (argument,) = definition_of(field).arguments
    return Given(cast(type[Input], argument.type_annotation.annotation), values, argument.python_name)


def mutation(
    access: Access,
    description: str,
    *,
    attempt: Attempt | None = None,
    confirms: bool = False,
    is_replayable: bool = True,
    is_one_statement: bool = False,
    points: int = 10,
) -> Any:
    """Make a root field of Mutation out of an async resolver. An attempt is counted, and prepared before the
    transaction begins. A resolver that confirms the viewer's account itself saves the round trip that would do so
    before. Responses that are not replayable are not kept under an idempotency key. A resolver of one statement writes
    with `UnitOfWork.write`, so that it needs no transaction where it is alone. The points are what it costs to lock,
    check, write and notify, besides the items of its input."""
    extension = RootField(
        access, attempt=attempt, confirms=confirms, is_replayable=is_replayable, is_one_statement=is_one_statement
    )
    return strawberry.mutation(description=description, extensions=[extension], metadata={POINTS: points})
