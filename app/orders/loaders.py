"""The dataloaders of orders and their items."""

from functools import partial
from uuid import UUID

from aiodataloader import DataLoader

from app.db.unit_of_work import UnitOfWork
from app.graphql.relations.dataloaders import ConnectionLoader, Visible, rows_loader
from app.orders import repository
from app.orders.types import Order, OrderItem
from app.security.viewer import Viewer

VISIBLE_ORDER = Visible(repository.visible_by_key, Order.from_row)
VISIBLE_ITEM = Visible(repository.visible_items_by_key, OrderItem.from_row)


def items_of_order(work: UnitOfWork, viewer: Viewer | None) -> DataLoader[UUID, list[OrderItem]]:
    """Load the items of orders that the viewer sees."""
    return rows_loader(work, repository.visible_items_of_orders(viewer), "order_id", OrderItem.from_row)


def orders_of_user(work: UnitOfWork) -> ConnectionLoader[repository.OrderCriteria, Order]:
    """Load the orders that users placed."""
    return ConnectionLoader(work, repository.listing, repository.placed_by, Order.from_row)


def orders_of_store(work: UnitOfWork, viewer: Viewer | None) -> ConnectionLoader[repository.OrderCriteria, Order]:
    """Load the orders that have items of stores."""
    listing = partial(repository.listing_of_stores, viewer)
    return ConnectionLoader(work, listing, repository.placed_with, Order.from_row)
