"""The schema: its root types as a table of contents."""

import strawberry
from graphql import build_schema, lexicographic_sort_schema, print_schema
from strawberry.schema.config import StrawberryConfig

from app.audit.resolvers import AuditQueries
from app.audit.types import AuditEntry
from app.graphql.compiled.safety import check_texts
from app.graphql.failures import HANDLERS
from app.graphql.node_queries import NodeQueries
from app.graphql.scalars import SCALARS
from app.orders.resolvers import OrderMutations, OrderQueries, OrderSubscriptions
from app.orders.types import OrderItem
from app.products.repository import catalog
from app.products.resolvers import ProductMutations, ProductQueries, ProductSubscriptions
from app.stores.resolvers import StoreMutations, StoreQueries
from app.users.resolvers import UserMutations, UserQueries


@strawberry.type(
    description=(
        "Read operations. An operation costs what it may read: one point for each object, a page its size, and up to "
        f"{catalog.sorting_points:,} for a search, a filter or a `totalCount`. The response reports the cost in "
        "`extensions.cost`."
    )
)
class Query(NodeQueries, UserQueries, StoreQueries, ProductQueries, OrderQueries, AuditQueries):
    pass


@strawberry.type(
    description=(
        "Write operations. A request runs in one transaction, one field after another. A field that fails changes "
        "nothing and doesn't affect the other fields. Each field costs 10 points, 2 for each item of its input, and "
        "what it reads to show its result."
    )
)
class Mutation(UserMutations, StoreMutations, ProductMutations, OrderMutations):
    pass


@strawberry.type(
    description=(
        "Live updates, over WebSocket (graphql-transport-ws) and server-sent events. Events carry the current state: "
        "after several changes in quick succession, you are guaranteed to receive only the last state."
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
check_texts(schema)


def schema_sdl() -> str:
    """Return the schema as text, sorted, as client teams generate code from it."""
    return print_schema(lexicographic_sort_schema(build_schema(schema.as_str()))) + "\n"
