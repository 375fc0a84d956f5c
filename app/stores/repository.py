"""The SQL of stores."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, false, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import notifications
from app.db.models import Product, Store
from app.db.pagination import Collection, search_ordering
from app.db.statements import conflicts, in_array, matches, select_all, table_of, with_key_in_array
from app.errors import ConflictCode
from app.security.viewer import Viewer
from app.stores.inputs import StoreFilter, StoreSort

stores = table_of(Store).c

BY_KEY = select_all(Store).where(with_key_in_array(stores.id))
_COLUMNS = {"ID": stores.id, "NAME": stores.folded_name, "CREATED_AT": stores.created_at}
_CONFLICTS = {
    "uq_stores_owner_id_name": ("name", ConflictCode.STORE_NAME_TAKEN, "You already have a store with this name."),
    "uq_stores_domain": ("domain", ConflictCode.STORE_DOMAIN_TAKEN, "Another store already uses this domain."),
}


def conditions(_: Viewer | None, filter: StoreFilter) -> Sequence[ColumnElement[bool]]:
    """Return the conditions that a filter puts on the stores of the catalog."""
    found: list[ColumnElement[bool]] = [stores.deleted_at.is_(None)]
    if filter.search is not None:
        found.append(matches(stores.words, filter.search))
    if filter.country is not None:
        found.append(stores.country == filter.country)
    if filter.city is not None:
        found.append(func.plain_text(stores.city) == func.plain_text(filter.city))
    if filter.currency is not None:
        found.append(stores.currency == filter.currency)
    return found


catalog = Collection(Store, StoreFilter, conditions, search_ordering(_COLUMNS, stores.id, stores.words), StoreSort)


def managed_by(viewer: Viewer | None) -> ColumnElement[bool]:
    """Return the condition that the viewer manages the store, as its owner and superusers do."""
    if viewer is None:
        return false()
    return true() if viewer.is_superuser else stores.owner_id == viewer.id


def visible_by_key(viewer: Viewer | None) -> Select[Any]:
    """Return the statement for the stores with `:keys` that the viewer may look up; managers also the deleted ones."""
    return BY_KEY.where(or_(stores.deleted_at.is_(None), managed_by(viewer)))


async def save(session: AsyncSession, store: Store) -> None:
    """Insert or update the store; Conflict if its name or domain is already in use."""
    session.add(store)
    with conflicts(_CONFLICTS):
        await session.flush()


async def locked_store(session: AsyncSession, key: UUID | ScalarSelect[UUID], *, shared: bool = False) -> Store | None:
    """Return the store, deleted or not, locked against other changes, or shared only against its deletion. Whatever
    locks a store and its products locks the store first; the keys of other rows may go on referring to it."""
    found = select(Store).where(Store.id == key).with_for_update(read=shared, key_share=not shared)
    return await session.scalar(found.execution_options(populate_existing=True))


async def locked_stores(session: AsyncSession, keys: Select[Any]) -> Mapping[UUID, Store]:
    """Return the stores with these keys, deleted or not, locked in their order against other changes."""
    found = select(Store).where(Store.id.in_(keys)).order_by(Store.id).with_for_update(key_share=True)
    return {store.id: store for store in await session.scalars(found.execution_options(populate_existing=True))}


async def owner_of(session: AsyncSession, key: UUID) -> UUID:
    """Return the key of the store's owner."""
    return (await session.scalars(select(Store.owner_id).where(Store.id == key))).one()


async def open_stores_of(session: AsyncSession, user_id: UUID) -> Sequence[UUID]:
    """Return the keys of the user's stores that aren't deleted, which are locked in their order."""
    owned = select(Store.id).where(Store.owner_id == user_id, Store.deleted_at.is_(None)).order_by(Store.id)
    return (await session.scalars(owned.with_for_update(key_share=True))).all()


async def mark_deleted(session: AsyncSession, keys: Sequence[UUID], moment: datetime) -> None:
    """Delete the stores with these keys at this moment."""
    deleted = update(Store).where(in_array(Store.id, keys)).values(deleted_at=moment, version=Store.version + 1)
    await session.execute(deleted, execution_options={"synchronize_session": False})


async def this_moment(session: AsyncSession) -> datetime:
    """Return a moment that no other deletion has."""
    moment: datetime = (await session.scalars(select(func.clock_timestamp()))).one()
    return moment


async def mark_products(
    session: AsyncSession, store_keys: Sequence[UUID], before: datetime | None, after: datetime | None
) -> None:
    """Delete or restore the products of stores that were deleted at one moment, or are not deleted."""
    own = (
        in_array(Product.store_id, store_keys),
        Product.deleted_at.is_(None) if before is None else Product.deleted_at == before,
    )
    await _lock(session, *own)
    changed = update(Product).where(*own).values(deleted_at=after, version=Product.version + 1)
    await session.execute(notifications.notifying("Product", changed.returning(Product.id).cte()))


async def lock_products(session: AsyncSession, keys: Iterable[UUID]) -> None:
    """Lock the products with these keys, in their order."""
    await _lock(session, in_array(Product.id, keys))


async def _lock(session: AsyncSession, *which: ColumnElement[bool]) -> None:
    """Lock products in the order of their keys, as every operation does: two that wait for each other are a
    deadlock."""
    locked = select(Product.id).where(*which).order_by(Product.id).with_for_update(key_share=True).subquery()
    await session.execute(select(func.count()).select_from(locked))
