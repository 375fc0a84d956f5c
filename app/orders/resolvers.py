"""The queries, mutations and subscriptions of orders."""

from typing import Annotated

import strawberry

from app.db.notifications import Topic
from app.graphql.arguments import key_of
from app.graphql.context import Info
from app.graphql.mutations import mutation
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import lookup, pages
from app.graphql.subscriptions.fields import found, subscription
from app.graphql.subscriptions.manager import NothingToSend
from app.orders import repository, service
from app.orders.inputs import FulfillOrderItemsInput, PlaceOrderInput
from app.orders.types import (
    CancelOrderResult,
    DeleteOrderResult,
    FulfillOrderItemsResult,
    Order,
    OrderDeleted,
    PlaceOrderResult,
)
from app.security.viewer import Access
from app.stores.service import require_manager

OrderId = Annotated[strawberry.ID, strawberry.argument(description="ID of the order.")]
StoreId = Annotated[strawberry.ID, strawberry.argument(description="ID of the store.")]


@strawberry.type
class OrderQueries:
    order: Order | None = lookup(
        Order,
        "An order by its ID. Visible to its customer, the owners of the stores it was placed with, and superusers; "
        "otherwise null.",
    )
    orders: Connection[Order] = pages(
        repository.own,
        "Your own orders, or all orders for superusers, newest first by default. Requires a login.",
        access=Access.LOGGED_IN,
    )


@strawberry.type
class OrderMutations:
    @mutation(
        Access.LOGGED_IN,
        "Orders products at their current prices. Either all of them are ordered or none.",
        confirms=True,
    )
    async def place_order(self, info: Info, input: PlaceOrderInput) -> PlaceOrderResult:
        context = info.context
        customer, order = await service.place_order(context.work, context.require_viewer(), input)
        context.act_as(customer)
        return Order(row=order)

    @mutation(
        Access.LOGGED_IN,
        "Cancels an order and returns its stock. Allowed only while no item is fulfilled, for the order's customer and "
        "superusers.",
    )
    async def cancel_order(self, info: Info, id: OrderId) -> CancelOrderResult:
        return Order(row=await service.cancel_order(*info.context.acting(), key_of("Order", "id", id)))

    @mutation(Access.LOGGED_IN, "Marks items of your stores as fulfilled. Superusers can mark any item.")
    async def fulfill_order_items(self, info: Info, input: FulfillOrderItemsInput) -> FulfillOrderItemsResult:
        return Order(row=await service.fulfill_items(*info.context.acting(), input))

    @mutation(Access.SUPERUSER, "Deletes an order and, if it is still `PLACED`, returns its stock. Superusers only.")
    async def delete_order(self, info: Info, id: OrderId) -> DeleteOrderResult:
        await service.delete_order(*info.context.acting(), key_of("Order", "id", id))
        return OrderDeleted(id=id)


@strawberry.type
class OrderSubscriptions:
    @subscription(
        Access.LOGGED_IN,
        "The current state of an order you can see, then its state after each change.",
        read_by="order",
    )
    async def order_updated(self, info: Info, order_id: OrderId) -> Order:
        context, key = info.context, key_of("Order", "orderId", order_id)
        context.follow(Topic("Order", key), has_state=True)
        order: Order | None = await context.loaders.node("Order").load(key)
        return found("order", order)

    @subscription(
        Access.LOGGED_IN, "Each new order with items of a store that you own. Superusers can follow any store."
    )
    async def store_order_placed(self, info: Info, store_id: StoreId) -> Order:
        context, key = info.context, key_of("Store", "storeId", store_id)
        store = found("store", await context.loaders.node("Store").load(key))
        require_manager(context.viewer, store.row.owner_id)
        placed = context.follow(Topic(repository.PLACED, key), has_state=False)
        order: Order | None = None if placed is None else await context.loaders.node("Order").load(placed)
        if order is None:
            raise NothingToSend
        return order
