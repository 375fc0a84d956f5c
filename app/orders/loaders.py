"""The dataloaders of orders and their items."""

from functools import partial
from uuid import UUID

from aiodataloader import DataLoader

from app.database import UnitOfWork
from app.graphql.dataloaders import ConnectionLoader, row_loader, rows_loader
from app.orders import repository
from app.orders.types import Order, OrderItem
from app.security.viewer import Viewer


def visible_order(work: UnitOfWork, viewer: Viewer | None) -> DataLoader[UUID, Order | None]:
    """Load the orders that the viewer may look up."""
    return row_loader(work, repository.visible_by_key(viewer), Order.from_row)


def visible_item(work: UnitOfWork, viewer: Viewer | None) -> DataLoader[UUID, OrderItem | None]:
    """Load the items that the viewer may look up."""
    return row_loader(work, repository.visible_items_by_key(viewer), OrderItem.from_row)


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
