"""The rules of stores."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import Store
from app.errors import Forbidden, NotFound
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository
from app.stores.inputs import CreateStoreInput, UpdateStoreInput


async def create_store(session: AsyncSession, viewer: Viewer, new: CreateStoreInput) -> Store:
    """Open a store that the viewer owns."""
    store = Store(owner_id=viewer.id, **new.given())
    await repository.save(session, store)
    return store


async def update_store(session: AsyncSession, viewer: Viewer, update: UpdateStoreInput) -> Store:
    """Change a store; StaleVersion where it no longer has the expected version."""
    store = await managed_store(session, viewer, update.id)
    update.apply(store)
    await repository.save(session, store)
    return store


async def delete_store(session: AsyncSession, viewer: Viewer, key: UUID) -> Store:
    """Delete a store and its products."""
    store = await managed_store(session, viewer, key)
    await _delete(session, [store])
    return store


async def delete_stores_of(session: AsyncSession, user_id: UUID) -> None:
    """Delete every store of the user, and their products."""
    stores = await repository.open_stores_of(session, user_id)
    # All products first, in one order: store by store, two deletions could wait for each other.
    await repository.lock_open_products(session, stores)
    await _delete(session, stores)


async def _delete(session: AsyncSession, stores: Sequence[Store]) -> None:
    """Delete each store and its products at one moment, by which `restore_store` recognizes them."""
    for store in stores:
        store.deleted_at = await repository.this_moment(session)
        await repository.mark_products(session, store, None, store.deleted_at)
        await repository.save(session, store)


async def restore_store(session: AsyncSession, viewer: Viewer, key: UUID) -> Store:
    """Restore a deleted store and the products that were deleted with it; one that is open stays as it is."""
    store = await repository.locked_store(session, key)
    if store is None or not (store.deleted_at is None or is_self_or_superuser(viewer, store.owner_id)):
        raise NotFound("Store", key)
    require_manager(viewer, store.owner_id)
    if store.deleted_at is not None:
        deleted_at, store.deleted_at = store.deleted_at, None
        await repository.save(session, store)
        await repository.mark_products(session, store, deleted_at, None)
    return store


async def managed_store(session: AsyncSession, viewer: Viewer, key: UUID, *, shared: bool = False) -> Store:
    """Return the store, locked; NotFound where there is none, Forbidden where it isn't the viewer's to manage."""
    store = await repository.locked_store(session, key, shared=shared)
    if store is None or store.deleted_at is not None:
        raise NotFound("Store", key)
    require_manager(viewer, store.owner_id)
    return store


def require_manager(viewer: Viewer | None, owner_id: UUID) -> None:
    """Raise Forbidden where the viewer doesn't manage this owner's stores."""
    if not is_self_or_superuser(viewer, owner_id):
        raise Forbidden("Only the store's owner and superusers may do this.")
