"""What clients send about orders."""

from enum import Enum
from typing import Annotated

from pydantic import AfterValidator, Field

from app.db.models import OrderStatus, StoreOrderStatus
from app.inputs import (
    DISTINCT,
    Country,
    DateTimeRange,
    Direction,
    Filter,
    Input,
    Line,
    Note,
    OrderId,
    OrderItemId,
    Phone,
    Postcode,
    ProductId,
    Quantity,
    SearchText,
    Sort,
    StoreId,
    StoreOrderId,
    optional,
    required,
)
from app.orders.numbers import normalized_number

MAX_ITEMS = 100
MAX_ADDRESS_LINES = 4
OrderNumber = Annotated[SearchText, AfterValidator(lambda number: number and normalized_number(number))]


class OrderItemInput(Input):
    """A product and quantity to order."""

    product_id: ProductId = required("ID of the product. Each product may appear only once per order.")
    quantity: Quantity = required("Number of units, 1 to 10,000.")


class ShippingAddressInput(Input):
    """Where to send an order."""

    recipient: Line = required("Name of the person or company that receives the order, 1 to 255 characters.")
    lines: Annotated[list[Line], Field(min_length=1, max_length=MAX_ADDRESS_LINES)] = required(
        "1 to 4 lines between the recipient and the city, such as the street and the floor; 1 to 255 characters each."
    )
    city: Line = required("City or town, 1 to 255 characters.")
    postcode: Postcode | None = optional(
        "Postal code: letters and digits, with spaces, hyphens, points or slashes in between. Omit it where a country "
        "has none."
    )
    country: Country = required("ISO 3166-1 alpha-2 country code, such as `DE`.")
    phone: Phone | None = optional("Phone number for questions about the delivery, such as `+49 30 1234567`.")


class PlaceOrderInput(Input):
    """An order to place, or to quote."""

    items: Annotated[list[OrderItemInput], Field(min_length=1, max_length=MAX_ITEMS)] = required(
        "1 to 100 products, from any number of stores."
    )
    shipping_address: ShippingAddressInput | None = optional("Where to send the order.")
    note: Note | None = optional("Note for the stores, 1 to 1,000 characters. May contain line breaks.")


class CancelOrderInput(Input):
    """An order to cancel."""

    id: OrderId = required("ID of the order.")


class DeleteOrderInput(Input):
    """An order to delete."""

    id: OrderId = required("ID of the order.")


class FulfillStoreOrderInput(Input):
    """What a store has fulfilled of its part of an order."""

    id: StoreOrderId = required("ID of the store's part of the order.")
    item_ids: Annotated[list[OrderItemId], Field(min_length=1, max_length=MAX_ITEMS)] | None = optional(
        "IDs of the fulfilled items. Omitted or null: all items that aren't fulfilled yet."
    )


class DeclineStoreOrderInput(Input):
    """The part of an order that a store can't fulfill."""

    id: StoreOrderId = required("ID of the store's part of the order.")
    reason: Line = required("Reason that the customer is shown, 1 to 255 characters.")


class OrderFilter(Filter):
    """Filters for orders. All fields must match; omitted or null fields are ignored."""

    status: Annotated[tuple[OrderStatus, ...], DISTINCT] | None = optional(
        "Orders with one of these statuses. An empty list matches nothing."
    )
    placed_at: DateTimeRange | None = optional("Orders placed within this range.")
    store_id: StoreId | None = optional("Orders with an item of this store.")


class StoreOrderFilter(Filter):
    """Filters for the orders of a store. All fields must match; omitted or null fields are ignored."""

    status: Annotated[tuple[StoreOrderStatus, ...], DISTINCT] | None = optional(
        "Orders with one of these statuses. An empty list matches nothing."
    )
    placed_at: DateTimeRange | None = optional("Orders placed within this range.")
    number: OrderNumber = optional("The order with this number, such as `7K3M-Q4XD`.")


class OrderSortField(Enum):
    """The fields that orders can be sorted by."""

    PLACED_AT = "PLACED_AT"


class OrderSort(Sort):
    """How to sort orders, or the parts of them that a store sells."""

    field: OrderSortField = required("The field to sort by.")
    direction: Direction = Field(default=Direction.DESC, description="The direction to sort in. Default: `DESC`.")
