"""The rules of orders: what can be ordered, and the steps of an order's life."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.audit import recording as audit
from app.db.models import Order, OrderItem, OrderStatus
from app.db.statements import Record
from app.db.unit_of_work import UnitOfWork
from app.errors import NO_ACCOUNT, InputIssue, InvalidInput, NotFound, Unauthenticated
from app.inputs import repeated
from app.orders import repository
from app.orders.errors import InsufficientStock, InvalidTransition, Shortage
from app.orders.inputs import FulfillOrderItemsInput, PlaceOrderInput
from app.security.viewer import Viewer, is_self_or_superuser


async def place_order(work: UnitOfWork, viewer: Viewer, new: PlaceOrderInput) -> tuple[Viewer, Record]:
    """Order products at their current prices, and take them from stock. Return the customer with their current rights,
    and the order; Unauthenticated if the account is deleted."""
    if issues := repeated([item.product_id for item in new.items], lambda index: ("items", str(index), "productId")):
        raise InvalidInput(issues)
    quantities = {item.product_id: item.quantity for item in new.items}
    customer, products = await repository.customer_and_products(work, viewer.id, list(quantities))
    if customer is None:
        raise Unauthenticated(NO_ACCOUNT)
    for key in quantities:
        if key not in products:
            raise NotFound("Product", key)
    _refuse_shortages(quantities, products)
    items = [_item(products[key], quantity) for key, quantity in quantities.items()]
    order_id = uuid7()
    repository.note_placed(work, order_id, items)
    entry = audit.written_within(work, audit.Change("Order", order_id, ("customerId", "items"), is_new=True))
    return customer, await repository.place(work, order_id, viewer.id, items, entry)


async def cancel_order(session: AsyncSession, viewer: Viewer, key: UUID) -> Order:
    """Cancel an order of which nothing is fulfilled, and return its stock: for its customer and superusers."""
    order = await _own_order(session, viewer, key)
    if order.status is not OrderStatus.PLACED:
        raise InvalidTransition(order.status, f"The order is {order.status} and can no longer be cancelled.")
    await _return_stock(session, order)
    order.status = OrderStatus.CANCELLED
    await repository.save(session, order)
    return order


async def fulfill_items(session: AsyncSession, viewer: Viewer, given: FulfillOrderItemsInput) -> Order:
    """Mark items as fulfilled: for the owner of their store, and superusers."""
    order = await repository.locked_order(session, given.order_id)
    managed = {} if order is None else await _managed_items(session, viewer, order)
    if order is None or not managed:
        raise NotFound("Order", given.order_id)
    if order.status not in (OrderStatus.PLACED, OrderStatus.PARTIALLY_FULFILLED):
        raise InvalidTransition(order.status, f"The order is {order.status}; its items can't be fulfilled.")
    chosen = _chosen_items(managed, given.product_ids)
    now = datetime.now(UTC)
    for item in chosen:
        item.fulfilled_at = now
    await repository.save(session, *chosen)
    waiting = await repository.unfulfilled(session, order.id)
    order.status = OrderStatus.PARTIALLY_FULFILLED if waiting else OrderStatus.FULFILLED
    await repository.save(session, order)
    return order


async def delete_order(session: AsyncSession, viewer: Viewer, key: UUID) -> None:
    """Delete an order; if nothing was fulfilled, it is cancelled and its stock returned."""
    order = await _own_order(session, viewer, key)
    if order.status is OrderStatus.PLACED:
        await _return_stock(session, order)
        order.status = OrderStatus.CANCELLED
    order.deleted_at = func.now()
    await repository.save(session, order)


async def _own_order(session: AsyncSession, viewer: Viewer, key: UUID) -> Order:
    order = await repository.locked_order(session, key)
    if order is None or not is_self_or_superuser(viewer, order.customer_id):
        raise NotFound("Order", key)
    return order


async def _return_stock(session: AsyncSession, order: Order) -> None:
    quantities = await repository.taken_from_stock(session, order.id)
    await repository.lock_products(session, list(quantities))
    await repository.add_stock(session, quantities)


async def _managed_items(session: AsyncSession, viewer: Viewer, order: Order) -> Mapping[UUID, OrderItem]:
    items = await repository.managed_items(session, viewer, order.id)
    return {item.product_id: item for item in items}


def _chosen_items(managed: Mapping[UUID, OrderItem], product_ids: Sequence[UUID]) -> Sequence[OrderItem]:
    """Return the items to fulfil; InvalidInput names each product that is not one."""
    issues = repeated(product_ids, lambda index: ("productIds", str(index)))
    for index, key in enumerate(product_ids):
        if key not in managed:
            issues.append(InputIssue(("productIds", str(index)), "is not an item of your stores in this order"))
        elif managed[key].fulfilled_at is not None:
            issues.append(InputIssue(("productIds", str(index)), "has already been fulfilled"))
    if issues:
        raise InvalidInput(issues)
    return [managed[key] for key in product_ids]


def _refuse_shortages(quantities: Mapping[UUID, int], products: Mapping[UUID, Record]) -> None:
    shortages = [
        Shortage(product_id=key, requested=quantity, available=products[key].stock)
        for key, quantity in quantities.items()
        if products[key].stock is not None and products[key].stock < quantity
    ]
    if shortages:
        raise InsufficientStock(shortages)


def _item(product: Record, quantity: int) -> Mapping[str, Any]:
    return {
        "product_id": product.id,
        "store_id": product.store_id,
        "quantity": quantity,
        "unit_price": product.price,
        "currency": product.currency,
        "from_stock": product.stock is not None,
    }
