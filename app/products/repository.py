"""The SQL of products."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import Product
from app.db.pagination import Collection, search_ordering
from app.db.statements import conflicts, matches, select_all, table_of, with_key_in_array
from app.inputs import DecimalRange
from app.products.inputs import ProductFilter, ProductOrder
from app.security.viewer import Viewer
from app.stores import repository as stores

products = table_of(Product).c

BY_KEY = select_all(Product).where(with_key_in_array(products.id))
_COLUMNS = {"ID": products.id, "NAME": products.folded_name, "PRICE": products.price, "CREATED_AT": products.created_at}
NAME_TAKEN = "The store already has a product with this name."
_CONFLICTS = {"uq_products_store_id_name": ("name", NAME_TAKEN)}


def conditions(_: Viewer | None, filter: ProductFilter) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions that a filter puts on the products of the catalog."""
    found: list[sa.ColumnElement[bool]] = [products.deleted_at.is_(None)]
    price = filter.price or DecimalRange()
    if filter.search is not None:
        found.append(matches(products.search, filter.search))
    if filter.store_id is not None:
        found.append(products.store_id == filter.store_id)
    if price.gte is not None:
        found.append(products.price >= _exactly(price.gte))
    if price.lte is not None:
        found.append(products.price <= _exactly(price.lte))
    if filter.in_stock is not None:
        available = sa.or_(products.stock.is_(None), products.stock > 0)
        found.append(available if filter.in_stock else ~available)
    return found


def _exactly(bound: Decimal) -> sa.ColumnElement[Decimal]:
    """Return a bound of a range as it is: with the type of the column it would be rounded, or not fit."""
    return bound if isinstance(bound, sa.BindParameter) else sa.literal(bound, sa.Numeric())


catalog = Collection(Product, ProductFilter, conditions, search_ordering(_COLUMNS, products.search), ProductOrder)


def visible_by_key(viewer: Viewer | None) -> sa.Select[Any]:
    """Return the statement for the products with `:keys` that the viewer may look up; managers also deleted ones."""
    if viewer is None:
        return BY_KEY.where(products.deleted_at.is_(None))
    managed = sa.exists().where(stores.stores.id == products.store_id, stores.managed_by(viewer))
    return BY_KEY.where(sa.or_(products.deleted_at.is_(None), managed))


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


async def taken_names(session: AsyncSession, store_id: UUID, names: Iterable[str]) -> set[str]:
    """Return those of the names that products of the store already have."""
    # One array: a prepared statement for a thousand parameters compares each with every product of the store.
    named = Product.name == sa.any_(sa.literal(list(names), ARRAY(sa.Text)))
    taken = sa.select(Product.name).where(Product.store_id == store_id, named, Product.deleted_at.is_(None))
    return set(await session.scalars(taken))


def store_of(key: UUID) -> sa.ScalarSelect[UUID]:
    """Return the key of the product's store, as part of a statement."""
    return sa.select(Product.store_id).where(Product.id == key).scalar_subquery()


async def locked_product(session: AsyncSession, key: UUID) -> Product | None:
    """Return the product, deleted or not, locked against other changes."""
    found = sa.select(Product).where(Product.id == key).with_for_update(key_share=True)
    return await session.scalar(found.execution_options(populate_existing=True))
