"""How a mutation's root field runs: who may call it is checked, its writes stand in a savepoint of their own, and
the audit trail tells of them."""

from typing import Any

import strawberry
from graphql import FieldNode
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from strawberry.utils.str_converters import to_camel_case

from app.audit import recording as audit
from app.graphql.context import Info
from app.graphql.errors import Error
from app.security.viewer import Access, require


class Savepoint(FieldExtension):
    """Runs the resolver as a part of the operation's transaction of which, where it fails, nothing is left behind."""

    def __init__(self, access: Access) -> None:
        self.access = access

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: Info, **kwargs: Any) -> Any:
        """Run the resolver, and undo what it did where it raises."""
        context = info.context
        await context.begin_mutation()
        async with context.work.savepoint(alone=context.idempotent_request is None and _is_alone(info)):
            await context.begin_field()
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


def mutation(access: Access, description: str) -> Any:
    """Make a root field of Mutation out of an async resolver."""
    return strawberry.mutation(description=description, extensions=[Savepoint(access)])


def given(value: object) -> Any:
    """Return an input object as a dict of the fields that the client gave, named as it named them."""
    if isinstance(value, list):
        return [given(item) for item in value]
    definition = getattr(value, "__strawberry_definition__", None)
    if definition is None:
        return value
    fields = ((field.graphql_name or to_camel_case(field.python_name), field) for field in definition.fields)
    present = ((name, getattr(value, field.python_name)) for name, field in fields)
    return {name: given(item) for name, item in present if item is not strawberry.UNSET}
