"""The SQL of stores."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.audit import recording as audit
from app.db.models import Product, Store
from app.db.pagination import Collection, search_ordering
from app.db.statements import KEY, Prepared, Record, conflicts, select_all, select_rows, table_of, with_key_in_array
from app.db.unit_of_work import UnitOfWork
from app.errors import ConflictCode
from app.security.viewer import Viewer
from app.stores.inputs import StoreFilter, StoreSort

stores, _products = table_of(Store).c, table_of(Product).c

BY_KEY = select_all(Store).where(with_key_in_array(stores.id))
_COLUMNS = {"ID": stores.id, "NAME": stores.folded_name, "CREATED_AT": stores.created_at}
_CONFLICTS = {
    "uq_stores_owner_id_name": ("name", ConflictCode.STORE_NAME_TAKEN, "You already have a store with this name."),
    "uq_stores_domain": ("domain", ConflictCode.STORE_DOMAIN_TAKEN, "Another store already uses this domain."),
}


def conditions(_: Viewer | None, filter: StoreFilter) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions that a filter puts on the stores of the catalog."""
    found: list[sa.ColumnElement[bool]] = [stores.deleted_at.is_(None)]
    if filter.country is not None:
        found.append(stores.country == filter.country)
    if filter.city is not None:
        found.append(sa.func.plain_text(stores.city) == sa.func.plain_text(filter.city))
    if filter.currency is not None:
        found.append(stores.currency == filter.currency)
    return found


catalog = Collection(Store, StoreFilter, conditions, search_ordering(_COLUMNS, stores.id, stores.words), StoreSort)


def managed_by(viewer: Viewer | None) -> sa.ColumnElement[bool]:
    """Return the condition that the viewer manages the store, as its owner and superusers do."""
    if viewer is None:
        return sa.false()
    return sa.true() if viewer.is_superuser else stores.owner_id == viewer.id


def visible_by_key(viewer: Viewer | None) -> sa.Select[Any]:
    """Return the statement for the stores with `:keys` that the viewer may look up; managers also the deleted ones."""
    return BY_KEY.where(sa.or_(stores.deleted_at.is_(None), managed_by(viewer)))


def _locking(*which: sa.ColumnElement[bool]) -> Prepared:
    """Return the statement that locks products in the order of their keys, as every operation does: two that wait for
    each other are a deadlock."""
    locked = sa.select(_products.id).where(*which).order_by(_products.id).with_for_update(key_share=True).subquery()
    return Prepared(sa.select(sa.func.count()).select_from(locked))


def _marking(*which: sa.ColumnElement[bool]) -> tuple[Prepared, Prepared]:
    """Return the statements that lock such products of the stores with `:keys`, and delete or restore them."""
    own = (with_key_in_array(_products.store_id), *which)
    after = sa.bindparam("after", type_=_products.deleted_at.type)
    marked = sa.update(Product).where(*own).values(deleted_at=after, version=_products.version + 1)
    return _locking(*own), Prepared(marked)


_LOCKED = Prepared(select_rows(Store).where(stores.id == KEY).with_for_update(key_share=True))
_SHARED = Prepared(select_rows(Store).where(stores.id == KEY).with_for_update(read=True))
_OF_PRODUCT = sa.select(_products.store_id).where(_products.id == KEY).scalar_subquery()
_SHARED_OF_PRODUCT = Prepared(select_rows(Store).where(stores.id == _OF_PRODUCT).with_for_update(read=True))
_OF_PRODUCTS = stores.id.in_(sa.select(_products.store_id).where(with_key_in_array(_products.id)))
_LOCKED_OF_PRODUCTS = Prepared(
    select_rows(Store).where(_OF_PRODUCTS).order_by(stores.id).with_for_update(key_share=True)
)
_OPEN_OF_OWNER = Prepared(
    sa.select(stores.id)
    .where(stores.owner_id == sa.bindparam("owner_id", type_=sa.Uuid()), stores.deleted_at.is_(None))
    .order_by(stores.id)
    .with_for_update(key_share=True)
)
_OWNER = Prepared(sa.select(stores.owner_id).where(stores.id == KEY))
_NOW = Prepared(sa.select(sa.func.clock_timestamp().label("moment")))
_MARK_PRESENT = _marking(_products.deleted_at.is_(None))
_MARK_DELETED = _marking(_products.deleted_at == sa.bindparam("before", type_=_products.deleted_at.type))


async def insert(work: UnitOfWork, values: Mapping[str, Any]) -> Record:
    """Insert a store; Conflict if its name or domain is already in use."""
    with conflicts(_CONFLICTS):
        return await audit.insert(work, Store, values)


async def update(work: UnitOfWork, store: Record, changes: Mapping[str, Any]) -> Record:
    """Change a locked store; Conflict if its name or domain is already in use."""
    with conflicts(_CONFLICTS):
        return await audit.update(work, Store, store, changes)


async def locked_store(work: UnitOfWork, key: UUID) -> Record | None:
    """Return the store, deleted or not, locked against other changes. Whatever locks a store and its products locks the
    store first; the keys of other rows may go on referring to it."""
    return await work.first(_LOCKED, key=key)


async def shared_store(work: UnitOfWork, key: UUID) -> Record | None:
    """Return the store, deleted or not, locked only against its deletion."""
    return await work.first(_SHARED, key=key)


async def shared_store_of(work: UnitOfWork, product_id: UUID) -> Record | None:
    """Return the store of a product, deleted or not, locked only against its deletion."""
    return await work.first(_SHARED_OF_PRODUCT, key=product_id)


async def locked_stores_of(work: UnitOfWork, product_ids: Sequence[UUID]) -> Mapping[UUID, Record]:
    """Return the stores of products, deleted or not, locked in their order against other changes."""
    return {store.id: store for store in await work.fetch(_LOCKED_OF_PRODUCTS, keys=product_ids)}


async def owner_of(work: UnitOfWork, key: UUID) -> UUID:
    """Return the key of the store's owner."""
    (store,) = await work.fetch(_OWNER, key=key)
    owner_id: UUID = store.owner_id
    return owner_id


async def open_stores_of(work: UnitOfWork, user_id: UUID) -> Sequence[UUID]:
    """Return the keys of the user's stores that aren't deleted, which are locked in their order."""
    return [store.id for store in await work.fetch(_OPEN_OF_OWNER, owner_id=user_id)]


async def mark_deleted(work: UnitOfWork, keys: Sequence[UUID], moment: datetime) -> None:
    """Delete the stores with these keys at this moment."""
    await audit.update_all(work, Store, keys, {"deleted_at": moment})


async def this_moment(work: UnitOfWork) -> datetime:
    """Return a moment that no other deletion has."""
    (now,) = await work.fetch(_NOW)
    moment: datetime = now.moment
    return moment


async def mark_products(
    work: UnitOfWork, store_keys: Sequence[UUID], before: datetime | None, after: datetime | None
) -> None:
    """Delete or restore the products of stores that were deleted at one moment, or are not deleted."""
    lock, mark = _MARK_PRESENT if before is None else _MARK_DELETED
    which: dict[str, Any] = {"keys": store_keys, "before": before}
    await work.fetch(lock, **which)
    await work.fetch(mark, **which, after=after)
