"""The rules of stores."""

from datetime import datetime
from uuid import UUID

from app.contacts import needs_postcode
from app.db.statements import Record
from app.db.unit_of_work import UnitOfWork
from app.errors import Forbidden, InputIssue, InputIssueCode, InvalidInput, NotFound
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository
from app.stores.inputs import CreateStoreInput, UpdateStoreInput


async def create_store(work: UnitOfWork, viewer: Viewer, new: CreateStoreInput) -> Record:
    """Open a store that the viewer owns."""
    return await repository.insert(work, {"owner_id": viewer.id, **new.given(), "postcode": new.postcode or ""})


async def update_store(work: UnitOfWork, viewer: Viewer, update: UpdateStoreInput) -> Record:
    """Change a store; StaleVersion where it no longer has the expected version."""
    store = await managed_store(work, viewer, update.id)
    changes = update.changes_of("Store", store)
    if not changes.get("postcode", store.postcode) and changes.keys() & {"postcode", "country"}:
        changes["postcode"] = _no_postcode(changes.get("country", store.country))
    return await repository.update(work, store, changes)


def _no_postcode(country: str) -> str:
    """Return what is stored for an address without a postcode; InvalidInput where its country needs one."""
    if needs_postcode(country):
        raise InvalidInput([InputIssue(("postcode",), InputIssueCode.REQUIRED, f"must be given in {country}")])
    return ""


async def delete_store(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    """Delete a store and its products."""
    store = await managed_store(work, viewer, key)
    moment = await repository.this_moment(work)
    await repository.mark_products(work, [store.id], None, moment)
    return await repository.update(work, store, {"deleted_at": moment})


async def delete_stores_of(work: UnitOfWork, user_id: UUID, moment: datetime) -> None:
    """Delete every store of the user, and their products, all at this moment, which no other deletion has."""
    keys = await repository.open_stores_of(work, user_id)
    # All products at once, in one order: store by store, two deletions could wait for each other.
    await repository.mark_products(work, keys, None, moment)
    await repository.mark_deleted(work, keys, moment)


async def restore_store(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    """Restore a deleted store and the products that were deleted with it; one that is open stays as it is."""
    store = await repository.locked_store(work, key)
    if store is None or not (store.deleted_at is None or is_self_or_superuser(viewer, store.owner_id)):
        raise NotFound("Store", key)
    require_manager(viewer, store.owner_id)
    if store.deleted_at is None:
        return store
    restored = await repository.update(work, store, {"deleted_at": None})
    await repository.mark_products(work, [store.id], store.deleted_at, None)
    return restored


async def managed_store(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    """Return the store, locked; NotFound where there is none, Forbidden where it isn't the viewer's to manage."""
    return require_managed(viewer, key, await repository.locked_store(work, key))


def require_managed(viewer: Viewer, key: UUID, store: Record | None) -> Record:
    """Return the store with this key; NotFound where there is none, Forbidden where it isn't the viewer's to manage."""
    if store is None or store.deleted_at is not None:
        raise NotFound("Store", key)
    require_manager(viewer, store.owner_id)
    return store


def require_manager(viewer: Viewer | None, owner_id: UUID) -> None:
    """Raise Forbidden where the viewer doesn't manage this owner's stores."""
    if not is_self_or_superuser(viewer, owner_id):
        raise Forbidden("Only the store's owner and superusers may do this.")
