"""The queries and mutations of stores."""

import strawberry

from app.graphql.context import Info
from app.graphql.mutations import mutation
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import lookup, pages
from app.products.repository import catalog as products
from app.security.viewer import Access
from app.stores import repository, service
from app.stores.inputs import CreateStoreInput, DeleteStoreInput, RestoreStoreInput, UpdateStoreInput
from app.stores.types import (
    CreateStoreResult,
    CreateStoreSuccess,
    DeleteStoreResult,
    DeleteStoreSuccess,
    RestoreStoreResult,
    RestoreStoreSuccess,
    Store,
    UpdateStoreResult,
    UpdateStoreSuccess,
)


@strawberry.type
class StoreQueries:
    store: Store | None = lookup(
        Store,
        "A store by its ID, or null if there is none. Deleted stores are visible only to their owner and superusers.",
    )
    stores: Connection[Store] | None = pages(
        repository.catalog, "All stores that aren't deleted, oldest first by default."
    )


@strawberry.type
class StoreMutations:
    @mutation(Access.LOGGED_IN, "Opens a store that you own.")
    async def create_store(self, info: Info, input: CreateStoreInput) -> CreateStoreResult | None:
        return CreateStoreSuccess(row=await service.create_store(*info.context.acting(), input))

    @mutation(Access.LOGGED_IN, "Updates a store. For its owner and superusers.")
    async def update_store(self, info: Info, input: UpdateStoreInput) -> UpdateStoreResult | None:
        return UpdateStoreSuccess(row=await service.update_store(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Deletes a store and its products. Undo it with `restoreStore`. For the store's owner and superusers.",
        points=products.points,
    )
    async def delete_store(self, info: Info, input: DeleteStoreInput) -> DeleteStoreResult | None:
        return DeleteStoreSuccess(row=await service.delete_store(*info.context.acting(), input.id))

    @mutation(
        Access.LOGGED_IN,
        "Restores a deleted store and the products that were deleted with it. For the store's owner and superusers.",
        points=products.points,
    )
    async def restore_store(self, info: Info, input: RestoreStoreInput) -> RestoreStoreResult | None:
        return RestoreStoreSuccess(row=await service.restore_store(*info.context.acting(), input.id))
