"""How a root field of Query with a resolver of its own takes its input."""

from typing import Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from strawberry.types.field import StrawberryField

from app.graphql.context import Info
from app.graphql.inputs import describe_inputs, inputs_of


class Inputs(FieldExtension):
    """Makes the resolver's arguments inputs."""

    def apply(self, field: StrawberryField) -> None:
        """Make input types of them."""
        describe_inputs(field)

    async def resolve_async(self, next_: AsyncExtensionResolver, source: Any, info: Info, **kwargs: Any) -> Any:
        """Run the resolver with what the client gave."""
        return await next_(source, info, **inputs_of(kwargs))


def query(description: str) -> Any:
    """Make a root field of Query out of an async resolver, whose failures are members of its result."""
    return strawberry.field(description=description, extensions=[Inputs()])
