"""The schema: its root types as a table of contents."""

import strawberry
from graphql import build_schema, lexicographic_sort_schema, print_schema
from strawberry.schema.config import StrawberryConfig

from app.audit.resolvers import AuditQueries
from app.audit.types import AuditEntry
from app.graphql.errors import HANDLERS
from app.graphql.node_queries import NodeQueries
from app.graphql.scalars import SCALARS
from app.orders.resolvers import OrderMutations, OrderQueries, OrderSubscriptions
from app.orders.types import OrderItem
from app.products.resolvers import ProductMutations, ProductQueries, ProductSubscriptions
from app.stores.resolvers import StoreMutations, StoreQueries
from app.users.resolvers import UserMutations, UserQueries


@strawberry.type(
    description=(
        "What can be read. An operation costs a point for each object that it may return: a page as many as it may "
        "have, the items of an order ten, a `totalCount` ten more. `extensions.cost` of the response tells how many."
    )
)
class Query(NodeQueries, UserQueries, StoreQueries, ProductQueries, OrderQueries, AuditQueries):
    pass


@strawberry.type(
    description=(
        "What can be changed. One request is one transaction: its fields run one after the other, and a field "
        "that fails leaves nothing behind while the others stand. Each costs ten points, and what is selected of it."
    )
)
class Mutation(UserMutations, StoreMutations, ProductMutations, OrderMutations):
    pass


@strawberry.type(
    description=(
        "What can be followed, over websockets (graphql-transport-ws) and server-sent events. An event is what is so "
        "when it is sent: of changes in quick succession the last is sent for sure."
    )
)
class Subscription(ProductSubscriptions, OrderSubscriptions):
    pass


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[OrderItem, AuditEntry],
    config=StrawberryConfig(scalar_map=SCALARS),
    exception_handlers=HANDLERS,
)


def schema_sdl() -> str:
    """Return the schema as text, sorted, as client teams generate code from it."""
    return print_schema(lexicographic_sort_schema(build_schema(schema.as_str()))) + "\n"
