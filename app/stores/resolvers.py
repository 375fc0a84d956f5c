"""The queries and mutations of stores."""

from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from app.graphql.context import Info
from app.graphql.ids import key_of
from app.graphql.mutations import given, mutation
from app.graphql.relations.connections import Connection, Window, connection, paged
from app.graphql.relations.meaning import Lookup, Pages, in_sql
from app.security.viewer import Access
from app.stores import repository, service
from app.stores.types import (
    CreateStoreInput,
    CreateStoreResult,
    DeleteStoreResult,
    RestoreStoreResult,
    Store,
    StoreFilter,
    StoreOrder,
    UpdateStoreInput,
    UpdateStoreResult,
)

StoreId = Annotated[strawberry.ID, strawberry.argument(description="The id of the store.")]


@strawberry.type
class StoreQueries:
    @strawberry.field(
        description="A store by id; null where there is none. A deleted one only for its owner and superusers.",
        metadata=in_sql(Lookup(repository.visible_by_key, lambda _, id: key_of("Store", "id", id))),
    )
    async def store(self, info: Info, id: StoreId) -> Store | None:
        return info.context.seen(await info.context.loaders.visible_store.load(key_of("Store", "id", id)))

    @paged(
        "All stores, the oldest first unless told otherwise; without deleted ones.",
        Pages(repository.choose, lambda _, criteria: repository.listing(criteria)),
    )
    def stores(
        self,
        info: Info,
        window: Window,
        filter: Annotated[StoreFilter | None, strawberry.argument(description="Only stores like this.")] = UNSET,
        order_by: Annotated[
            StoreOrder | None,
            strawberry.argument(description="In this order; without it the best match of a search comes first."),
        ] = UNSET,
    ) -> Connection[Store]:
        criteria, ordering = repository.choose(filter, order_by)
        page = window.on(ordering(criteria))
        return connection(info.context.work, repository.listing(criteria), page, Store.from_row)


@strawberry.type
class StoreMutations:
    @mutation(Access.LOGGED_IN, "Open a store of your own.")
    async def create_store(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(CreateStoreInput, "The new store.")],
    ) -> CreateStoreResult:
        context = info.context
        return Store.from_row(await service.create_store(context.session, context.known_viewer(), input))

    @mutation(Access.LOGGED_IN, "Change a store of yours, or any if you are a superuser.")
    async def update_store(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(UpdateStoreInput, "What to change.")],
    ) -> UpdateStoreResult:
        context, key = info.context, key_of("Store", "input.id", input.pop("id"))
        expected = input.pop("expectedVersion", None)
        return Store.from_row(await service.update_store(context.session, context.known_viewer(), key, input, expected))

    @mutation(
        Access.LOGGED_IN,
        "Delete a store of yours, or any if you are a superuser, and its products. `restoreStore` brings them back.",
    )
    async def delete_store(self, info: Info, id: StoreId) -> DeleteStoreResult:
        context, key = info.context, key_of("Store", "id", id)
        return Store.from_row(await service.delete_store(context.session, context.known_viewer(), key))

    @mutation(
        Access.LOGGED_IN,
        "Restore a deleted store of yours, or any if you are a superuser, and the products that were deleted with it.",
    )
    async def restore_store(self, info: Info, id: StoreId) -> RestoreStoreResult:
        context, key = info.context, key_of("Store", "id", id)
        return Store.from_row(await service.restore_store(context.session, context.known_viewer(), key))
