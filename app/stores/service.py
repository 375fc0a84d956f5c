"""The rules of stores."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import Store
from app.errors import Forbidden, NotFound, StaleVersion
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository
from app.validation import ABSENT, Country, Currency, Domain, Input, Line, Phone


class NewStore(Input):
    """The rules of createStore."""

    name: Line
    street: Line
    zipcode: Line
    city: Line
    country: Country
    currency: Currency
    domain: Domain | None = None
    phone: Phone | None = None


class StoreChanges(Input):
    """The rules of updateStore; only domain and phone can be cleared."""

    name: Line = ABSENT
    street: Line = ABSENT
    zipcode: Line = ABSENT
    city: Line = ABSENT
    country: Country = ABSENT
    domain: Domain | None = None
    phone: Phone | None = None


async def create_store(session: AsyncSession, viewer: Viewer, given: dict[str, Any]) -> Store:
    """Open a store of the viewer's."""
    store = Store(owner_id=viewer.id, **NewStore.check(given).changes())
    await repository.save(session, store)
    return store


async def update_store(
    session: AsyncSession, viewer: Viewer, key: UUID, given: dict[str, Any], expected_version: int | None
) -> Store:
    """Change a store; StaleVersion where it is no longer at the expected version."""
    store = await managed_store(session, viewer, key)
    changes = StoreChanges.check(given).changes()
    if expected_version is not None and store.version != expected_version:
        raise StaleVersion(store.version)
    for name, value in changes.items():
        setattr(store, name, value)
    await repository.save(session, store)
    return store


async def delete_store(session: AsyncSession, viewer: Viewer, key: UUID) -> Store:
    """Close a store, and its products with it."""
    store = await managed_store(session, viewer, key)
    await repository.delete_store(session, store)
    return store


async def restore_store(session: AsyncSession, viewer: Viewer, key: UUID) -> Store:
    """Open a deleted store again, with the products that were deleted with it; one that is open stays as it is."""
    store = await repository.locked_store(session, key)
    if store is None or not (store.deleted_at is None or is_self_or_superuser(viewer, store.owner_id)):
        raise NotFound("Store", key)
    require_manager(viewer, store.owner_id)
    if store.deleted_at is not None:
        await repository.restore_store(session, store)
    return store


async def managed_store(session: AsyncSession, viewer: Viewer, key: UUID, *, shared: bool = False) -> Store:
    """Return the store, locked; NotFound where there is none, Forbidden where it is not the viewer's to manage."""
    store = await repository.locked_store(session, key, shared=shared)
    if store is None or store.deleted_at is not None:
        raise NotFound("Store", key)
    require_manager(viewer, store.owner_id)
    return store


def require_manager(viewer: Viewer | None, owner_id: UUID) -> None:
    """Raise Forbidden where this owner's store is not the viewer's to manage."""
    if not is_self_or_superuser(viewer, owner_id):
        raise Forbidden("Only the store's owner and a superuser may do this.")
