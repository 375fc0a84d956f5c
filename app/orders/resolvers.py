"""The queries, mutations and subscriptions of orders."""

from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from app.db.notifications import Topic
from app.graphql.context import Info
from app.graphql.ids import key_of
from app.graphql.mutations import given, mutation
from app.graphql.relations.connections import Connection, Window, connection, paged
from app.graphql.relations.meaning import Lookup, Pages, in_sql
from app.graphql.subscriptions.manager import NothingToTell, found, subscription
from app.orders import repository, service
from app.orders.types import (
    CancelOrderResult,
    DeleteOrderResult,
    FulfillOrderItemsInput,
    FulfillOrderItemsResult,
    Order,
    OrderDeleted,
    OrderFilter,
    OrderOrder,
    PlaceOrderInput,
    PlaceOrderResult,
)
from app.security.viewer import Access, logged_in
from app.stores.service import require_manager

OrderId = Annotated[strawberry.ID, strawberry.argument(description="The id of the order.")]


@strawberry.type
class OrderQueries:
    @strawberry.field(
        description="An order by id, for its customer, the stores it was placed with and superusers; null otherwise.",
        metadata=in_sql(Lookup(repository.visible_by_key, lambda _, id: key_of("Order", "id", id))),
    )
    async def order(self, info: Info, id: OrderId) -> Order | None:
        return info.context.seen(await info.context.loaders.visible_order.load(key_of("Order", "id", id)))

    @paged(
        "Your own orders, or all for superusers, the latest first unless told otherwise; needs a login.",
        Pages(
            repository.choose,
            lambda viewer, criteria: repository.listing_for(logged_in(viewer), criteria),
        ),
    )
    def orders(
        self,
        info: Info,
        window: Window,
        filter: Annotated[OrderFilter | None, strawberry.argument(description="Only orders like this.")] = UNSET,
        order_by: Annotated[OrderOrder | None, strawberry.argument(description="In this order.")] = UNSET,
    ) -> Connection[Order]:
        viewer = info.context.known_viewer()
        criteria, ordering = repository.choose(filter, order_by)
        page = window.on(ordering(criteria))
        return connection(info.context.work, repository.listing_for(viewer, criteria), page, Order.from_row)


@strawberry.type
class OrderMutations:
    @mutation(
        Access.LOGGED_IN, "Order products at their present prices. All of them are ordered, or none.", confirms=True
    )
    async def place_order(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(PlaceOrderInput, "What to order.")],
    ) -> PlaceOrderResult:
        context = info.context
        items = [
            {**item, "productId": key_of("Product", f"input.items.{index}.productId", item["productId"])}
            for index, item in enumerate(input["items"])
        ]
        customer, order = await service.place_order(context.work, context.known_viewer(), {"items": items})
        context.act_as(customer)
        return Order.from_row(order)

    @mutation(
        Access.LOGGED_IN,
        "Cancel an order of yours, or any if you are a superuser, of which nothing is fulfilled. "
        "Its stock is given back.",
    )
    async def cancel_order(self, info: Info, id: OrderId) -> CancelOrderResult:
        context, key = info.context, key_of("Order", "id", id)
        return Order.from_row(await service.cancel_order(context.session, context.known_viewer(), key))

    @mutation(Access.LOGGED_IN, "Tell that items of your stores, or any if you are a superuser, have been fulfilled.")
    async def fulfill_order_items(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(FulfillOrderItemsInput, "Which items.")],
    ) -> FulfillOrderItemsResult:
        context = info.context
        order_id = key_of("Order", "input.orderId", input["orderId"])
        product_ids = [
            key_of("Product", f"input.productIds.{index}", id) for index, id in enumerate(input["productIds"])
        ]
        return Order.from_row(
            await service.fulfill_items(context.session, context.known_viewer(), order_id, product_ids)
        )

    @mutation(Access.SUPERUSER, "Delete an order: for superusers. One that is still PLACED gives its stock back.")
    async def delete_order(self, info: Info, id: OrderId) -> DeleteOrderResult:
        context, key = info.context, key_of("Order", "id", id)
        await service.delete_order(context.session, context.known_viewer(), key)
        return OrderDeleted(id=id)


@strawberry.type
class OrderSubscriptions:
    @subscription(Access.LOGGED_IN, "An order that you may see: as it is now, and after each change.", read_by="order")
    async def order_updated(self, info: Info, order_id: OrderId) -> Order:
        context, key = info.context, key_of("Order", "orderId", order_id)
        context.follow(Topic("Order", key), has_state=True)
        return found("order", await context.loaders.visible_order.load(key))

    @subscription(Access.LOGGED_IN, "Each new order with items of a store of yours, or of any if you are a superuser.")
    async def store_order_placed(
        self,
        info: Info,
        store_id: Annotated[strawberry.ID, strawberry.argument(description="The id of the store.")],
    ) -> Order:
        context, key = info.context, key_of("Store", "storeId", store_id)
        require_manager(context.viewer, found("store", await context.loaders.visible_store.load(key)).owner_key)
        placed = context.follow(Topic(repository.PLACED, key), has_state=False)
        order = None if placed is None else await context.loaders.visible_order.load(placed)
        if order is None:
            raise NothingToTell
        return order
