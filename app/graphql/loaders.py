"""Every dataloader of an operation, by name; each is made when it is first used."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from aiodataloader import DataLoader

from app.audit import loaders as audit
from app.db.unit_of_work import UnitOfWork
from app.graphql.relations.dataloaders import ConnectionLoader, Visible, row_loader
from app.orders import loaders as orders
from app.orders.repository import OrderCriteria
from app.orders.types import Order, OrderItem
from app.products import loaders as products
from app.products.repository import ProductCriteria
from app.products.types import Product
from app.security.viewer import Viewer
from app.stores import loaders as stores
from app.stores.repository import StoreCriteria
from app.stores.types import Store
from app.users import loaders as users
from app.users.types import User

# ruff: noqa: D102 - each loader is described where it is made

T = TypeVar("T")

NODES: Mapping[str, Visible[Any]] = {
    "User": users.VISIBLE_USER,
    "Store": stores.VISIBLE_STORE,
    "Product": products.VISIBLE_PRODUCT,
    "Order": orders.VISIBLE_ORDER,
    "OrderItem": orders.VISIBLE_ITEM,
    "AuditEntry": audit.VISIBLE_ENTRY,
}
"""What is found by its global id, by the name of its type."""


class Loaders:
    """The dataloaders of one viewer's operation."""

    def __init__(self, work: UnitOfWork, viewer: Viewer | None) -> None:
        self._work = work
        self._viewer = viewer
        self._visible: dict[Visible[Any], DataLoader[UUID, Any]] = {}

    def visible(self, kind: Visible[T]) -> DataLoader[UUID, T | None]:
        """Load what the viewer may look up of a kind; one loader, whichever field asks."""
        if kind not in self._visible:
            self._visible[kind] = row_loader(self._work, kind.by_key(self._viewer), kind.make)
        return self._visible[kind]

    @cached_property
    def user(self) -> DataLoader[UUID, User]:
        return users.user(self._work)

    @cached_property
    def account(self) -> DataLoader[UUID, User | None]:
        return users.account(self._work)

    async def confirmed_viewer(self, viewer: Viewer) -> Viewer | None:
        return await users.confirmed_viewer(self._work, viewer)

    @property
    def visible_user(self) -> DataLoader[UUID, User | None]:
        return self.visible(users.VISIBLE_USER)

    @cached_property
    def store(self) -> DataLoader[UUID, Store]:
        return stores.store(self._work)

    @property
    def visible_store(self) -> DataLoader[UUID, Store | None]:
        return self.visible(stores.VISIBLE_STORE)

    @cached_property
    def stores_of_user(self) -> ConnectionLoader[StoreCriteria, Store]:
        return stores.stores_of_user(self._work)

    @cached_property
    def product(self) -> DataLoader[UUID, Product]:
        return products.product(self._work)

    @property
    def visible_product(self) -> DataLoader[UUID, Product | None]:
        return self.visible(products.VISIBLE_PRODUCT)

    @cached_property
    def products_of_store(self) -> ConnectionLoader[ProductCriteria, Product]:
        return products.products_of_store(self._work)

    @property
    def visible_order(self) -> DataLoader[UUID, Order | None]:
        return self.visible(orders.VISIBLE_ORDER)

    @cached_property
    def items_of_order(self) -> DataLoader[UUID, list[OrderItem]]:
        return orders.items_of_order(self._work, self._viewer)

    @cached_property
    def orders_of_user(self) -> ConnectionLoader[OrderCriteria, Order]:
        return orders.orders_of_user(self._work)

    @cached_property
    def orders_of_store(self) -> ConnectionLoader[OrderCriteria, Order]:
        return orders.orders_of_store(self._work, self._viewer)
