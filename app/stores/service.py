"""The rules of stores."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import recording as audit
from app.contacts import needs_postcode
from app.db.models import Store
from app.errors import Forbidden, InputIssue, InputIssueCode, InvalidInput, NotFound
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository
from app.stores.inputs import CreateStoreInput, UpdateStoreInput


async def create_store(session: AsyncSession, viewer: Viewer, new: CreateStoreInput) -> Store:
    """Open a store that the viewer owns."""
    store = Store(owner_id=viewer.id, **new.given("postcode"), postcode=new.postcode or "")
    await repository.save(session, store)
    return store


async def update_store(session: AsyncSession, viewer: Viewer, update: UpdateStoreInput) -> Store:
    """Change a store; StaleVersion where it no longer has the expected version."""
    store = await managed_store(session, viewer, update.id)
    changes = update.changes_of(store)
    if not changes.get("postcode", store.postcode) and changes.keys() & {"postcode", "country"}:
        changes["postcode"] = _no_postcode(changes.get("country", store.country))
    for name, value in changes.items():
        setattr(store, name, value)
    await repository.save(session, store)
    return store


def _no_postcode(country: str) -> str:
    """Return what is stored for an address without a postcode; InvalidInput where its country needs one."""
    if needs_postcode(country):
        raise InvalidInput([InputIssue(("postcode",), InputIssueCode.REQUIRED, f"must be given in {country}")])
    return ""


async def delete_store(session: AsyncSession, viewer: Viewer, key: UUID) -> Store:
    """Delete a store and its products."""
    store = await managed_store(session, viewer, key)
    store.deleted_at = await repository.this_moment(session)
    await repository.mark_products(session, [store.id], None, store.deleted_at)
    await repository.save(session, store)
    return store


async def delete_stores_of(session: AsyncSession, user_id: UUID) -> None:
    """Delete every store of the user, and their products, all at one moment."""
    keys = await repository.open_stores_of(session, user_id)
    moment = await repository.this_moment(session)
    # All products at once, in one order: store by store, two deletions could wait for each other.
    await repository.mark_products(session, keys, None, moment)
    await repository.mark_deleted(session, keys, moment)
    for key in keys:
        audit.note(session, audit.Change("Store", key, ("deletedAt",)))


async def restore_store(session: AsyncSession, viewer: Viewer, key: UUID) -> Store:
    """Restore a deleted store and the products that were deleted with it; one that is open stays as it is."""
    store = await repository.locked_store(session, key)
    if store is None or not (store.deleted_at is None or is_self_or_superuser(viewer, store.owner_id)):
        raise NotFound("Store", key)
    require_manager(viewer, store.owner_id)
    if store.deleted_at is not None:
        deleted_at, store.deleted_at = store.deleted_at, None
        await repository.save(session, store)
        await repository.mark_products(session, [store.id], deleted_at, None)
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
