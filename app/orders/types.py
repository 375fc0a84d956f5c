"""Orders as GraphQL shows them."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Self
from uuid import UUID

import strawberry
from sqlalchemy import Row
from strawberry import UNSET

from app.db import models
from app.db.pagination import Ordering
from app.db.statements import Record
from app.graphql import lazy
from app.graphql.arguments import or_none
from app.graphql.context import Info
from app.graphql.enums import Direction, OrderStatus, describe_enum
from app.graphql.errors import InsufficientStock, InvalidInput, InvalidTransition, NotFound
from app.graphql.ids import global_id, optional_key_of
from app.graphql.money import Money
from app.graphql.node import Node
from app.graphql.relations.fields import loaded
from app.graphql.relations.meaning import Embedded, Reference, Rows, in_sql
from app.orders import repository


@strawberry.type(description="A product in an order, at the price of that time.")
class OrderItem(Node):
    product_key: strawberry.Private[UUID]
    quantity: int = strawberry.field(description="How many were ordered.")
    unit_price: Money = strawberry.field(
        description="What one cost at the time of the order.",
        metadata=in_sql(Embedded(lambda item: {"amount": item.unit_price, "currency": item.currency})),
    )
    fulfilled_at: datetime | None = strawberry.field(
        description="When the store fulfilled it; null while it is waited for."
    )

    product: lazy.Product = loaded(
        lambda loaders, item: loaders.product.load(item.product_key),
        "What was ordered, as it is now; also after it was deleted.",
        Reference(models.Product, lambda item: item.product_id),
    )

    @strawberry.field(
        description="What all of them cost together.",
        metadata=in_sql(Embedded(lambda item: {"amount": item.unit_price * item.quantity, "currency": item.currency})),
    )
    def line_total(self) -> Money:
        return Money(amount=self.unit_price.amount * self.quantity, currency=self.unit_price.currency)

    @classmethod
    def from_row(cls, row: Row[Any] | models.OrderItem) -> Self:
        """Make an item of a row or of an entity."""
        return cls(
            id=global_id("OrderItem", row.id),
            product_key=row.product_id,
            quantity=row.quantity,
            unit_price=Money(amount=row.unit_price, currency=row.currency),
            fulfilled_at=row.fulfilled_at,
        )


@strawberry.type(
    description=(
        "What a customer ordered at one time, from any number of stores. "
        "The owner of a store sees only the items of that store."
    )
)
class Order(Node):
    key: strawberry.Private[UUID]
    customer_key: strawberry.Private[UUID]
    date: datetime = strawberry.field(description="When it was placed.")
    status: OrderStatus = strawberry.field(description="How far it has come.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")

    customer: lazy.User | None = loaded(
        lambda loaders, order: loaders.account.load(order.customer_key),
        "Who placed it; null when the account was deleted.",
        Reference(models.User, lambda order: order.customer_id, lambda user: user.deleted_at.is_(None)),
    )
    items: list[OrderItem] = loaded(
        lambda loaders, order: loaders.items_of_order.load(order.key),
        "What was ordered: all of it for the customer, their own for the owner of a store.",
        Rows(repository.visible_items, repository.placed_in, order=("id",)),
    )

    @strawberry.field(
        description="What the items you see cost together: one amount for each currency.",
        metadata=in_sql(Rows(repository.visible_totals, repository.placed_in, order=("currency",))),
    )
    async def totals(self, info: Info) -> list[Money]:
        amounts: dict[str, Decimal] = defaultdict(Decimal)
        for item in await info.context.loaders.items_of_order.load(self.key):
            amounts[item.unit_price.currency] += item.unit_price.amount * item.quantity
        return [Money(amount=amount, currency=currency) for currency, amount in sorted(amounts.items())]

    @classmethod
    def from_row(cls, row: Row[Any] | Record | models.Order) -> Self:
        """Make an order of a row or of an entity."""
        return cls(
            id=global_id("Order", row.id),
            key=row.id,
            customer_key=row.customer_id,
            date=row.date,
            status=row.status,
            updated_at=row.updated_at,
        )


class OrderOrderField(Enum):
    """What orders can be ordered by."""

    DATE = "DATE"


describe_enum(OrderOrderField, "What orders can be ordered by.", DATE="By when they were placed.")


@strawberry.input(description="In which order orders come.")
class OrderOrder:
    field: OrderOrderField = strawberry.field(description="What to order by.")
    direction: Direction = strawberry.field(default=Direction.DESC, description="Which end comes first.")

    def ordering(self, _: repository.OrderCriteria) -> Ordering:
        """Return the order as the repository knows it."""
        return repository.ordering(descending=self.direction is Direction.DESC)


@strawberry.input(description="From one moment to another; a bound that is left out or null does not restrict.")
class DateTimeRange:
    gte: datetime | None = strawberry.field(default=UNSET, description="At this moment or later.")
    lt: datetime | None = strawberry.field(default=UNSET, description="Before this moment.")


@strawberry.input(description="Which orders; a field that is left out or null does not restrict.")
class OrderFilter:
    status: list[OrderStatus] | None = strawberry.field(default=UNSET, description="In one of these statuses.")
    date: DateTimeRange | None = strawberry.field(default=UNSET, description="Placed within this range.")
    store_id: strawberry.ID | None = strawberry.field(default=UNSET, description="With an item of this store.")

    def criteria(self) -> repository.OrderCriteria:
        """Return the filter as the repository knows it."""
        date, statuses = self.date or DateTimeRange(), or_none(self.status)
        return repository.OrderCriteria(
            statuses=None if statuses is None else tuple(dict.fromkeys(statuses)),
            date_gte=or_none(date.gte),
            date_lt=or_none(date.lt),
            store_id=optional_key_of("Store", "filter.storeId", self.store_id),
        )


@strawberry.input(description="A product to order.")
class OrderItemInput:
    product_id: strawberry.ID = strawberry.field(description="The product; at most once in an order.")
    quantity: int = strawberry.field(description="How many: 1 to 10,000.")


@strawberry.input(description="A new order.")
class PlaceOrderInput:
    items: list[OrderItemInput] = strawberry.field(description="1 to 100 products, of any number of stores.")


@strawberry.input(description="Items of an order that have been fulfilled.")
class FulfillOrderItemsInput:
    order_id: strawberry.ID = strawberry.field(description="The order.")
    product_ids: list[strawberry.ID] = strawberry.field(description="The products of your stores that are fulfilled.")


@strawberry.type(description="An order was deleted.")
class OrderDeleted:
    id: strawberry.ID = strawberry.field(description="The id of the order that is gone.")


PlaceOrderResult = Annotated[
    Order | NotFound | InvalidInput | InsufficientStock,
    strawberry.union("PlaceOrderResult", description="What placeOrder may answer."),
]
CancelOrderResult = Annotated[
    Order | NotFound | InvalidTransition,
    strawberry.union("CancelOrderResult", description="What cancelOrder may answer."),
]
FulfillOrderItemsResult = Annotated[
    Order | NotFound | InvalidInput | InvalidTransition,
    strawberry.union("FulfillOrderItemsResult", description="What fulfillOrderItems may answer."),
]
DeleteOrderResult = Annotated[
    OrderDeleted | NotFound, strawberry.union("DeleteOrderResult", description="What deleteOrder may answer.")
]
