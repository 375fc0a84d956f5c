"""The SQL of the front page: what anyone may know about the shop."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import distinct, func, select, true

from app.db.unit_of_work import UnitOfWork
from app.inputs import Direction
from app.orders import repository as orders
from app.orders.inputs import OrderFilter
from app.products import repository as products
from app.products.inputs import ProductFilter, ProductSort, ProductSortField
from app.stores import repository as stores
from app.stores.inputs import StoreFilter

_NEWEST = 8
_NEWEST_OF_STORE = 2

_NEWEST_FIRST = ProductSort(field=ProductSortField.CREATED_AT, direction=Direction.DESC)

_stores = stores.catalog.listing(None, StoreFilter())
_products = products.catalog.listing(None, ProductFilter())
_in_stock = products.catalog.listing(None, ProductFilter(in_stock=True))
_orders = orders.everyones.listing(None, OrderFilter())
_COUNTRIES = select(func.count(distinct(stores.stores.country))).where(*_stores.conditions)
_FIGURES = {
    "Stores": _stores.number(),
    "Countries": _COUNTRIES,
    "Products": _products.number(),
    "In stock": _in_stock.number(),
}
_ORDERS = {"Orders placed": _orders.number()}
_product, _store = products.products, stores.stores
_COLUMNS = ("id", "name", "description", "price", "currency", "stock", "created_at")
_of_store = (
    select(*(_product[name] for name in _COLUMNS))
    .where(*_products.conditions, _product.store_id == _store.id)
    .order_by(*(column.desc() for column in products.catalog.ordering(ProductFilter(), _NEWEST_FIRST).columns))
    .limit(_NEWEST_OF_STORE)
    .lateral("newest")
)
_PRODUCTS = (
    select(*(_of_store.c[name] for name in _COLUMNS[:-1]), _store.name.label("store"), _store.city)
    .join_from(_store.id.table, _of_store, true())
    .where(*_stores.conditions)
    .order_by(_of_store.c.created_at.desc(), _of_store.c.id.desc())
    .limit(_NEWEST)
)


class ListedProduct(NamedTuple):
    """A product on the front page."""

    id: UUID
    name: str
    description: str | None
    price: Decimal
    currency: str
    stock: int | None
    """None if stock isn't tracked."""
    store: str
    city: str


@dataclass(frozen=True, eq=False)
class Shop:
    """A snapshot of the shop: figures by name, and the newest products, a few of each store. Each is equal to itself
    only."""

    figures: dict[str, int]
    products: Sequence[ListedProduct]

    @property
    def example(self) -> ListedProduct | None:
        """A product to order, preferably one whose stock will visibly change."""
        tracked = (product for product in self.products if product.stock)
        return next(tracked, next((product for product in self.products if product.stock is None), None))


async def shop(work: UnitOfWork, *, with_orders: bool) -> Shop:
    """Return the current state of the shop. The number of orders isn't public."""
    totals = _FIGURES | _ORDERS if with_orders else _FIGURES
    figures = await work.row(select(*(total.scalar_subquery().label(name) for name, total in totals.items())))
    assert figures is not None, "counts are one row"
    listed = await work.rows(_PRODUCTS)
    return Shop(dict(figures._mapping), [ListedProduct._make(row) for row in listed])
