"""The events that there are, and the topics that they lead to: declared once."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID


class Follow(StrEnum):
    """What a subscription can follow."""

    ORDER = "Order"
    STORE_ORDER = "StoreOrder"
    PRODUCT = "Product"
    PLACED = "Placed"
    """The orders of a store, each with the key of the order as its subject."""


class Topic(NamedTuple):
    """What a subscription follows: one order, one product, or the orders of one store."""

    kind: str
    key: UUID


class Event(NamedTuple):
    """A change of the entity, as it is written to the log. The payload holds keys and a few facts."""

    type: str
    entity_id: UUID
    store_id: UUID | None = None
    payload: Mapping[str, Any] = {}


@dataclass(frozen=True)
class EventType:
    """A type of event: the entity that it is about, when it happens, and what its followers follow."""

    entity: str
    description: str
    follow: Follow | None = None
    payload: str = ""
    """The fields of its payload."""
    reaches_products: bool = False
    """Whether the followers of all products of its store are notified."""


TYPES: Mapping[str, EventType] = {
    "order.placed": EventType("Order", "An order was placed.", payload="number"),
    "order.updated": EventType("Order", "An order or a part of it changed.", Follow.ORDER),
    "order.deleted": EventType("Order", "An order was deleted.", Follow.ORDER),
    "store_order.placed": EventType("StoreOrder", "A store received an order.", Follow.PLACED, payload="orderId"),
    "store_order.updated": EventType("StoreOrder", "A store's part of an order changed.", Follow.STORE_ORDER),
    "store_order.deleted": EventType("StoreOrder", "A store's part was deleted.", Follow.STORE_ORDER),
    "product.created": EventType("Product", "A product was added."),
    "product.updated": EventType("Product", "A product changed, or was restored.", Follow.PRODUCT),
    "product.stock_changed": EventType("Product", "Only a product's stock changed.", Follow.PRODUCT, payload="stock"),
    "product.deleted": EventType("Product", "A product was deleted.", Follow.PRODUCT),
    "store.created": EventType("Store", "A store was opened."),
    "store.updated": EventType("Store", "A store changed."),
    "store.deleted": EventType("Store", "A store was deleted, with its products.", reaches_products=True),
    "store.restored": EventType("Store", "A store was restored, with its products.", reaches_products=True),
}
_PREFIXES = {type_.entity: name.partition(".")[0] for name, type_ in TYPES.items()}


def type_of(entity: str, fields: tuple[str, ...], *, is_new: bool, is_deleted: bool) -> str | None:
    """Return the type of event for a change of these fields of an entity; None if changes of it aren't logged."""
    prefix = _PREFIXES.get(entity)
    if prefix is None:
        return None
    if is_new:
        verb = "created"
    elif "deletedAt" in fields:
        verb = "deleted" if is_deleted else "restored"
    else:
        verb = "stock_changed" if fields == ("stock",) else "updated"
    name = f"{prefix}.{verb}"
    return name if name in TYPES else f"{prefix}.updated"


def followed(
    type_: str, entity_id: UUID, store_id: UUID | None, payload: Mapping[str, Any]
) -> tuple[Topic, UUID] | None:
    """Return the topic that an event leads to, and its subject there; None if nobody can follow it."""
    declared = TYPES.get(type_)  # a later version may know others
    if declared is None or declared.follow is None:
        return None
    if declared.follow is Follow.PLACED:
        assert store_id is not None, "a store's part has a store"
        return Topic(Follow.PLACED, store_id), UUID(payload["orderId"])
    return Topic(declared.follow, entity_id), entity_id
