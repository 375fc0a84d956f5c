"""What we use of Strawberry beyond its public API; `tests/graphql/test_strawberry_internals.py` checks each part."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

from graphql import GraphQLField, GraphQLResolveInfoHelpers, GraphQLSchema
from graphql.pyutils import Path
from strawberry import Info, Schema
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField


class ExecutionContext(StrawberryGraphQLCoreExecutionContext):
    """The execution context with which Strawberry runs graphql-core, which refers to itself by these helpers: with all
    that it has collected and loaded, it would stay until a garbage collection."""

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        """What helps a resolver to await several values."""
        return GraphQLResolveInfoHelpers(gather=self.gather_async_work, track=self.track_async_work)

    @async_helpers.setter
    def async_helpers(self, _: GraphQLResolveInfoHelpers) -> None:
        """Keep none."""


is_awaitable = optimized_is_awaitable


def graphql_schema(schema: Schema) -> GraphQLSchema:
    """Return graphql-core's schema, which executes Strawberry's."""
    return schema._schema


def definition_of(field: GraphQLField) -> StrawberryField:
    """Return Strawberry's definition of a field of a type that we defined; introspection's fields have none."""
    definition: StrawberryField = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    return definition


class _ResolveInfo(NamedTuple):
    """What the resolvers of mutations ask graphql-core's for."""

    context: Any
    path: Path
    field_name: str


def called(field: GraphQLField, context: Any, path: Path, name: str) -> tuple[Info[Any, Any], Callable[..., Any]]:
    """Return what calls a root field's resolver without graphql-core: its info, and the resolver, which takes the info
    and the arguments by their names."""
    definition = definition_of(field)
    assert definition.base_resolver is not None, "a root field has a resolver"
    info = Info(_raw_info=cast(Any, _ResolveInfo(context, path, name)), _field=definition)
    return info, partial(definition.base_resolver, cast(Any, None), info=info)
