"""What clients send about orders."""

from enum import Enum
from typing import Annotated

from pydantic import Field

from app.db.models import OrderStatus
from app.inputs import (
    DISTINCT,
    DateTimeRange,
    Direction,
    Filter,
    Input,
    OrderId,
    ProductId,
    Quantity,
    Sort,
    StoreId,
    optional,
    required,
)

MAX_ITEMS = 100


class OrderItemInput(Input):
    """A product and quantity to order."""

    product_id: ProductId = required("ID of the product. Each product may appear only once per order.")
    quantity: Quantity = required("Number of units, 1 to 10,000.")


class PlaceOrderInput(Input):
    """An order to place."""

    items: Annotated[list[OrderItemInput], Field(min_length=1, max_length=MAX_ITEMS)] = required(
        "1 to 100 products, from any number of stores."
    )


class FulfillOrderItemsInput(Input):
    """The items of an order to mark as fulfilled."""

    order_id: OrderId = required("ID of the order.")
    product_ids: Annotated[list[ProductId], Field(min_length=1, max_length=MAX_ITEMS)] = required(
        "IDs of 1 to 100 products in the order. They must belong to your stores unless you are a superuser."
    )


class OrderFilter(Filter):
    """Filters for orders. All fields must match; omitted or null fields are ignored."""

    status: Annotated[tuple[OrderStatus, ...], DISTINCT] | None = optional(
        "Orders with one of these statuses. An empty list matches nothing."
    )
    date: DateTimeRange | None = optional("Orders placed within this range.")
    store_id: StoreId | None = optional("Orders with an item of this store.")


class OrderOrderField(Enum):
    """The fields that orders can be sorted by."""

    DATE = "DATE"


class OrderOrder(Sort):
    """How to sort orders."""

    field: OrderOrderField = required("The field to sort by.")
    direction: Direction = Field(default=Direction.DESC, description="The direction to sort in. Default: `DESC`.")
