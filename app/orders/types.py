"""Orders as GraphQL shows them."""

from datetime import datetime
from typing import Annotated

import strawberry

from app.db import models
from app.db.models import OrderStatus, StoreOrderStatus
from app.graphql import lazy
from app.graphql.enums import describe_enum
from app.graphql.failures import Error, InvalidInput, NotFound, failure, result
from app.graphql.money import Money, money
from app.graphql.node import Node, OfRow, node, shows
from app.graphql.relations.connections import Edge
from app.graphql.relations.fields import column, edge, embedded, identifier, itself, reference, rows, through
from app.inputs import CountryCode
from app.orders import errors, repository
from app.orders.inputs import OrderSortField
from app.users import repository as users

describe_enum(
    OrderStatus,
    PLACED="Placed; no item has been fulfilled. The order can still be cancelled.",
    PARTIALLY_FULFILLED="Some items have been fulfilled.",
    FULFILLED="All items that weren't declined have been fulfilled.",
    CANCELLED="Cancelled by the customer, or declined by every store, before any item was fulfilled.",
)
describe_enum(
    StoreOrderStatus,
    OPEN="Waiting for the store to fulfill all of its items.",
    FULFILLED="The store has fulfilled all of its items.",
    DECLINED="Declined by the store before any item was fulfilled. Its stock was returned.",
    CANCELLED="Cancelled by the customer before any item was fulfilled. Its stock was returned.",
)
describe_enum(OrderSortField, PLACED_AT="When the order was placed.")


@strawberry.type(description="Where an order is sent.")
class ShippingAddress:
    recipient: str = strawberry.field(description="Name of the person or company that receives the order.")
    lines: list[str] = strawberry.field(description="Lines between the recipient and the city, such as the street.")
    city: str = strawberry.field(description="City or town.")
    postcode: str | None = strawberry.field(description="Postal code.")
    country: CountryCode = strawberry.field(description="ISO 3166-1 alpha-2 country code, such as `DE`.")
    phone: str | None = strawberry.field(description="Phone number for questions about the delivery.")


_NUMBER = column(models.Order.number, "Number to quote to the customer or the store, such as `7K3M-Q4XD`.")
_NOTE = column(models.Order.note, "Note from the customer. May contain line breaks.")
_SHIPPING_ADDRESS = embedded(
    ShippingAddress,
    "Where the order is sent, as given when it was placed.",
    present="recipient",
    recipient=models.Order.recipient,
    lines=models.Order.address_lines,
    city=models.Order.city,
    postcode=models.Order.postcode,
    country=models.Order.country,
    phone=models.Order.phone,
)


@node(
    models.OrderItem,
    repository.visible_items_by_key,
    "A product within an order, with the name and the price it had when the order was placed.",
)
class OrderItem(Node):
    product: lazy.Product = reference(
        models.OrderItem.product_id, "The product as it is now, even if it has since been deleted."
    )
    product_name: str = column(models.OrderItem.product_name, "Name of the product when the order was placed.")
    quantity: int = column(models.OrderItem.quantity, "Number of units ordered.")
    unit_price: Money = money(
        models.OrderItem.unit_price, models.OrderItem.currency, "Price of one unit when the order was placed."
    )
    line_total: Money = money(
        lambda item: item.unit_price * item.quantity, models.OrderItem.currency, "Unit price multiplied by quantity."
    )
    fulfilled_at: datetime | None = column(
        models.OrderItem.fulfilled_at, "When the store fulfilled the item. Null until fulfilled."
    )


@node(
    models.StoreOrder,
    repository.visible_parts_by_key,
    "The part of an order that one store sells. Visible to the customer, the store's owner and superusers.",
)
class StoreOrder(Node):
    number: str = through(models.StoreOrder.order_id, _NUMBER)
    store: lazy.Store = reference(models.StoreOrder.store_id, "The store that sells the items.")
    status: StoreOrderStatus = column(models.StoreOrder.status, "The current status of this part of the order.")
    placed_at: datetime = column(models.StoreOrder.placed_at, "When the order was placed.")
    items: list[OrderItem] = rows(
        repository.all_items,
        "The products ordered from the store.",
        within=repository.of_part,
        order_by=models.OrderItem.id,
        of=models.OrderItem,
    )
    total: Money = money(
        models.StoreOrder.total, models.StoreOrder.currency, "Total price of the items, as they were ordered."
    )
    customer_name: str = through(
        models.StoreOrder.order_id,
        column(models.Order.customer_name, "Full name of the customer when the order was placed."),
    )
    shipping_address: ShippingAddress | None = through(models.StoreOrder.order_id, _SHIPPING_ADDRESS)
    note: str | None = through(models.StoreOrder.order_id, _NOTE)
    decline_reason: str | None = column(models.StoreOrder.decline_reason, "Why the store declined. Null unless it did.")
    updated_at: datetime = column(models.StoreOrder.updated_at, "When this part of the order was last changed.")


@node(
    models.Order,
    repository.visible_by_key,
    "Products that a customer ordered together, from any number of stores. Visible to the customer and superusers.",
)
class Order(Node):
    number: str = _NUMBER
    customer: lazy.User | None = reference(
        models.Order.customer_id,
        "The customer who placed the order. Null if the account was closed.",
        condition=users.not_closed,
    )
    placed_at: datetime = column(models.Order.placed_at, "When the order was placed.")
    status: OrderStatus = column(models.Order.status, "The current status of the order, which follows from its parts.")
    store_orders: list[StoreOrder] = rows(
        repository.all_parts,
        "The parts of the order, one for each store.",
        within=models.StoreOrder.order_id,
        order_by=models.StoreOrder.id,
        of=models.StoreOrder,
    )
    items: list[OrderItem] = rows(
        repository.all_items,
        "The ordered products of all stores.",
        within=models.OrderItem.order_id,
        order_by=models.OrderItem.id,
        of=models.OrderItem,
    )
    totals: list[Money] = rows(
        repository.totals,
        "Total price of the items as they were ordered, one amount per currency.",
        within=models.StoreOrder.order_id,
        order_by=models.StoreOrder.currency,
    )
    shipping_address: ShippingAddress | None = _SHIPPING_ADDRESS
    note: str | None = _NOTE
    updated_at: datetime = column(models.Order.updated_at, "When the order was last changed.")


@strawberry.type(description="A product with less stock than the order requested.")
class StockShortage:
    # Shows an `errors.Shortage`, whose attributes it reads.
    product: lazy.Product = reference(
        lambda shortage: shortage.product_id, "The product that is short.", to=models.Product
    )
    requested: int = strawberry.field(description="Number of units the order requested.")
    available: int = strawberry.field(description="Number of units in stock.")


@failure(errors.InsufficientStock, "Some products don't have enough stock. Nothing was ordered.")
class InsufficientStock(Error):
    shortages: list[StockShortage] = strawberry.field(description="Every product that doesn't have enough stock.")


@failure(errors.InvalidTransition, "The order's current status doesn't allow this operation.")
class InvalidTransition(Error):
    status: OrderStatus = strawberry.field(description="The current status of the order.")


@failure(
    errors.InvalidStoreOrderTransition, "The current status of a store's part of an order doesn't allow this operation."
)
class InvalidStoreOrderTransition(Error):
    status: StoreOrderStatus = strawberry.field(description="The current status of the part.")


@strawberry.type(description="A product and quantity in a quote.")
class QuoteLine:
    # Shows a `service.QuoteLine`, whose attributes it reads.
    product: lazy.Product = reference(lambda line: line.product_id, "The product.", to=models.Product)
    quantity: int = strawberry.field(description="Number of units.")
    unit_price: Money = money(lambda line: line.unit_price, lambda line: line.currency, "Current price of one unit.")
    line_total: Money = money(
        lambda line: line.unit_price * line.quantity, lambda line: line.currency, "Unit price multiplied by quantity."
    )


@strawberry.type(description="What an order would cost now.")
class Quote:
    lines: list[QuoteLine] = strawberry.field(description="The products, in the order of the input.")
    totals: list[Money] = strawberry.field(description="Total price, one amount per currency.")
    shortages: list[StockShortage] = strawberry.field(
        description="Every product that doesn't have enough stock. While there are any, the order can't be placed."
    )


QuoteOrderResult = Annotated[Quote | NotFound | InvalidInput, result("quoteOrder")]


@strawberry.type
class OrderPayload(OfRow):
    order: Order | None = itself(models.Order, "The order.")
    order_edge: Edge[Order] | None = edge(repository.own, "The order as an item of `orders` in the default order.")


@strawberry.type
class StoreOrderPayload(OfRow):
    store_order: StoreOrder | None = itself(models.StoreOrder, "The store's part of the order.")
    store_order_edge: Edge[StoreOrder] | None = edge(
        repository.of_store, "The part as an item of the store's `orders` in the default order."
    )


@shows(models.Order, "The order was placed.")
class PlaceOrderSuccess(OrderPayload):
    pass


@shows(models.Order, "The order was cancelled.")
class CancelOrderSuccess(OrderPayload):
    pass


@shows(models.Order, "The order was deleted.")
class DeleteOrderSuccess(OfRow):
    deleted_order_id: strawberry.ID | None = identifier("Order", "ID of the deleted order.")


@shows(models.StoreOrder, "The items were marked as fulfilled.")
class FulfillStoreOrderSuccess(StoreOrderPayload):
    pass


@shows(models.StoreOrder, "The part of the order was declined, and its stock returned.")
class DeclineStoreOrderSuccess(StoreOrderPayload):
    pass


PlaceOrderResult = Annotated[PlaceOrderSuccess | NotFound | InvalidInput | InsufficientStock, result("placeOrder")]
CancelOrderResult = Annotated[CancelOrderSuccess | NotFound | InvalidTransition, result("cancelOrder")]
DeleteOrderResult = Annotated[DeleteOrderSuccess | NotFound, result("deleteOrder")]
FulfillStoreOrderResult = Annotated[
    FulfillStoreOrderSuccess | NotFound | InvalidInput | InvalidStoreOrderTransition, result("fulfillStoreOrder")
]
DeclineStoreOrderResult = Annotated[
    DeclineStoreOrderSuccess | NotFound | InvalidInput | InvalidStoreOrderTransition, result("declineStoreOrder")
]


@shows(models.Order, "The current state of an order.")
class OrderUpdatedEvent(OfRow):
    order: Order = itself(models.Order, "The order as it is now.")


@shows(models.StoreOrder, "The current state of a store's part of an order.")
class StoreOrderUpdatedEvent(OfRow):
    store_order: StoreOrder = itself(models.StoreOrder, "The part as it is now.")


@shows(models.StoreOrder, "An order that was placed with a store.")
class StoreOrderPlacedEvent(OfRow):
    store_order: StoreOrder = itself(models.StoreOrder, "The store's part of the order.")
