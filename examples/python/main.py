"""Browses, places orders, handles every possible result, and follows an order until it is fulfilled."""

import asyncio
import os
from contextlib import aclosing
from typing import assert_never
from uuid import uuid4

from login import Login, Missing, present
from orders_api import (
    BrowseProducts,
    CancelCancelOrderCancelOrderSuccess,
    CancelCancelOrderInvalidTransition,
    CancelCancelOrderNotFound,
    FulfillFulfillStoreOrderFulfillStoreOrderSuccess,
    FulfillFulfillStoreOrderInvalidInput,
    FulfillFulfillStoreOrderInvalidStoreOrderTransition,
    FulfillFulfillStoreOrderNotFound,
    LogInInput,
    LogInLogInIncorrectCredentials,
    LogInLogInLogInSuccess,
    OrderItemInput,
    PlaceOrderPlaceOrderInsufficientStock,
    PlaceOrderPlaceOrderInvalidInput,
    PlaceOrderPlaceOrderNotFound,
    PlaceOrderPlaceOrderPlaceOrderSuccess,
)

URL = os.environ.get("ORDERS_URL", "http://127.0.0.1:8000/graphql")
CUSTOMER = os.environ.get("CUSTOMER", "customer@example.com")
OWNER = os.environ.get("OWNER", "owner@example.com")
PASSWORD = os.environ.get("PASSWORD", "open-sesame")
UNKNOWN = "Product_00000000-0000-7000-8000-000000000000"

Placed = (
    PlaceOrderPlaceOrderPlaceOrderSuccess
    | PlaceOrderPlaceOrderInsufficientStock
    | PlaceOrderPlaceOrderInvalidInput
    | PlaceOrderPlaceOrderNotFound
)


async def log_in(login: Login, email: str, password: str) -> None:
    match await login.api.log_in(LogInInput(email=email, password=password)):
        case LogInLogInLogInSuccess(session=begun):
            session = present(begun)
            login.use(session)
            print(f"Logged in: {session.user.full_name}")
        case LogInLogInIncorrectCredentials(message=message):
            print(f"IncorrectCredentials: {message}")
        case None:
            raise Missing
        case never:
            assert_never(never)


async def browse(login: Login, search: str, after: str | None = None) -> BrowseProducts:
    products = present(await login.api.browse(search, first=2, after=after))
    names = (f"{product.name} ({product.price.amount} {product.price.currency})" for product in products.nodes)
    print(f"Page: {', '.join(names)}")
    return products


async def order(login: Login, items: list[OrderItemInput], key: str | None = None) -> Placed:
    result = await login.api.place_order(items, headers={"Idempotency-Key": key or str(uuid4())})
    if result is None:
        raise Missing
    print(described(result))
    return result


def described(result: Placed) -> str:
    """Describe the result of placing an order."""
    match result:
        case PlaceOrderPlaceOrderPlaceOrderSuccess(order=placed):
            totals = ", ".join(f"{total.amount} {total.currency}" for total in present(placed).totals)
            return f"Order: {present(placed).status.value}, {totals}"
        case PlaceOrderPlaceOrderInsufficientStock(shortages=shortages):
            short = (f"{each.available} of {each.requested} {each.product.name}" for each in shortages)
            return f"InsufficientStock: {', '.join(short)}"
        case PlaceOrderPlaceOrderInvalidInput(issues=issues):
            wrong = (f"{'.'.join(issue.path)}: {issue.message}" for issue in issues)
            return f"InvalidInput: {', '.join(wrong)}"
        case PlaceOrderPlaceOrderNotFound(missing_id=missing_id):
            return f"NotFound: {missing_id}"
        case never:
            assert_never(never)


async def follow_until_fulfilled(customer: Login, owner: Login, id: str) -> None:
    """Follow the order as the customer, while the stores' owner fulfills one item after the other."""
    async for followed in customer.follow(id):
        waiting = [
            (part.id, item.id) for part in followed.store_orders for item in part.items if item.fulfilled_at is None
        ]
        print(f"Followed: {followed.status.value}, {len(waiting)} to fulfill")
        if not waiting:
            return
        await fulfill(owner, *waiting[0])


async def fulfill(owner: Login, store_order_id: str, item_id: str) -> None:
    match await owner.api.fulfill(store_order_id, [item_id]):
        case FulfillFulfillStoreOrderFulfillStoreOrderSuccess():
            return
        case (
            FulfillFulfillStoreOrderInvalidInput(message=message)
            | FulfillFulfillStoreOrderInvalidStoreOrderTransition(message=message)
            | FulfillFulfillStoreOrderNotFound(message=message)
        ):
            raise ValueError(message)
        case None:
            raise Missing
        case never:
            assert_never(never)


async def cancel(login: Login, id: str) -> None:
    match await login.api.cancel(id):
        case CancelCancelOrderCancelOrderSuccess():
            print("Order: cancelled")
        case CancelCancelOrderInvalidTransition(status=status):
            print(f"InvalidTransition: {status.value}")
        case CancelCancelOrderNotFound(missing_id=missing_id):
            print(f"NotFound: {missing_id}")
        case None:
            raise Missing
        case never:
            assert_never(never)


async def order_and_follow(customer: Login, owner: Login) -> None:
    await log_in(customer, CUSTOMER, "not the password")
    await log_in(customer, CUSTOMER, PASSWORD)
    await log_in(owner, OWNER, PASSWORD)

    first = await browse(customer, "te")
    await browse(customer, "te", first.page_info.end_cursor)

    items = [OrderItemInput(product_id=product.id, quantity=1) for product in first.nodes]
    key = str(uuid4())
    placed = await order(customer, items, key)
    assert isinstance(placed, PlaceOrderPlaceOrderPlaceOrderSuccess)
    assert await order(customer, items, key) == placed
    placed_id = present(placed.order).id

    for product_id, quantity, expected in (
        (items[0].product_id, 10_000, PlaceOrderPlaceOrderInsufficientStock),
        (items[0].product_id, 0, PlaceOrderPlaceOrderInvalidInput),
        (UNKNOWN, 1, PlaceOrderPlaceOrderNotFound),
    ):
        result = await order(customer, [OrderItemInput(product_id=product_id, quantity=quantity)])
        assert isinstance(result, expected)

    customer.expire()
    await follow_until_fulfilled(customer, owner, placed_id)
    await cancel(customer, placed_id)

    customer.expire()
    one, other = await asyncio.gather(customer.api.read_order(placed_id), customer.api.read_order(placed_id))
    assert one is not None
    assert one == other
    print(f"Renewed: the order is {one.status.value}")


async def main() -> None:
    async with aclosing(Login(URL)) as customer, aclosing(Login(URL)) as owner:
        await order_and_follow(customer, owner)


if __name__ == "__main__":
    asyncio.run(main())
