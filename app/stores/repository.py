"""The SQL of stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, false, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import notifications as events
from app.db.models import Product, Store
from app.db.pagination import Listing, Ordering, chooser
from app.db.statements import conflicts, matches, relevance, select_all, table_of, unindexed, with_key_in_array
from app.security.viewer import Viewer

stores = table_of(Store).c

BY_KEY = select_all(Store).where(with_key_in_array(stores.id))
_COLUMNS = {"ID": stores.id, "NAME": stores.folded_name, "CREATED_AT": stores.created_at}
_CONFLICTS = {
    "uq_stores_owner_id_name": ("name", "You have a store of this name already."),
    "uq_stores_domain": ("domain", "Another store has this domain."),
}


@dataclass(frozen=True)
class StoreCriteria:
    """Which stores of those that are not deleted."""

    words: str | None = None
    country: str | None = None
    city: str | None = None
    currency: str | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """Return the criteria as SQL."""
        conditions: list[ColumnElement[bool]] = [stores.deleted_at.is_(None)]
        if self.words is not None:
            conditions.append(matches(stores.search, self.words))
        if self.country is not None:
            conditions.append(stores.country == self.country)
        if self.city is not None:
            conditions.append(func.folded(stores.city) == func.folded(self.city))
        if self.currency is not None:
            conditions.append(stores.currency == self.currency)
        return conditions


def listing(criteria: StoreCriteria) -> Listing:
    """Return the stores of the catalogue that meet the criteria."""
    return Listing(select_all(Store), criteria.conditions())


def ordering(criteria: StoreCriteria, field: str | None = None, *, descending: bool = False) -> Ordering:
    """Return the order asked for; without one the best match comes first, or else the oldest."""
    if field is None and criteria.words is not None:
        return Ordering("RELEVANCE", True, relevance(stores.search, criteria.words), stores.id)
    name = field or "ID"
    column = _COLUMNS[name]
    return Ordering(name, descending, column if criteria.words is None else unindexed(column), stores.id)


choose = chooser(StoreCriteria(), ordering)


def owned_by(user_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return the condition that the store is this user's."""
    return stores.owner_id == user_id


def managed_by(viewer: Viewer | None) -> ColumnElement[bool]:
    """Return the condition that the viewer manages the store: its owner, and any superuser."""
    if viewer is None:
        return false()
    return true() if viewer.is_superuser else stores.owner_id == viewer.id


def visible_by_key(viewer: Viewer | None) -> Select[Any]:
    """Return the statement for the stores with `:keys` that the viewer may look up: the deleted ones to restore."""
    return BY_KEY.where(or_(stores.deleted_at.is_(None), managed_by(viewer)))


async def save(session: AsyncSession, store: Store) -> None:
    """Insert or update the store; Conflict where its name or domain is taken."""
    session.add(store)
    with conflicts(_CONFLICTS):
        await session.flush()


async def locked_store(session: AsyncSession, key: UUID | ScalarSelect[UUID], *, shared: bool = False) -> Store | None:
    """Return the store, deleted or not, locked against other changes, or shared only against its deletion. Whatever
    locks a store and its products locks the store first; the keys of other rows may go on referring to it."""
    found = select(Store).where(Store.id == key).with_for_update(read=shared, key_share=not shared)
    return await session.scalar(found.execution_options(populate_existing=True))


async def delete_stores_of(session: AsyncSession, user_id: UUID) -> None:
    """Delete every store of the user and their products."""
    owned = select(Store).where(Store.owner_id == user_id, Store.deleted_at.is_(None)).with_for_update(key_share=True)
    owned = owned.order_by(Store.id).execution_options(populate_existing=True)
    open_stores = (await session.scalars(owned)).all()
    keys = [store.id for store in open_stores]
    await _lock_products(session, Product.store_id.in_(keys), Product.deleted_at.is_(None))
    for store in open_stores:
        await delete_store(session, store)


async def delete_store(session: AsyncSession, store: Store) -> None:
    """Delete the store and its products at one moment, by which `restore_store` knows them again."""
    moment = await session.scalar(select(func.clock_timestamp()))
    assert moment is not None
    store.deleted_at = moment
    await _update_products(session, store, Product.deleted_at.is_(None), moment)
    await session.flush()


async def restore_store(session: AsyncSession, store: Store) -> None:
    """Restore the store and the products that were deleted with it; Conflict where a name is taken by now."""
    deleted_with_it = Product.deleted_at == store.deleted_at
    store.deleted_at = None
    await save(session, store)
    await _update_products(session, store, deleted_with_it, None)


async def _update_products(
    session: AsyncSession, store: Store, which: ColumnElement[bool], deleted_at: datetime | None
) -> None:
    own = (Product.store_id == store.id, which)
    await _lock_products(session, *own)
    changed = update(Product).where(*own).values(deleted_at=deleted_at, version=Product.version + 1)
    events.note(session, events.updated("Product", await session.scalars(changed.returning(Product.id))))


async def _lock_products(session: AsyncSession, *which: ColumnElement[bool]) -> None:
    """Lock products in the order of their keys, as orders lock them: two that wait for each other are a deadlock."""
    await session.execute(select(Product.id).where(*which).order_by(Product.id).with_for_update(key_share=True))
