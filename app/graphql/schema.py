"""The schema: its root types as a table of contents, and how one operation is executed."""

from asyncio import gather
from typing import Annotated, Any

import strawberry
from graphql import GraphQLError, build_schema, lexicographic_sort_schema, print_schema
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult

from app.errors import BadUserInput
from app.graphql.context import Context, Info
from app.graphql.errors import HANDLERS, is_internal, presentable
from app.graphql.ids import parse_global_id
from app.graphql.node import Node
from app.graphql.scalars import SCALARS
from app.orders.resolvers import OrderMutations, OrderQueries
from app.orders.types import OrderItem
from app.pagination import MAX_PAGE_SIZE
from app.products.resolvers import ProductMutations, ProductQueries
from app.stores.resolvers import StoreMutations, StoreQueries
from app.users.resolvers import UserMutations, UserQueries

_DOCUMENTS_KEPT = 500


@strawberry.type
class NodeQueries:
    @strawberry.field(description="Anything by its id; null where there is none, or it is not yours to see.")
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The global id.")],
    ) -> Node | None:
        return await _node(info.context, "id", id)

    @strawberry.field(description="Many things by their ids, up to 100, each in its place; null where there is none.")
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="The global ids.")],
    ) -> list[Node | None]:
        if len(ids) > MAX_PAGE_SIZE:
            raise BadUserInput("ids", f"must have at most {MAX_PAGE_SIZE}, not {len(ids)}")
        return await gather(*(_node(info.context, f"ids.{index}", id) for index, id in enumerate(ids)))


async def _node(context: Context, argument: str, id: str) -> Node | None:
    type_name, key = parse_global_id(argument, id)
    loaders = context.loaders
    match type_name:
        case "User":
            return await loaders.visible_user.load(key)
        case "Store":
            return await loaders.visible_store.load(key)
        case "Product":
            return await loaders.visible_product.load(key)
        case "Order":
            return await loaders.visible_order.load(key)
        case "OrderItem":
            return await loaders.visible_item.load(key)
        case _:
            raise BadUserInput(argument, "is not an id of this API")


@strawberry.type(description="What can be read.")
class Query(NodeQueries, UserQueries, StoreQueries, ProductQueries, OrderQueries):
    pass


@strawberry.type(
    description=(
        "What can be changed. One request is one transaction: its fields run one after the other, and a field "
        "that fails leaves nothing behind while the others stand."
    )
)
class Mutation(UserMutations, StoreMutations, ProductMutations, OrderMutations):
    pass


class Schema(strawberry.Schema):
    """The schema of the Orders API. One execution is one unit of work."""

    async def execute(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Execute an operation. A mutation is committed before this returns; where it has no data, or something
        unforeseen went wrong, it is undone: Postgres may have given up the transaction, and would commit nothing."""
        context: Context = kwargs["context_value"]
        work = context.work
        try:
            result = await super().execute(*args, **kwargs)
            if result.errors:
                result.errors = [presentable(error, context.request_id) for error in result.errors]
                if work.writes and any(is_internal(error) for error in result.errors):
                    result.data = None
            try:
                await work.finish(commit=result.data is not None)
            except Exception as failure:
                error = presentable(GraphQLError(str(failure), original_error=failure), context.request_id)
                result = ExecutionResult(data=None, errors=[error])
        finally:
            await work.close()
        return result

    def process_errors(self, errors: list[Any], execution_context: Any = None) -> None:
        """Log nothing here: `presentable` logs what was not foreseen, once."""


schema = Schema(
    query=Query,
    mutation=Mutation,
    types=[OrderItem],
    extensions=[lambda: ParserCache(_DOCUMENTS_KEPT), lambda: ValidationCache(_DOCUMENTS_KEPT)],
    config=StrawberryConfig(scalar_map=SCALARS),
    exception_handlers=HANDLERS,
)


def schema_sdl() -> str:
    """Return the schema as text, sorted, as client teams generate code from it."""
    return print_schema(lexicographic_sort_schema(build_schema(schema.as_str()))) + "\n"
