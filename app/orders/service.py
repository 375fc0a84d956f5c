"""The rules of orders: what can be ordered, and the steps in the life of an order and of its parts."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from app.audit import recording as audit
from app.db.models import OrderStatus, StoreOrderStatus
from app.db.statements import Record
from app.db.unit_of_work import UnitOfWork
from app.errors import SESSION_ENDED, InputIssue, InputIssueCode, InvalidInput, NotFound, Unauthenticated
from app.idempotency.service import IdempotentRequest
from app.inputs import repeated
from app.orders import placing, repository
from app.orders.errors import InsufficientStock, InvalidStoreOrderTransition, InvalidTransition, Shortage
from app.orders.inputs import DeclineStoreOrderInput, FulfillStoreOrderInput, PlaceOrderInput
from app.orders.numbers import new_number
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository as stores
from app.stores.service import require_manager


async def place_order(
    work: UnitOfWork,
    viewer: Viewer,
    session_id: UUID | None,
    new: PlaceOrderInput,
    request: IdempotentRequest | None = None,
) -> tuple[Viewer, Record]:
    """Order products at their current prices, and take them from stock, once for each idempotent request. Return the
    customer with their current rights, and the order; Unauthenticated if their session has ended."""
    quantities = _quantities(new)
    lines = [placing.Line(uuid7(), uuid7(), key, quantity) for key, quantity in quantities.items()]
    order = {"id": uuid7(), "number": new_number(), "customer_id": viewer.id, **_delivery(new)}
    entry = audit.written_within(work, audit.Change("Order", order["id"], ("customerId", "items"), is_new=True))
    claim = None if request is None else request.claiming()
    outcome = await placing.place(work, session_id, order, lines, entry, claim)
    if request is not None:
        await request.take_note(work, outcome.order, outcome.known)
    if outcome.is_superuser is None:
        raise Unauthenticated(SESSION_ENDED)
    placed = outcome.order
    if request is not None and request.is_repeat:
        placed = await placing.placed_before(work, request.order_id)
    if placed is None:
        _require_all(quantities, outcome.available)
        raise InsufficientStock(_shortages(quantities, outcome.available))
    return Viewer(viewer.id, outcome.is_superuser), placed


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


async def cancel_order(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    """Cancel the parts of an order that no store has declined, if nothing is fulfilled, and return their stock: for its
    customer and superusers."""
    order = await _own_order(work, viewer, key)
    if order.status != OrderStatus.PLACED:
        message = f"The order is {order.status} and can no longer be cancelled."
        raise InvalidTransition(OrderStatus(order.status), message)
    return await _cancel(work, order)


async def fulfill_store_order(work: UnitOfWork, viewer: Viewer, given: FulfillStoreOrderInput) -> Record:
    """Mark items of a store's part of an order as fulfilled: for the store's owner and superusers."""
    order, parts, part = await _managed_part(work, viewer, given.id)
    if part.status != StoreOrderStatus.OPEN:
        raise _invalid_transition(part, f"This part of the order is {part.status}; its items can't be fulfilled.")
    items = await repository.items_of(work, order.id)
    chosen = _chosen(_items_of(part, items), given.item_ids)
    items = _merged(items, await repository.update_items(work, chosen, {"fulfilled_at": datetime.now(UTC)}))
    is_fulfilled = all(item.fulfilled_at is not None for item in _items_of(part, items).values())
    status = StoreOrderStatus.FULFILLED if is_fulfilled else StoreOrderStatus.OPEN
    part = await repository.update_part(work, part, {"status": status})
    await repository.set_status(work, order, status_of(_merged(parts, [part]), items))
    return part


async def decline_store_order(work: UnitOfWork, viewer: Viewer, given: DeclineStoreOrderInput) -> Record:
    """Decline a store's part of an order of which nothing is fulfilled, and return its stock: for the store's owner and
    superusers."""
    order, parts, part = await _managed_part(work, viewer, given.id)
    items = await repository.items_of(work, order.id)
    own = _items_of(part, items).values()
    if part.status != StoreOrderStatus.OPEN:
        raise _invalid_transition(part, f"This part of the order is {part.status} and can't be declined.")
    if any(item.fulfilled_at is not None for item in own):
        raise _invalid_transition(part, "Some items are fulfilled; this part of the order can't be declined.")
    await _return_stock(work, own)
    changes = {"status": StoreOrderStatus.DECLINED, "decline_reason": given.reason}
    part = await repository.update_part(work, part, changes)
    await repository.set_status(work, order, status_of(_merged(parts, [part]), items))
    return part


async def delete_order(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    """Delete an order; if nothing was fulfilled, it is cancelled and its stock returned."""
    order = await _own_order(work, viewer, key)
    if order.status == OrderStatus.PLACED:
        order = await _cancel(work, order)
    return await repository.delete(work, order, await stores.this_moment(work))


def status_of(parts: Collection[Any], items: Collection[Any]) -> OrderStatus:
    """Return the status of an order with these parts and items."""
    left = [part for part in parts if part.status not in (StoreOrderStatus.DECLINED, StoreOrderStatus.CANCELLED)]
    if not left:
        return OrderStatus.CANCELLED
    if all(part.status == StoreOrderStatus.FULFILLED for part in left):
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


async def _cancel(work: UnitOfWork, order: Record) -> Record:
    items = await repository.items_of(work, order.id)
    await _return_stock(work, items)
    parts = await repository.parts_of(work, order.id)
    still_open = [part.id for part in parts if part.status == StoreOrderStatus.OPEN]
    parts = _merged(parts, await repository.cancel_parts(work, still_open))
    return await repository.set_status(work, order, status_of(parts, items))


def _merged(rows: Sequence[Record], changed: Sequence[Record]) -> Sequence[Record]:
    """Return the rows, those that have changed as they are now."""
    now = {row.id: row for row in changed}
    return [now.get(row.id, row) for row in rows]


async def _own_order(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    order = await repository.locked_order(work, key)
    if order is None or not is_self_or_superuser(viewer, order.customer_id):
        raise NotFound("Order", key)
    return order


async def _managed_part(work: UnitOfWork, viewer: Viewer, key: UUID) -> tuple[Record, Sequence[Record], Record]:
    """Return the order, locked, its parts, and the one with this key; NotFound if the viewer can't see that, Forbidden
    if they see it as the customer."""
    order = await repository.locked_order_of_part(work, key)
    if order is None:
        raise NotFound("StoreOrder", key)
    parts = await repository.parts_of(work, order.id)
    part = next(part for part in parts if part.id == key)
    owner_id = await stores.owner_of(work, part.store_id)
    if not (is_self_or_superuser(viewer, owner_id) or viewer.id == order.customer_id):
        raise NotFound("StoreOrder", key)
    require_manager(viewer, owner_id)
    return order, parts, part


def _items_of(part: Record, items: Sequence[Record]) -> Mapping[UUID, Record]:
    """Return those of the order's items that the part has, by their keys."""
    return {item.id: item for item in items if item.store_order_id == part.id}


def _invalid_transition(part: Record, message: str) -> InvalidStoreOrderTransition:
    return InvalidStoreOrderTransition(StoreOrderStatus(part.status), message)


async def _return_stock(work: UnitOfWork, items: Collection[Record]) -> None:
    """Return the units that items still hold from stock."""
    held = [item for item in items if item.from_stock]
    if not held:
        return
    await repository.add_stock(work, {item.product_id: item.quantity for item in held})
    await repository.update_items(work, held, {"from_stock": False})


def _chosen(items: Mapping[UUID, Record], keys: Sequence[UUID] | None) -> Sequence[Record]:
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
