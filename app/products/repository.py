"""The SQL of products."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Numeric,
    ScalarSelect,
    Select,
    Text,
    any_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import Product
from app.db.pagination import Listing, Ordering, chooser
from app.db.statements import conflicts, matches, relevance, select_all, table_of, unindexed, with_key_in_array
from app.security.viewer import Viewer
from app.stores import repository as stores

products = table_of(Product).c

BY_KEY = select_all(Product).where(with_key_in_array(products.id))
_COLUMNS = {
    "ID": products.id,
    "NAME": products.folded_name,
    "PRICE": products.price,
    "CREATED_AT": products.created_at,
}
_CONFLICTS = {"uq_products_store_id_name": ("name", "The store has a product of this name already.")}


@dataclass(frozen=True)
class ProductCriteria:
    """Which products of those that are not deleted."""

    words: str | None = None
    store_id: UUID | None = None
    price_gte: Decimal | None = None
    price_lte: Decimal | None = None
    in_stock: bool | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """Return the criteria as SQL."""
        conditions: list[ColumnElement[bool]] = [products.deleted_at.is_(None)]
        if self.words is not None:
            conditions.append(matches(products.search, self.words))
        if self.store_id is not None:
            conditions.append(products.store_id == self.store_id)
        if self.price_gte is not None:
            conditions.append(products.price >= _exactly(self.price_gte))
        if self.price_lte is not None:
            conditions.append(products.price <= _exactly(self.price_lte))
        if self.in_stock is not None:
            available = or_(products.stock.is_(None), products.stock > 0)
            conditions.append(available if self.in_stock else ~available)
        return conditions


def _exactly(bound: Decimal) -> ColumnElement[Decimal]:
    """Return a bound of a range as it is: with the type of the column it would be rounded, or not fit."""
    return bound if isinstance(bound, BindParameter) else literal(bound, Numeric())


def listing(criteria: ProductCriteria) -> Listing:
    """Return the products of the catalogue that meet the criteria."""
    return Listing(select_all(Product), criteria.conditions())


def ordering(criteria: ProductCriteria, field: str | None = None, *, descending: bool = False) -> Ordering:
    """Return the order asked for; without one the best match comes first, or else the oldest."""
    if field is None and criteria.words is not None:
        return Ordering("RELEVANCE", True, relevance(products.search, criteria.words), products.id)
    name = field or "ID"
    column = _COLUMNS[name]
    return Ordering(name, descending, column if criteria.words is None else unindexed(column), products.id)


choose = chooser(ProductCriteria(), ordering)


def sold_by(store_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return the condition that the product is this store's."""
    return products.store_id == store_id


def visible_by_key(viewer: Viewer | None) -> Select[Any]:
    """Return the statement for the products with `:keys` that the viewer may look up: deleted ones to restore."""
    if viewer is None:
        return BY_KEY.where(products.deleted_at.is_(None))
    managed = exists().where(stores.stores.id == products.store_id, stores.managed_by(viewer))
    return BY_KEY.where(or_(products.deleted_at.is_(None), managed))


async def save(session: AsyncSession, product: Product) -> None:
    """Insert or update the product; Conflict where its store has another of this name."""
    session.add(product)
    with conflicts(_CONFLICTS):
        await session.flush()


async def insert_all(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> Sequence[Product]:
    """Insert many products in a handful of statements, and return them in the order of `rows`."""
    with conflicts(_CONFLICTS):
        inserted = await session.scalars(insert(Product).returning(Product, sort_by_parameter_order=True), list(rows))
        return inserted.all()


async def taken_names(session: AsyncSession, store_id: UUID, names: Iterable[str]) -> set[str]:
    """Return those of the names that products of the store have."""
    # One array: a prepared statement for a thousand parameters compares each with every product of the store.
    named = Product.name == any_(literal(list(names), ARRAY(Text)))
    taken = select(Product.name).where(Product.store_id == store_id, named, Product.deleted_at.is_(None))
    return set(await session.scalars(taken))


def store_of(key: UUID) -> ScalarSelect[UUID]:
    """Return the key of the product's store, as part of a statement."""
    return select(Product.store_id).where(Product.id == key).scalar_subquery()


async def locked_product(session: AsyncSession, key: UUID) -> Product | None:
    """Return the product, deleted or not, locked against other changes."""
    found = select(Product).where(Product.id == key).with_for_update(key_share=True)
    return await session.scalar(found.execution_options(populate_existing=True))


async def delete_product(session: AsyncSession, product: Product) -> None:
    """Delete one product, at a moment of its own: those that go with their store share the store's."""
    product.deleted_at = await session.scalar(select(func.clock_timestamp()))
    await session.flush()
