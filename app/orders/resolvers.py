"""The queries, mutations and subscriptions of orders."""

from typing import Annotated, Any, cast

import strawberry

from app.events.catalog import Follow, Topic
from app.graphql.arguments import key_of
from app.graphql.context import Info
from app.graphql.money import Money
from app.graphql.mutations import mutation
from app.graphql.queries import query
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import lookup_by, pages
from app.graphql.subscriptions.fields import found, subscription
from app.graphql.subscriptions.manager import NothingToSend
from app.inputs import CurrencyCode
from app.orders import repository, service
from app.orders.inputs import (
    CancelOrderInput,
    DeclineStoreOrderInput,
    DeleteOrderInput,
    FulfillStoreOrderInput,
    PlaceOrderInput,
)
from app.orders.numbers import normalized_number
from app.orders.types import (
    CancelOrderResult,
    CancelOrderSuccess,
    DeclineStoreOrderResult,
    DeclineStoreOrderSuccess,
    DeleteOrderResult,
    DeleteOrderSuccess,
    FulfillStoreOrderResult,
    FulfillStoreOrderSuccess,
    Order,
    OrderUpdatedEvent,
    PlaceOrderResult,
    PlaceOrderSuccess,
    Quote,
    QuoteOrderResult,
    StoreOrder,
    StoreOrderPlacedEvent,
    StoreOrderUpdatedEvent,
)
from app.security.viewer import Access, logged_in
from app.stores.service import require_manager

OrderId = Annotated[strawberry.ID, strawberry.argument(description="ID of the order.")]
StoreId = Annotated[strawberry.ID, strawberry.argument(description="ID of the store.")]
StoreOrderId = Annotated[strawberry.ID, strawberry.argument(description="ID of the store's part of the order.")]


@strawberry.type
class OrderQueries:
    order: Order | None = lookup_by(
        Order,
        "An order by its ID or its number. Visible to its customer and superusers; otherwise null.",
        repository.orders.number,
        normalized_number,
        "Number of the order, such as `7K3M-Q4XD`. Case, spaces and hyphens don't matter.",
    )
    orders: Connection[Order] | None = pages(
        repository.own,
        "Your own orders, or all orders for superusers, newest first by default. Requires a login.",
        access=Access.LOGGED_IN,
    )

    @query(
        "What an order would cost now, and which products are short. Takes the input of `placeOrder`, changes nothing, "
        "and requires no login."
    )
    async def quote_order(self, info: Info, input: PlaceOrderInput) -> QuoteOrderResult | None:
        quote = await service.quote_order(info.context.work, input)
        totals = [Money(amount=amount, currency=CurrencyCode(currency)) for currency, amount in quote.totals.items()]
        return Quote(lines=cast(Any, quote.lines), totals=totals, shortages=cast(Any, quote.shortages))


@strawberry.type
class OrderMutations:
    @mutation(
        Access.LOGGED_IN,
        "Orders products at their current prices. Either all of them are ordered or none.",
        confirms=True,
        is_one_statement=True,
    )
    async def place_order(self, info: Info, input: PlaceOrderInput) -> PlaceOrderResult | None:
        context = info.context
        viewer, session_id = logged_in(context.viewer), context.login.session_id
        customer, order = await service.place_order(
            context.work, viewer, session_id, input, context.claimed_in_statement
        )
        context.act_as(customer)
        return PlaceOrderSuccess(row=order)

    @mutation(
        Access.LOGGED_IN,
        "Cancels an order, except for parts that a store has declined, and returns its stock. Allowed only while no "
        "item is fulfilled, for the order's customer and superusers.",
    )
    async def cancel_order(self, info: Info, input: CancelOrderInput) -> CancelOrderResult | None:
        return CancelOrderSuccess(row=await service.cancel_order(*info.context.acting(), input.id))

    @mutation(
        Access.LOGGED_IN,
        "Marks items of your store's part of an order as fulfilled, or all of them. For the store's owner and "
        "superusers.",
    )
    async def fulfill_store_order(self, info: Info, input: FulfillStoreOrderInput) -> FulfillStoreOrderResult | None:
        return FulfillStoreOrderSuccess(row=await service.fulfill_store_order(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Declines your store's part of an order, and returns its stock. Allowed only while none of its items is "
        "fulfilled, for the store's owner and superusers.",
    )
    async def decline_store_order(self, info: Info, input: DeclineStoreOrderInput) -> DeclineStoreOrderResult | None:
        return DeclineStoreOrderSuccess(row=await service.decline_store_order(*info.context.acting(), input))

    @mutation(Access.SUPERUSER, "Deletes an order and, if it is still `PLACED`, returns its stock. Superusers only.")
    async def delete_order(self, info: Info, input: DeleteOrderInput) -> DeleteOrderResult | None:
        return DeleteOrderSuccess(row=await service.delete_order(*info.context.acting(), input.id))


@strawberry.type
class OrderSubscriptions:
    @subscription(
        Access.LOGGED_IN,
        "The current state of an order you can see, then its state after each change.",
        state_of=Order,
        argument="orderId",
    )
    async def order_updated(self, info: Info, order_id: OrderId) -> OrderUpdatedEvent:
        context, key = info.context, key_of("Order", "orderId", order_id)
        context.follow(Topic(Follow.ORDER, key), has_state=True)
        order: Order | None = await context.loaders.node("Order").load(key)
        return OrderUpdatedEvent(row=found("order", order).row)

    @subscription(
        Access.LOGGED_IN,
        "The current state of a store's part of an order, then its state after each change.",
        state_of=StoreOrder,
        argument="storeOrderId",
    )
    async def store_order_updated(self, info: Info, store_order_id: StoreOrderId) -> StoreOrderUpdatedEvent:
        context, key = info.context, key_of("StoreOrder", "storeOrderId", store_order_id)
        context.follow(Topic(Follow.STORE_ORDER, key), has_state=True)
        part = found("store order", await context.loaders.node("StoreOrder").load(key))
        return StoreOrderUpdatedEvent(row=part.row)

    @subscription(Access.LOGGED_IN, "Each new order of a store that you own. Superusers can follow any store.")
    async def store_order_placed(self, info: Info, store_id: StoreId) -> StoreOrderPlacedEvent:
        context, key = info.context, key_of("Store", "storeId", store_id)
        store = found("store", await context.loaders.node("Store").load(key))
        require_manager(context.viewer, store.row.owner_id)
        order_id = context.follow(Topic(Follow.PLACED, key), has_state=False)
        part = None if order_id is None else await context.work.row(repository.part_sold_by(key, order_id))
        if part is None:
            raise NothingToSend
        return StoreOrderPlacedEvent(row=part)
