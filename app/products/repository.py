"""The SQL of products."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import Product
from app.db.pagination import Collection, Ordering, search_ordering
from app.db.statements import (
    compared,
    conflicts,
    disguised,
    in_array,
    matches,
    rows_of,
    select_all,
    table_of,
    with_key_in_array,
)
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
_FILTER_POINTS = {"store_id": 0, "price": 350, "currency": 350, "in_stock": 350, "search": 1_800}
NAME_TAKEN = ConflictCode.PRODUCT_NAME_TAKEN, "The store already has a product with this name."
_CONFLICTS = {"uq_products_store_id_name": ("name", *NAME_TAKEN)}


def conditions(viewer: Viewer | None, filter: ProductFilter) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions that a filter puts on the products of the catalog, or on deleted ones."""
    found: list[sa.ColumnElement[bool]] = [products.deleted_at.is_(None)]
    if filter.deleted:
        found = [products.deleted_at.is_not(None), _managed_by(viewer)]
    price = filter.price or DecimalRange()
    if filter.search is not None:
        found.append(matches(products.words, filter.search))
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
    points=1_350,
    count_points=625,
    sorting_points=2_150,
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


async def save(session: AsyncSession, product: Product) -> None:
    """Insert or update the product; Conflict if its store has another with this name."""
    session.add(product)
    with conflicts(_CONFLICTS):
        await session.flush()


async def insert_all(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> Sequence[Product]:
    """Insert many products in a handful of statements, and return them in the order of `rows`."""
    statement = sa.insert(Product).returning(Product, sort_by_parameter_order=True)
    with conflicts(_CONFLICTS):
        # Otherwise SQLAlchemy leaves out what is None, and begins another statement wherever that differs.
        inserted = await session.scalars(statement, list(rows), execution_options={"render_nulls": True})
        return inserted.all()


async def set_stock(session: AsyncSession, product: Product, stock: int | None) -> None:
    """Set the stock of a locked product, whose version stays the same."""
    changed = sa.update(Product).where(Product.id == product.id).values(stock=stock).returning(Product)
    await session.scalars(changed, execution_options={"populate_existing": True, "synchronize_session": False})


async def free_names(session: AsyncSession, keys: Sequence[UUID]) -> None:
    """Rename locked products for now: Postgres compares the name of each row that it updates with those that the other
    rows have at that moment. No other product has such a name, as inputs can't begin with a space."""
    renamed = sa.update(Product).where(in_array(Product.id, keys))
    for_now = sa.literal(" ").concat(sa.cast(Product.id, sa.Text))
    await session.execute(renamed.values(name=for_now), execution_options={"synchronize_session": False})


async def update_all(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> Mapping[UUID, Product]:
    """Update many locked products in one statement, and return them by their keys; Conflict if a name is taken. All
    rows have the same columns."""
    columns = {name: products[name].type for name in rows[0]}
    new = rows_of("new", columns, [tuple(row.values()) for row in rows])
    changed = (
        sa.update(Product)
        .where(Product.id == new.c.id)
        .values({name: new.c[name] for name in columns if name != "id"} | {"version": Product.version + 1})
        .returning(Product)
    )
    with conflicts(_CONFLICTS):
        found = await session.scalars(
            changed, execution_options={"populate_existing": True, "synchronize_session": False}
        )
        return {product.id: product for product in found}


def stores_of(keys: Sequence[UUID]) -> sa.Select[Any]:
    """Return the keys of the stores of products, as part of a statement."""
    return sa.select(Product.store_id).where(in_array(Product.id, keys))


async def locked_products(session: AsyncSession, keys: Sequence[UUID]) -> Mapping[UUID, Product]:
    """Return products by their keys, deleted or not, locked in the order of their keys."""
    found = sa.select(Product).where(in_array(Product.id, keys)).order_by(Product.id)
    locked = found.with_for_update(key_share=True).execution_options(populate_existing=True)
    return {product.id: product for product in await session.scalars(locked)}


async def taken_names(
    session: AsyncSession, store_id: UUID, names: Iterable[str], *, except_of: Sequence[UUID] = ()
) -> set[str]:
    """Return the keys of those of the names that products of the store already have, other than these."""
    # One array: a prepared statement for a thousand parameters compares each with every product of the store.
    key = sa.func.name_key(Product.name)
    named = key == sa.any_(sa.literal(list(map(name_key, names)), ARRAY(sa.Text)))
    compared = Product.deleted_at.is_(None), Product.shares_name.is_(None)  # what the index holds
    taken = sa.select(key).where(Product.store_id == store_id, named, *compared)
    if except_of:
        taken = taken.where(~in_array(Product.id, except_of))
    return set(await session.scalars(taken))


def store_of(key: UUID) -> sa.ScalarSelect[UUID]:
    """Return the key of the product's store, as part of a statement."""
    return sa.select(Product.store_id).where(Product.id == key).scalar_subquery()


async def locked_product(session: AsyncSession, key: UUID) -> Product | None:
    """Return the product, deleted or not, locked against other changes."""
    found = sa.select(Product).where(Product.id == key).with_for_update(key_share=True)
    return await session.scalar(found.execution_options(populate_existing=True))
