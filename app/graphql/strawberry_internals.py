"""What we use of Strawberry beyond its public API; `tests/graphql/test_strawberry_internals.py` checks each part."""

from graphql import GraphQLField, GraphQLSchema
from strawberry import Schema
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

ExecutionContext = StrawberryGraphQLCoreExecutionContext
"""The execution context with which Strawberry runs graphql-core."""

is_awaitable = optimized_is_awaitable


def graphql_schema(schema: Schema) -> GraphQLSchema:
    """Return graphql-core's schema, which executes Strawberry's."""
    return schema._schema


def definition_of(field: GraphQLField) -> StrawberryField:
    """Return Strawberry's definition of a field of a type that we defined; introspection's fields have none."""
    definition: StrawberryField = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    return definition
