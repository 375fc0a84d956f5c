"""Browses, places orders, handles every possible result, and follows an order until it is fulfilled."""

import asyncio
import os
from contextlib import aclosing
from typing import assert_never
from uuid import uuid4

from login import Login
from orders_api import (
    BrowseProducts,
    CancelCancelOrderInvalidTransition,
    CancelCancelOrderNotFound,
    CancelCancelOrderOrder,
    FulfillFulfillOrderItemsInvalidInput,
    FulfillFulfillOrderItemsInvalidTransition,
    FulfillFulfillOrderItemsNotFound,
    FulfillFulfillOrderItemsOrder,
    LogInInput,
    LogInLogInIncorrectCredentials,
    LogInLogInSession,
    OrderItemInput,
    PlaceOrderPlaceOrderInsufficientStock,
    PlaceOrderPlaceOrderInvalidInput,
    PlaceOrderPlaceOrderNotFound,
    PlaceOrderPlaceOrderOrder,
)

URL = os.environ.get("ORDERS_URL", "http://127.0.0.1:8000/graphql")
CUSTOMER = os.environ.get("CUSTOMER", "customer@example.com")
OWNER = os.environ.get("OWNER", "owner@example.com")
PASSWORD = os.environ.get("PASSWORD", "open-sesame")
UNKNOWN = "Product_00000000-0000-7000-8000-000000000000"

Placed = (
    PlaceOrderPlaceOrderOrder
    | PlaceOrderPlaceOrderInsufficientStock
    | PlaceOrderPlaceOrderInvalidInput
    | PlaceOrderPlaceOrderNotFound
)


async def log_in(login: Login, email: str, password: str) -> None:
    match await login.api.log_in(LogInInput(email=email, password=password)):
        case LogInLogInSession() as session:
            login.use(session)
            print(f"Logged in: {session.user.full_name}")
        case LogInLogInIncorrectCredentials(message=message):
            print(f"IncorrectCredentials: {message}")
        case never:
            assert_never(never)


async def browse(login: Login, search: str, after: str | None = None) -> BrowseProducts:
    products = await login.api.browse(search, first=2, after=after)
    names = (f"{product.name} ({product.price.amount} {product.price.currency})" for product in products.nodes)
    print(f"Page: {', '.join(names)}")
    return products


async def order(login: Login, items: list[OrderItemInput], key: str | None = None) -> Placed:
    result = await login.api.place_order(items, headers={"Idempotency-Key": key or str(uuid4())})
    print(described(result))
    return result


def described(result: Placed) -> str:
    """Describe the result of placing an order."""
    match result:
        case PlaceOrderPlaceOrderOrder(status=status, totals=totals):
            return f"Order: {status.value}, {', '.join(f'{total.amount} {total.currency}' for total in totals)}"
        case PlaceOrderPlaceOrderInsufficientStock(shortages=shortages):
            short = (f"{each.available} of {each.requested} {each.product.name}" for each in shortages)
            return f"InsufficientStock: {', '.join(short)}"
        case PlaceOrderPlaceOrderInvalidInput(issues=issues):
            wrong = (f"{'.'.join(issue.path)}: {issue.message}" for issue in issues)
            return f"InvalidInput: {', '.join(wrong)}"
        case PlaceOrderPlaceOrderNotFound(id=id):
            return f"NotFound: {id}"
        case never:
            assert_never(never)


async def follow_until_fulfilled(customer: Login, owner: Login, id: str) -> None:
    """Follow the order as the customer, while the store's owner fulfills one item after the other."""
    async for followed in customer.follow(id):
        waiting = [item for item in followed.items if item.fulfilled_at is None]
        print(f"Followed: {followed.status.value}, {len(waiting)} to fulfill")
        if not waiting:
            return
        await fulfill(owner, id, waiting[0].product.id)


async def fulfill(owner: Login, order_id: str, product_id: str) -> None:
    match await owner.api.fulfill(order_id, [product_id]):
        case FulfillFulfillOrderItemsOrder():
            return
        case (
            FulfillFulfillOrderItemsInvalidInput(message=message)
            | FulfillFulfillOrderItemsInvalidTransition(message=message)
            | FulfillFulfillOrderItemsNotFound(message=message)
        ):
            raise ValueError(message)
        case never:
            assert_never(never)


async def cancel(login: Login, id: str) -> None:
    match await login.api.cancel(id):
        case CancelCancelOrderOrder():
            print("Order: cancelled")
        case CancelCancelOrderInvalidTransition(status=status):
            print(f"InvalidTransition: {status.value}")
        case CancelCancelOrderNotFound(id=id):
            print(f"NotFound: {id}")
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
    assert isinstance(placed, PlaceOrderPlaceOrderOrder)
    assert await order(customer, items, key) == placed

    for product_id, quantity, expected in (
        (items[0].product_id, 10_000, PlaceOrderPlaceOrderInsufficientStock),
        (items[0].product_id, 0, PlaceOrderPlaceOrderInvalidInput),
        (UNKNOWN, 1, PlaceOrderPlaceOrderNotFound),
    ):
        result = await order(customer, [OrderItemInput(product_id=product_id, quantity=quantity)])
        assert isinstance(result, expected)

    customer.expire()
    await follow_until_fulfilled(customer, owner, placed.id)
    await cancel(customer, placed.id)

    customer.expire()
    one, other = await asyncio.gather(customer.api.read_order(placed.id), customer.api.read_order(placed.id))
    assert one is not None
    assert one == other
    print(f"Renewed: the order is {one.status.value}")


async def main() -> None:
    async with aclosing(Login(URL)) as customer, aclosing(Login(URL)) as owner:
        await order_and_follow(customer, owner)


if __name__ == "__main__":
    asyncio.run(main())
