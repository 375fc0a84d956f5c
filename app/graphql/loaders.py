"""Every dataloader of an operation, by name; each is made when it is first used."""

from functools import cached_property
from uuid import UUID

from aiodataloader import DataLoader

from app.audit import loaders as audit
from app.audit.types import AuditEntry
from app.database import UnitOfWork
from app.graphql.dataloaders import ConnectionLoader
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


class Loaders:
    """The dataloaders of one viewer's operation."""

    def __init__(self, work: UnitOfWork, viewer: Viewer | None) -> None:
        self._work = work
        self._viewer = viewer

    @cached_property
    def user(self) -> DataLoader[UUID, User]:
        return users.user(self._work)

    @cached_property
    def account(self) -> DataLoader[UUID, User | None]:
        return users.account(self._work)

    async def confirmed_viewer(self, viewer: Viewer) -> Viewer | None:
        return await users.confirmed_viewer(self._work, viewer)

    @cached_property
    def visible_user(self) -> DataLoader[UUID, User | None]:
        return users.visible_user(self._work, self._viewer)

    @cached_property
    def store(self) -> DataLoader[UUID, Store]:
        return stores.store(self._work)

    @cached_property
    def visible_store(self) -> DataLoader[UUID, Store | None]:
        return stores.visible_store(self._work, self._viewer)

    @cached_property
    def stores_of_user(self) -> ConnectionLoader[StoreCriteria, Store]:
        return stores.stores_of_user(self._work)

    @cached_property
    def product(self) -> DataLoader[UUID, Product]:
        return products.product(self._work)

    @cached_property
    def visible_product(self) -> DataLoader[UUID, Product | None]:
        return products.visible_product(self._work, self._viewer)

    @cached_property
    def products_of_store(self) -> ConnectionLoader[ProductCriteria, Product]:
        return products.products_of_store(self._work)

    @cached_property
    def visible_order(self) -> DataLoader[UUID, Order | None]:
        return orders.visible_order(self._work, self._viewer)

    @cached_property
    def visible_item(self) -> DataLoader[UUID, OrderItem | None]:
        return orders.visible_item(self._work, self._viewer)

    @cached_property
    def items_of_order(self) -> DataLoader[UUID, list[OrderItem]]:
        return orders.items_of_order(self._work, self._viewer)

    @cached_property
    def orders_of_user(self) -> ConnectionLoader[OrderCriteria, Order]:
        return orders.orders_of_user(self._work)

    @cached_property
    def orders_of_store(self) -> ConnectionLoader[OrderCriteria, Order]:
        return orders.orders_of_store(self._work, self._viewer)

    @cached_property
    def visible_audit_entry(self) -> DataLoader[UUID, AuditEntry | None]:
        return audit.visible_audit_entry(self._work, self._viewer)
