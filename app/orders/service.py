"""The rules of orders: what can be ordered, and the steps in the life of an order and of its parts."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.audit import recording as audit
from app.db import notifications as events
from app.db.models import Order, OrderItem, OrderStatus, StoreOrder, StoreOrderStatus
from app.db.statements import Record
from app.db.unit_of_work import UnitOfWork
from app.errors import SESSION_ENDED, InputIssue, InputIssueCode, InvalidInput, NotFound, Unauthenticated
from app.inputs import repeated
from app.orders import placing, repository
from app.orders.errors import InsufficientStock, InvalidStoreOrderTransition, InvalidTransition, Shortage
from app.orders.inputs import DeclineStoreOrderInput, FulfillStoreOrderInput, PlaceOrderInput
from app.orders.numbers import new_number
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository as stores
from app.stores.service import require_manager


async def place_order(
    work: UnitOfWork, viewer: Viewer, session_id: UUID | None, new: PlaceOrderInput
) -> tuple[Viewer, Record]:
    """Order products at their current prices, and take them from stock. Return the customer with their current rights,
    and the order; Unauthenticated if their session has ended."""
    quantities = _quantities(new)
    lines = [placing.Line(uuid7(), uuid7(), key, quantity) for key, quantity in quantities.items()]
    order = {"id": uuid7(), "number": new_number(), "customer_id": viewer.id, **_delivery(new)}
    entry = audit.written_within(work, audit.Change("Order", order["id"], ("customerId", "items"), is_new=True))
    outcome = await placing.place(work, session_id, order, lines, entry)
    if outcome is None:
        raise Unauthenticated(SESSION_ENDED)
    if outcome.order is None:
        _require_all(quantities, outcome.available)
        raise InsufficientStock(_shortages(quantities, outcome.available))
    return Viewer(viewer.id, outcome.is_superuser), outcome.order


@dataclass(frozen=True)
class QuoteLine:
    """A product and quantity, at its current price."""

    product_id: UUID
    quantity: int
    unit_price: Decimal
    currency: str


@dataclass(frozen=True)
class Quote:
    """What an order would cost now: its total in each currency, and the products that are short."""

    lines: Sequence[QuoteLine]
    totals: Mapping[str, Decimal]
    shortages: Sequence[Shortage]


async def quote_order(work: UnitOfWork, new: PlaceOrderInput) -> Quote:
    """Return what an order would cost now; NotFound for a product that can't be ordered."""
    quantities = _quantities(new)
    products = await placing.products_to_quote(work, quantities)
    _require_all(quantities, products)
    lines = [
        QuoteLine(key, quantity, products[key].price, products[key].currency) for key, quantity in quantities.items()
    ]
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for line in sorted(lines, key=lambda line: line.currency):
        totals[line.currency] += line.unit_price * line.quantity
    return Quote(lines, totals, _shortages(quantities, products))


async def cancel_order(session: AsyncSession, viewer: Viewer, key: UUID) -> Order:
    """Cancel the parts of an order that no store has declined, if nothing is fulfilled, and return their stock: for its
    customer and superusers."""
    order = await _own_order(session, viewer, key)
    if order.status is not OrderStatus.PLACED:
        raise InvalidTransition(order.status, f"The order is {order.status} and can no longer be cancelled.")
    await _cancel(session, order)
    return order


async def fulfill_store_order(session: AsyncSession, viewer: Viewer, given: FulfillStoreOrderInput) -> StoreOrder:
    """Mark items of a store's part of an order as fulfilled: for the store's owner and superusers."""
    order, part = await _managed_part(session, viewer, given.id)
    if part.status is not StoreOrderStatus.OPEN:
        message = f"This part of the order is {part.status}; its items can't be fulfilled."
        raise InvalidStoreOrderTransition(part.status, message)
    items = await repository.items_of(session, order.id)
    own = {item.id: item for item in items if item.store_order_id == part.id}
    chosen, now = _chosen(own, given.item_ids), datetime.now(UTC)
    for item in chosen:
        item.fulfilled_at = now
    if all(item.fulfilled_at is not None for item in own.values()):
        part.status = StoreOrderStatus.FULFILLED
    part.updated_at = func.now()
    await repository.save(session, *chosen)
    await _follow_parts(session, order, items)
    return part


async def decline_store_order(session: AsyncSession, viewer: Viewer, given: DeclineStoreOrderInput) -> StoreOrder:
    """Decline a store's part of an order of which nothing is fulfilled, and return its stock: for the store's owner and
    superusers."""
    order, part = await _managed_part(session, viewer, given.id)
    items = await repository.items_of(session, order.id)
    own = [item for item in items if item.store_order_id == part.id]
    if part.status is not StoreOrderStatus.OPEN:
        message = f"This part of the order is {part.status} and can't be declined."
        raise InvalidStoreOrderTransition(part.status, message)
    if any(item.fulfilled_at is not None for item in own):
        message = "Some items are fulfilled; this part of the order can't be declined."
        raise InvalidStoreOrderTransition(part.status, message)
    await _return_stock(session, own)
    part.status, part.decline_reason = StoreOrderStatus.DECLINED, given.reason
    await _follow_parts(session, order, items)
    return part


async def delete_order(session: AsyncSession, viewer: Viewer, key: UUID) -> Order:
    """Delete an order; if nothing was fulfilled, it is cancelled and its stock returned."""
    order = await _own_order(session, viewer, key)
    if order.status is OrderStatus.PLACED:
        await _cancel(session, order)
    moment = await stores.this_moment(session)
    for part in await repository.parts_of(session, order.id):
        part.deleted_at = moment
    order.deleted_at = moment
    await repository.save(session, order)
    return order


def status_of(parts: Collection[StoreOrder], items: Collection[OrderItem]) -> OrderStatus:
    """Return the status of an order with these parts and items."""
    left = [part for part in parts if part.status not in (StoreOrderStatus.DECLINED, StoreOrderStatus.CANCELLED)]
    if not left:
        return OrderStatus.CANCELLED
    if all(part.status is StoreOrderStatus.FULFILLED for part in left):
        return OrderStatus.FULFILLED
    is_begun = any(item.fulfilled_at is not None for item in items)
    return OrderStatus.PARTIALLY_FULFILLED if is_begun else OrderStatus.PLACED


def _require_all(quantities: Mapping[UUID, int], products: Mapping[UUID, Any]) -> None:
    """Raise NotFound for the first product that can't be ordered."""
    for key in quantities:
        if key not in products:
            raise NotFound("Product", key)


def _shortages(quantities: Mapping[UUID, int], products: Mapping[UUID, Any]) -> Sequence[Shortage]:
    """Return every product that has less stock than is ordered of it."""
    return [
        Shortage(product_id=key, requested=quantity, available=products[key].stock)
        for key, quantity in quantities.items()
        if products[key].is_short
    ]


async def _cancel(session: AsyncSession, order: Order) -> None:
    items = await repository.items_of(session, order.id)
    await _return_stock(session, items)
    for part in await repository.parts_of(session, order.id):
        if part.status is StoreOrderStatus.OPEN:
            part.status = StoreOrderStatus.CANCELLED
    await _follow_parts(session, order, items)


async def _follow_parts(session: AsyncSession, order: Order, items: Collection[OrderItem]) -> None:
    """Set the status of an order by its parts, and notify its followers even if it stays the same."""
    await session.flush()
    order.status = status_of(await repository.parts_of(session, order.id), items)
    order.updated_at = func.now()
    await repository.save(session, order)
    events.note(session, events.updated("Order", [order.id]))


async def _own_order(session: AsyncSession, viewer: Viewer, key: UUID) -> Order:
    order = await repository.locked_order(session, key)
    if order is None or not is_self_or_superuser(viewer, order.customer_id):
        raise NotFound("Order", key)
    return order


async def _managed_part(session: AsyncSession, viewer: Viewer, key: UUID) -> tuple[Order, StoreOrder]:
    """Return the order, locked, and its part with this key; NotFound if the viewer can't see the part, Forbidden if
    they see it as the customer."""
    order = await repository.locked_order(session, repository.order_of_part(key))
    part = None if order is None else await repository.part_with(session, key)
    if order is None or part is None:
        raise NotFound("StoreOrder", key)
    owner_id = await stores.owner_of(session, part.store_id)
    if not (is_self_or_superuser(viewer, owner_id) or viewer.id == order.customer_id):
        raise NotFound("StoreOrder", key)
    require_manager(viewer, owner_id)
    return order, part


async def _return_stock(session: AsyncSession, items: Collection[OrderItem]) -> None:
    """Return the units that items still hold from stock."""
    held = [item for item in items if item.from_stock]
    quantities = {item.product_id: item.quantity for item in held}
    await stores.lock_products(session, quantities)
    await repository.add_stock(session, quantities)
    for item in held:
        item.from_stock = False


def _chosen(items: Mapping[UUID, OrderItem], keys: Sequence[UUID] | None) -> Sequence[OrderItem]:
    """Return the items to fulfill; InvalidInput names each id that is none of them."""
    if keys is None:
        return [item for item in items.values() if item.fulfilled_at is None]
    issues = repeated(keys, lambda index: ("itemIds", str(index)))
    for index, key in enumerate(keys):
        if key not in items:
            issues.append(_issue(index, InputIssueCode.NOT_IN_ORDER, "is not an item of this order"))
        elif items[key].fulfilled_at is not None:
            issues.append(_issue(index, InputIssueCode.ALREADY_FULFILLED, "has already been fulfilled"))
    if issues:
        raise InvalidInput(issues)
    return [items[key] for key in keys]


def _issue(index: int, code: InputIssueCode, message: str) -> InputIssue:
    return InputIssue(("itemIds", str(index)), code, message)


def _quantities(new: PlaceOrderInput) -> Mapping[UUID, int]:
    if issues := repeated([item.product_id for item in new.items], lambda index: ("items", str(index), "productId")):
        raise InvalidInput(issues)
    return {item.product_id: item.quantity for item in new.items}


def _delivery(new: PlaceOrderInput) -> Mapping[str, Any]:
    """Return the columns that say where an order goes, and what the customer noted."""
    if new.shipping_address is None:
        return {"note": new.note}
    address = new.shipping_address.model_dump()
    return {"note": new.note, "address_lines": address.pop("lines"), **address}
