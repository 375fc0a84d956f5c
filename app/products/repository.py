"""The SQL of products."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from app.audit import recording as audit
from app.db import rows
from app.db.models import Product
from app.db.pagination import Collection, Ordering, search_ordering
from app.db.statements import (
    KEY,
    Prepared,
    Record,
    columns_by_attribute,
    compared,
    conflicts,
    disguised,
    select_all,
    select_rows,
    table_of,
    with_key_in_array,
)
from app.db.unit_of_work import UnitOfWork
from app.errors import ConflictCode
from app.inputs import DecimalRange
from app.products.inputs import ProductFilter, ProductSort
from app.security.viewer import Viewer
from app.stores import repository as stores
from app.texts import name_key

products = table_of(Product).c

BY_KEY = select_all(Product).where(with_key_in_array(products.id))
_COLUMNS = {
    "ID": disguised(products.id),
    "NAME": products.folded_name,
    "PRICE": products.price,
    "CREATED_AT": products.created_at,
}
_PRICE = disguised(products.price)
# The index of each order holds what these compare, but for the search, whose matches are also ranked.
_FILTER_POINTS = {"store_id": 0, "price": 600, "currency": 600, "in_stock": 600, "search": 1_800}
NAME_TAKEN = ConflictCode.PRODUCT_NAME_TAKEN, "The store already has a product with this name."
_CONFLICTS = {"uq_products_store_id_name": ("name", *NAME_TAKEN)}


def conditions(viewer: Viewer | None, filter: ProductFilter) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions that a filter puts on the products of the catalog, or on deleted ones."""
    found: list[sa.ColumnElement[bool]] = [products.deleted_at.is_(None)]
    if filter.deleted:
        found = [products.deleted_at.is_not(None), _managed_by(viewer)]
    price = filter.price or DecimalRange()
    if filter.store_id is not None:
        found.append(products.store_id == filter.store_id)
    if price.gte is not None:
        found.append(compared(_PRICE, operator.ge, price.gte))
    if price.lte is not None:
        found.append(compared(_PRICE, operator.le, price.lte))
    if filter.currency is not None:
        found.append(compared(products.currency, operator.eq, filter.currency))
    if filter.in_stock is not None:
        found.append(compared(products.in_stock, operator.eq, filter.in_stock))
    return found


_ordering = search_ordering(_COLUMNS, products.id, products.words)


def _ordering_within(filter: ProductFilter, sort: ProductSort | None) -> Ordering:
    """Return the order of products, with the bounds of their prices if that is what they are ordered by."""
    ordering, price = _ordering(filter, sort), filter.price or DecimalRange()
    if ordering.column is not products.price:
        return ordering
    above = None if price.gte is None else products.price >= price.gte
    below = None if price.lte is None else products.price <= price.lte
    first, last = (below, above) if ordering.descending else (above, below)
    return replace(ordering, first_bound=first, last_bound=last)


catalog = Collection(
    Product,
    ProductFilter,
    conditions,
    _ordering_within,
    ProductSort,
    points=1_700,
    count_points=625,
    sorting_points=2_600,
    filter_points=_FILTER_POINTS,
)


def visible_by_key(viewer: Viewer | None) -> sa.Select[Any]:
    """Return the statement for the products with `:keys` that the viewer may look up; managers also deleted ones."""
    if viewer is None:
        return BY_KEY.where(products.deleted_at.is_(None))
    return BY_KEY.where(sa.or_(products.deleted_at.is_(None), _managed_by(viewer)))


def present_by_key(_: Viewer | None) -> sa.Select[Any]:
    """Return the statement for the products with `:keys` that aren't deleted."""
    return BY_KEY.where(products.deleted_at.is_(None))


def _managed_by(viewer: Viewer | None) -> sa.ColumnElement[bool]:
    """Return the condition that the viewer manages the product's store."""
    return sa.exists().where(stores.stores.id == products.store_id, stores.managed_by(viewer))


_LOCKED = Prepared(select_rows(Product).where(products.id == KEY).with_for_update(key_share=True))
_LOCKED_BY_KEYS = Prepared(
    select_rows(Product).where(with_key_in_array(products.id)).order_by(products.id).with_for_update(key_share=True)
)
# No other product has such a name, as inputs can't begin with a space.
_FREE_NAMES = Prepared(
    sa.update(Product)
    .where(with_key_in_array(products.id))
    .values(name=sa.literal(" ").concat(sa.cast(products.id, sa.Text)))
)
_SET_STOCK = Prepared(
    sa.update(Product)
    .where(products.id == KEY)
    .values(stock=sa.bindparam("stock", type_=products.stock.type))
    .returning(*columns_by_attribute(Product))
)


def _taken_names() -> Prepared:
    name = sa.func.name_key(products.name)
    # One array: a prepared statement for a thousand parameters compares each with every product of the store.
    named = name == sa.any_(sa.bindparam("names", type_=ARRAY(sa.Text)))
    compared = products.deleted_at.is_(None), products.shares_name.is_(None)  # what the index holds
    of_store = products.store_id == sa.bindparam("store_id", type_=sa.Uuid())
    return Prepared(sa.select(name.label("name")).where(of_store, named, *compared, ~with_key_in_array(products.id)))


TAKEN_NAMES = _taken_names()


async def insert(work: UnitOfWork, values: Mapping[str, Any]) -> Record:
    """Insert a product; Conflict if its store has another with this name."""
    with conflicts(_CONFLICTS):
        return await audit.insert(work, Product, values)


async def update(work: UnitOfWork, product: Record, changes: Mapping[str, Any]) -> Record:
    """Change a locked product; Conflict if its store has another with this name."""
    with conflicts(_CONFLICTS):
        return await audit.update(work, Product, product, changes)


async def insert_all(work: UnitOfWork, products: Sequence[Mapping[str, Any]]) -> Sequence[Record]:
    """Insert many products that have the same attributes, and return them in this order. The caller notes them."""
    with conflicts(_CONFLICTS):
        return await rows.insert_all(work, Product, products)


async def update_each(work: UnitOfWork, products: Sequence[Mapping[str, Any]]) -> Mapping[UUID, Record]:
    """Change any number of locked products, each with its `id` and the same attributes, and return them by their keys;
    Conflict if a name is taken. The caller notes the changes."""
    if not products:
        return {}
    with conflicts(_CONFLICTS):
        return {product.id: product for product in await rows.update_each(work, Product, products)}


async def set_stock(work: UnitOfWork, key: UUID, stock: int | None) -> Record:
    """Set the stock of a locked product, whose version stays the same."""
    (product,) = await work.fetch(_SET_STOCK, key=key, stock=stock)
    return product


async def free_names(work: UnitOfWork, keys: Sequence[UUID]) -> None:
    """Rename locked products for now: Postgres compares the name of each row that it updates with those that the other
    rows have at that moment."""
    await work.fetch(_FREE_NAMES, keys=keys)


async def locked_product(work: UnitOfWork, key: UUID) -> Record | None:
    """Return the product, deleted or not, locked."""
    return await work.first(_LOCKED, key=key)


async def locked_products(work: UnitOfWork, keys: Sequence[UUID]) -> Mapping[UUID, Record]:
    """Return products by their keys, deleted or not, locked in the order of their keys."""
    return {product.id: product for product in await work.fetch(_LOCKED_BY_KEYS, keys=keys)}


async def taken_names(
    work: UnitOfWork, store_id: UUID, names: Iterable[str], *, except_of: Sequence[UUID] = ()
) -> set[str]:
    """Return the keys of those of the names that products of the store already have, other than these."""
    keys = list(map(name_key, names))
    taken = await work.fetch(TAKEN_NAMES, store_id=store_id, names=keys, keys=except_of)
    return {row.name for row in taken}
