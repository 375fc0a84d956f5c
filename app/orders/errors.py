"""The failures of orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.db.models import OrderStatus, StoreOrderStatus
from app.errors import DomainError


@dataclass(frozen=True)
class Shortage:
    """A product with less stock than the order requested."""

    product_id: UUID
    requested: int
    available: int


@dataclass
class InsufficientStock(DomainError):
    """Every product that can't be ordered in the requested quantity."""

    shortages: Sequence[Shortage]
    message: str = "Some products don't have enough stock."


@dataclass
class InvalidTransition(DomainError):
    """The order's status doesn't allow this operation."""

    status: OrderStatus
    message: str


@dataclass
class InvalidStoreOrderTransition(DomainError):
    """The status of the store's part of an order doesn't allow this operation."""

    status: StoreOrderStatus
    message: str
