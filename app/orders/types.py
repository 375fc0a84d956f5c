"""Orders as GraphQL shows them."""

from datetime import datetime
from typing import Annotated

import strawberry

from app.db import models
from app.db.models import OrderStatus
from app.graphql import lazy
from app.graphql.enums import describe_enum
from app.graphql.failures import Error, InvalidInput, NotFound, failure, result
from app.graphql.money import Money, money
from app.graphql.node import Node, node
from app.graphql.relations.fields import column, reference, rows
from app.orders import errors, repository
from app.orders.inputs import OrderOrderField

describe_enum(
    OrderStatus,
    PLACED="Placed; no item has been fulfilled. The order can still be cancelled.",
    PARTIALLY_FULFILLED="Some items have been fulfilled.",
    FULFILLED="All items have been fulfilled.",
    CANCELLED="Cancelled before any item was fulfilled. Its stock was returned.",
)
describe_enum(OrderOrderField, DATE="When the order was placed.")


@node(
    models.OrderItem,
    repository.visible_items_by_key,
    "A product within an order, at the price it had when the order was placed.",
)
class OrderItem(Node):
    product: lazy.Product = reference(
        models.OrderItem.product_id, "The product as it is now, even if it has since been deleted."
    )
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
    models.Order,
    repository.visible_by_key,
    "Products that a customer ordered together, from any number of stores. A store's owner sees only the items of that "
    "store.",
)
class Order(Node):
    customer: lazy.User | None = reference(
        models.Order.customer_id,
        "The customer who placed the order. Null if the account was deleted.",
        condition=lambda user: user.deleted_at.is_(None),
    )
    date: datetime = column(models.Order.date, "When the order was placed.")
    status: OrderStatus = column(models.Order.status, "The current status of the order.")
    items: list[OrderItem] = rows(
        repository.visible_items,
        "The ordered products. Customers see all of them; a store's owner sees only those of their store.",
        within=models.OrderItem.order_id,
        order_by=models.OrderItem.id,
        of=models.OrderItem,
    )
    totals: list[Money] = rows(
        repository.visible_totals,
        "Total price of the items you can see, one amount per currency.",
        within=models.OrderItem.order_id,
        order_by=models.OrderItem.currency,
    )
    updated_at: datetime = column(models.Order.updated_at, "When the order was last changed.")


@strawberry.type(description="Confirmation that an order was deleted.")
class OrderDeleted:
    id: strawberry.ID = strawberry.field(description="ID of the deleted order.")


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


PlaceOrderResult = Annotated[Order | NotFound | InvalidInput | InsufficientStock, result("placeOrder")]
CancelOrderResult = Annotated[Order | NotFound | InvalidTransition, result("cancelOrder")]
FulfillOrderItemsResult = Annotated[Order | NotFound | InvalidInput | InvalidTransition, result("fulfillOrderItems")]
DeleteOrderResult = Annotated[OrderDeleted | NotFound, result("deleteOrder")]
